//! Nothing that a repository or an agent configures is run by our git. Each vector is first shown to
//! work with plain git, so that these tests can fail.

mod vector;

use std::{fs, path::Path};

use tg_core::{ids::RunId, review::FilePath};
use tg_server::git::{GitError, Hosts, Pushed, Span, inspect, worktree::Worktree};

use super::git::fixture::{World, commit_all, environment, git, holder, new_commit, text, try_git, write};
use vector::{Plant, VECTORS, Vector};

/// Attributes that name drivers of all kinds; harmless until somebody configures them.
fn with_attributes(world: &World) {
    write(&world.checkout().join(".gitattributes"), "* filter=evil diff=evil merge=evil\n");
    commit_all(&world.checkout(), "attributes");
    if world.repository.git_url != text(&world.checkout()) {
        git(&world.checkout(), &["push", "-q", "origin", "main"]);
    }
}

fn plant(vector: &Vector, world: &World, git_dir: &Path, work: &Path) {
    let sentinel = world.sentinel(vector.name);
    (vector.plant)(&Plant { git_dir: git_dir.to_owned(), work: work.to_owned(), sentinel: &sentinel });
    // Planting uses plain git and may set the trap off itself.
    if sentinel.exists() {
        fs::remove_file(&sentinel).unwrap();
    }
}

#[test]
fn every_vector_works_with_plain_git() {
    let world = World::with_remote();
    with_attributes(&world);
    for (number, vector) in VECTORS.iter().enumerate() {
        let (plain, linked) = (format!("plain-{number}"), format!("linked-{number}"));
        git(world.path(), &["clone", "-q", &text(&world.remote()), &plain]);
        let plain = world.path().join(plain);
        git(&plain, &["worktree", "add", "-q", "-b", "linked", &format!("../{linked}")]);
        let linked = world.path().join(linked);
        plant(vector, &world, &plain.join(".git"), &linked);
        (vector.fire)(&linked);
        assert_eq!(world.fired(), [vector.name], "the vector does not work, so it proves nothing");
        fs::remove_file(world.sentinel(vector.name)).unwrap();
    }
}

/// Everything we do with a run, from the first look at the repository on.
async fn whole_run(world: &World, before_each: impl Fn(&Path)) {
    let repository = &world.repository;
    drop(inspect(Path::new("git"), &environment(), "checkout", world.path(), Hosts::Public).await);
    repository.remote_branches().await.unwrap();
    let tree = world.worktree().await;
    before_each(&tree.path);
    write(&tree.path.join("src/lib.txt"), "two\n");
    write(&tree.path.join("src/new.txt"), "new\n");
    let changes = repository.changes(&tree, 50).await.unwrap();
    assert!(changes.contains(&" M src/lib.txt".to_owned()), "{changes:?}");
    let sha = world.commit(&tree, "feat(x): two").await.expect("the work is committed");
    before_each(&tree.path);
    let diff = repository.diff(&tree, &tree.base_sha, 100_000).await.unwrap();
    assert!(diff.contains("-one\n+two\n"), "{diff}");
    look(world, &tree, &sha).await;
    repository.tip(&tree).await.unwrap();
    repository.find_trailer(&tree, &tree.base_sha, "TG-Run", "1").await.unwrap();
    repository.protocol_names(&sha).await.unwrap();
    let pushed = repository.push(&tree).await.unwrap();
    let has_remote = repository.git_url != text(&world.checkout());
    assert_eq!(pushed, if has_remote { Pushed::Done(sha) } else { Pushed::NoRemote });
    before_each(&tree.path);
    write(&tree.path.join("src/lib.txt"), "dirty\n");
    let again = again(world, &tree, 2).await;
    assert_eq!(fs::read_to_string(again.path.join("src/lib.txt")).unwrap(), "two\n");
}

/// What people are shown, with something that is not committed.
async fn look(world: &World, tree: &Worktree, sha: &str) {
    let draft = tree.path.join("src/draft.txt");
    write(&draft, "draft\n");
    let span = Span { from: tree.base_sha.clone(), to: sha.to_owned() };
    let path = FilePath::parse("src/lib.txt").unwrap();
    let patch = world.repository.patch(&span, Some(&path), 3, 100_000).await.unwrap();
    assert!(String::from_utf8(patch.kept).unwrap().contains("-one\n+two\n"));
    let files = world.repository.changed_files(&span, None).await.unwrap().kept;
    assert!(files.iter().any(|file| file.path == b"src/lib.txt" && file.additions == 1), "{files:?}");
    let seen = Worktree::seen(tree.path.clone(), tree.run, &tree.branch, &tree.base_sha);
    let standing = world.repository.standing(&seen, "main", 50).await.unwrap();
    assert!(standing.changed.contains(&b"src/draft.txt".to_vec()), "{standing:?}");
    fs::remove_file(draft).unwrap();
}

async fn again(world: &World, tree: &Worktree, fence: i64) -> Worktree {
    let holder = holder("job-1", fence);
    let path = tree.path.clone();
    let (tree, leftover) = world
        .repository
        .ensure_worktree(path, tree.run, &tree.branch, &tree.base_sha, &holder)
        .await
        .unwrap();
    assert!(leftover.is_some());
    tree
}

/// Replaces the git dir as a whole, so it is tried alone.
const REWRITTEN: &str = "rewritten-git-file";

fn all_at_once() -> impl Iterator<Item = &'static Vector> {
    VECTORS.iter().filter(|vector| vector.name != REWRITTEN)
}

fn named(name: &str) -> &'static Vector {
    VECTORS.iter().find(|vector| vector.name == name).unwrap()
}

#[tokio::test]
async fn nothing_in_the_users_repository_runs() {
    for world in [World::with_remote(), World::without_remote()] {
        with_attributes(&world);
        let checkout = world.checkout();
        for vector in all_at_once() {
            plant(vector, &world, &checkout.join(".git"), &checkout);
        }
        write(&checkout.join("src/lib.txt"), "six\n");
        whole_run(&world, |_| {}).await;
        assert_eq!(world.fired(), Vec::<String>::new());
        try_git(&checkout, &["status"]);
        assert_ne!(world.fired(), Vec::<String>::new(), "plain git falls for it");
    }
}

#[tokio::test]
async fn a_rewritten_git_file_of_the_user_is_not_followed_into_its_settings() {
    let world = World::with_remote();
    with_attributes(&world);
    plant(named(REWRITTEN), &world, &world.checkout().join(".git"), &world.checkout());
    whole_run(&world, |_| {}).await;
    assert_eq!(world.fired(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_an_agent_plants_runs() {
    let world = World::with_remote();
    with_attributes(&world);
    whole_run(&world, |work| {
        for vector in all_at_once() {
            plant(vector, &world, &work.join(".git"), work);
        }
    })
    .await;
    assert_eq!(world.fired(), Vec::<String>::new());
}

#[tokio::test]
async fn a_git_file_an_agent_rewrites_is_not_followed() {
    let world = World::with_remote();
    with_attributes(&world);
    whole_run(&world, |work| plant(named(REWRITTEN), &world, &work.join(".git"), work)).await;
    assert_eq!(world.fired(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_in_a_remote_on_this_machine_runs() {
    let world = World::with_remote();
    with_attributes(&world);
    let remote = world.remote();
    for vector in all_at_once() {
        plant(vector, &world, &remote, &world.path().join("unused"));
    }
    // Refs of alternates are listed by a command that the remote may name.
    let objects = text(&world.checkout().join(".git/objects"));
    write(&remote.join("objects/info/alternates"), &format!("{objects}\n"));
    let command = format!(": > '{}'", world.sentinel("alternateRefsCommand").display());
    git(&remote, &["config", "core.alternateRefsCommand", &command]);
    whole_run(&world, |_| {}).await;
    assert_eq!(world.fired(), Vec::<String>::new());
    try_git(&world.checkout(), &["push", "origin", "HEAD:refs/heads/plain"]);
    let fired = world.fired();
    assert!(fired.contains(&"alternateRefsCommand".to_owned()), "plain git falls for it: {fired:?}");
    assert!(fired.iter().any(|name| name.contains("hook")), "plain git falls for it: {fired:?}");
}

#[tokio::test]
async fn a_submodule_of_the_base_is_never_entered() {
    for name in ["nested-fsmonitor", "nested-filter"] {
        let vector = named(name);
        let world = World::with_remote();
        plant(vector, &world, &world.checkout().join(".git"), &world.checkout());
        try_git(&world.checkout().join("nested"), &["config", "--unset", "core.fsmonitor"]);
        try_git(&world.checkout().join("nested"), &["config", "--unset", "filter.evil.clean"]);
        commit_all(&world.checkout(), "with a submodule");
        git(&world.checkout(), &["push", "-q", "origin", "main"]);
        let pinned = git(&world.checkout(), &["rev-parse", "HEAD:nested"]);
        let tree = world.worktree().await;
        fs::remove_dir(tree.path.join("nested")).unwrap();
        git(&tree.path, &["clone", "-q", &text(&world.checkout().join("nested")), "nested"]);
        plant(vector, &world, &world.checkout().join(".git"), &world.checkout());
        (vector.fire)(&world.checkout());
        assert_eq!(world.fired(), [vector.name], "plain git enters it");
        plant(vector, &world, &tree.path.join(".git"), &tree.path);
        write(&tree.path.join("src/lib.txt"), "two\n");
        world.repository.changes(&tree, 10).await.unwrap();
        let sha = world.commit(&tree, "feat(x): two").await.unwrap();
        write(&tree.path.join("src/lib.txt"), "dirty\n");
        again(&world, &tree, 2).await;
        assert_eq!(world.fired(), Vec::<String>::new(), "{name}");
        assert_eq!(git(&tree.path, &["rev-parse", &format!("{sha}:nested")]), pinned);
    }
}

#[tokio::test]
async fn a_nested_repository_that_got_staged_is_not_entered_either() {
    // As after a crash between staging and the next look.
    let vector = named("nested-filter");
    let world = World::with_remote();
    let tree = world.worktree().await;
    plant(vector, &world, &tree.path.join(".git"), &tree.path);
    let git_dir = format!("--git-dir={}", world.repository.control.join("worktrees/1").display());
    let work_tree = format!("--work-tree={}", tree.path.display());
    git(world.path(), &[&git_dir, &work_tree, "add", "-A"]);
    plant(vector, &world, &tree.path.join(".git"), &tree.path);
    write(&tree.path.join("src/lib.txt"), "two\n");
    // Refused or left out: both are fine, running it is not.
    drop(world.repository.commit(&tree, &new_commit("feat(x): two")).await);
    drop(
        world
            .repository
            .ensure_worktree(tree.path.clone(), RunId(1), "0001-task", &tree.base_sha, &holder("job-1", 2))
            .await,
    );
    assert_eq!(world.fired(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirected_worktree_does_not_redirect_us() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    let elsewhere = world.path().join("elsewhere");
    write(&elsewhere.join("secret"), "secret\n");
    git(&tree.path, &["config", "core.worktree", &text(&elsewhere)]);
    git(&world.checkout(), &["config", "core.worktree", &text(&elsewhere)]);
    write(&tree.path.join("mine"), "mine\n");
    let sha = world.commit(&tree, "feat(x): mine").await.unwrap();
    assert_eq!(git(&world.repository.control, &["show", "--name-only", "--format=", &sha]).trim(), "mine");
    again_clean(&world, &tree).await;
    let names: Vec<_> = fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
}

async fn again_clean(world: &World, tree: &Worktree) {
    let (_, leftover) = world
        .repository
        .ensure_worktree(tree.path.clone(), tree.run, &tree.branch, &tree.base_sha, &holder("job-1", 2))
        .await
        .unwrap();
    assert_eq!(leftover, None);
}

/// What an agent does to its `.git`, given a folder that must stay as it is.
type Swap = fn(&Path, &Path);

#[tokio::test]
async fn links_in_place_of_the_agents_git_dir_lead_nowhere() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let world = World::with_remote();
    let tree = world.worktree().await;
    let precious = world.path().join("precious");
    write(&precious.join("refs/heads/0001-task"), "precious\n");
    write(&precious.join("HEAD"), "precious\n");
    let view = tree.path.join(".git");
    let swaps: &[Swap] = &[
        |view, precious| {
            fs::remove_dir_all(view).unwrap();
            symlink(precious, view).unwrap();
        },
        |view, precious| {
            fs::remove_dir_all(view.join("refs")).unwrap();
            symlink(precious.join("refs"), view.join("refs")).unwrap();
            fs::remove_file(view.join("HEAD")).unwrap();
            symlink(precious.join("HEAD"), view.join("HEAD")).unwrap();
        },
        |view, _| {
            fs::remove_dir_all(view).unwrap();
            fs::write(view, "gitdir: /nowhere\n").unwrap();
        },
        |view, _| fs::remove_dir_all(view).unwrap(),
        |view, _| {
            fs::create_dir_all(view.join("deep/er")).unwrap();
            fs::set_permissions(view.join("deep"), fs::Permissions::from_mode(0o000)).unwrap();
            fs::set_permissions(view, fs::Permissions::from_mode(0o500)).unwrap();
        },
    ];
    for (number, swap) in swaps.iter().enumerate() {
        swap(&view, &precious);
        write(&tree.path.join("file"), &format!("{number}\n"));
        world.commit(&tree, &format!("feat(x): {number}")).await.unwrap();
        assert_eq!(git(&tree.path, &["log", "-1", "--format=%s"]).trim(), format!("feat(x): {number}"));
        assert!(!view.is_symlink() && view.is_dir());
    }
    assert_eq!(fs::read_to_string(precious.join("refs/heads/0001-task")).unwrap(), "precious\n");
    assert_eq!(fs::read_to_string(precious.join("HEAD")).unwrap(), "precious\n");
    let beside: Vec<_> = fs::read_dir(world.tree_path().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(beside.len(), 2, "only the worktree and its holder stay: {beside:?}");
}

#[tokio::test]
async fn links_among_the_files_are_committed_as_links() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    let outside = world.path().join("outside");
    write(&outside.join("lib.txt"), "outside\n");
    fs::remove_dir_all(tree.path.join("src")).unwrap();
    std::os::unix::fs::symlink(&outside, tree.path.join("src")).unwrap();
    let sha = world.commit(&tree, "feat(x): link").await.unwrap();
    let listed = git(&world.repository.control, &["ls-tree", "-r", &sha]);
    assert!(listed.contains("120000") && !listed.contains("src/lib.txt"), "{listed}");
    // A dead attempt that leaves a link in place of a folder: the reset writes into the worktree only.
    fs::remove_file(tree.path.join("src")).unwrap();
    write(&tree.path.join("src/lib.txt"), "back\n");
    world.commit(&tree, "feat(x): folder").await.unwrap();
    fs::remove_dir_all(tree.path.join("src")).unwrap();
    std::os::unix::fs::symlink(&outside, tree.path.join("src")).unwrap();
    again(&world, &tree, 2).await;
    assert_eq!(fs::read_to_string(outside.join("lib.txt")).unwrap(), "outside\n");
    assert_eq!(fs::read_to_string(tree.path.join("src/lib.txt")).unwrap(), "back\n");
}

#[tokio::test]
async fn names_and_addresses_that_are_options_are_refused() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    let repository = &world.repository;
    let program = world.sentinel("option");
    let option = format!("--upload-pack=: > {};", program.display());
    let names = [
        "",
        "-",
        "--",
        "-x",
        "--force",
        "--all",
        "HEAD",
        "@",
        "a..b",
        "a b",
        "a\nb",
        "a\0b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a.lock",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a.",
        "@{-1}",
        "refs/heads/main",
        &option,
    ];
    for name in names {
        assert!(repository.fetch_base(name).await.is_err(), "base {name:?}");
        let made = repository
            .ensure_worktree(world.path().join("w/x"), RunId(9), name, &tree.base_sha, &holder("j", 1))
            .await;
        assert!(matches!(made, Err(GitError::Missing(_))), "branch {name:?}: {made:?}");
        assert!(repository.diff(&tree, name, 100).await.is_err(), "from {name:?}");
        assert!(repository.find_trailer(&tree, name, "a", "b").await.is_err(), "base {name:?}");
        assert!(repository.message(name).await.is_err(), "message {name:?}");
        let made = repository
            .ensure_worktree(world.path().join("w/x"), RunId(9), "0009-x", name, &holder("j", 1))
            .await;
        assert!(made.is_err(), "sha {name:?}");
        let mut forged = tree.clone();
        forged.branch = name.to_owned();
        assert!(repository.push(&forged).await.is_err(), "push {name:?}");
    }
    let addresses = [
        "",
        "-",
        &option,
        "--receive-pack=id",
        "ext::sh -c id",
        "fd::17",
        "git://host.example/x",
        "http://host.example/x",
        "ssh://-oProxyCommand=id/x",
        "-oProxyCommand=id:x",
        "user@-oProxyCommand=id:x",
        "ssh://host.example/-x",
        "https://user:pass@host.example/x",
        "relative/path",
        "file://host.example/x",
        "a\nb",
    ];
    for address in addresses {
        let mut repository = repository.clone();
        repository.git_url = address.to_owned();
        assert!(matches!(repository.fetch_base("main").await, Err(GitError::Missing(_))), "{address:?}");
        assert!(matches!(repository.remote_branches().await, Err(GitError::Missing(_))), "{address:?}");
        assert!(matches!(repository.push(&tree).await, Err(GitError::Missing(_))), "{address:?}");
    }
    assert_eq!(world.fired(), Vec::<String>::new());
}

#[tokio::test]
async fn a_partial_clone_that_serves_us_fetches_nothing_more() {
    let mut world = World::with_remote();
    git(&world.remote(), &["config", "uploadpack.allowFilter", "true"]);
    let source = format!("file://{}", world.remote().display());
    let partial = world.path().join("partial");
    git(world.path(), &["clone", "-q", "--no-checkout", "--filter=blob:none", &source, "partial"]);
    let vector = named("uploadpack");
    plant(vector, &world, &partial.join(".git"), &partial);
    world.repository.git_url = text(&partial);
    world.repository.local_path = Some(partial.clone());
    let fetched = world.repository.fetch_base("main").await;
    assert_eq!(world.fired(), Vec::<String>::new());
    assert!(fetched.is_err(), "what is missing there cannot be served: {fetched:?}");
    try_git(&partial, &["checkout", "main"]);
    assert_eq!(world.fired(), ["uploadpack"], "plain git fetches what is missing");
}
