//! git through the control repository: real git, local bare remotes.

pub mod fixture;
mod reading;

use std::{fs, path::Path};

use fixture::{World, commit_all, git, holder, new_commit, snapshot, text, write};
use tg_core::ids::RunId;
use tg_server::git::{GitError, Hosts, NewCommit, Pushed, inspect, processes, version};

#[tokio::test]
async fn a_run_goes_from_fetch_to_push() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    assert_eq!(fs::read_to_string(tree.path.join("src/lib.txt")).unwrap(), "one\n");
    write(&tree.path.join("src/lib.txt"), "two\n");
    write(&tree.path.join(".protocols/0001-task/.tmp/x"), "never\n");
    write(&tree.path.join("build/out"), "ignored\n");
    assert_eq!(world.repository.changes(&tree, 10).await.unwrap(), [" M src/lib.txt"]);
    let commit = NewCommit {
        subject: "feat(core): say two [protocol-0001/02]".to_owned(),
        trailers: vec![
            ("TG-Run".to_owned(), "1".to_owned()),
            ("TG-Step".to_owned(), "7".to_owned()),
            ("TG-Engine".to_owned(), "dummy".to_owned()),
        ],
    };
    let sha = world.repository.commit(&tree, &commit).await.unwrap().unwrap();
    assert_eq!(world.repository.push(&tree).await.unwrap(), Pushed::Done(sha.clone()));
    assert_eq!(world.repository.push(&tree).await.unwrap(), Pushed::Done(sha.clone()), "a second push");

    let remote = world.remote();
    assert_eq!(git(&remote, &["rev-parse", "refs/heads/0001-task"]).trim(), sha);
    assert_eq!(git(&remote, &["rev-parse", "refs/heads/0001-task^"]).trim(), tree.base_sha);
    assert_eq!(
        git(&remote, &["log", "-1", "--format=%an <%ae>|%cn <%ce>|%B", "0001-task"]),
        "Ada Test <ada@example.org>|Ada Test <ada@example.org>|\
         feat(core): say two [protocol-0001/02]\n\nTG-Run: 1\nTG-Step: 7\nTG-Engine: dummy\n\n"
    );
    assert_eq!(git(&remote, &["show", "--name-only", "--format=", "0001-task"]).trim(), "src/lib.txt");
    let tip = world.repository.tip(&tree).await.unwrap();
    assert_eq!(tip, (sha.clone(), "feat(core): say two [protocol-0001/02]".to_owned()));
    let diff = world.repository.diff(&tree, &tree.base_sha, 10_000).await.unwrap();
    assert!(diff.contains("-one\n+two\n"), "{diff}");
    let cut = world.repository.diff(&tree, &tree.base_sha, 60).await.unwrap();
    assert!(cut.len() <= 60 && cut.contains("[cut: "), "{cut}");
    let found = world.repository.find_trailer(&tree, &tree.base_sha, "TG-Step", "7").await.unwrap();
    assert_eq!(found, Some(sha));
    let absent = world.repository.find_trailer(&tree, &tree.base_sha, "TG-Step", "8").await.unwrap();
    assert_eq!(absent, None);
    let mut branches = world.repository.remote_branches().await.unwrap();
    branches.sort();
    assert_eq!(branches, ["0001-task", "main"]);
}

#[tokio::test]
async fn the_agent_sees_a_repository() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    assert_eq!(git(&tree.path, &["status", "--porcelain"]), "");
    assert_eq!(git(&tree.path, &["log", "--format=%s"]), "start\n");
    assert_eq!(git(&tree.path, &["branch", "--show-current"]), "0001-task\n");
    write(&tree.path.join("src/lib.txt"), "two\n");
    assert!(git(&tree.path, &["diff"]).contains("+two"));
    world.commit(&tree, "feat(x): two").await.unwrap();
    assert_eq!(git(&tree.path, &["status", "--porcelain"]), "");
    assert_eq!(git(&tree.path, &["log", "--format=%s"]), "feat(x): two\nstart\n");
    git(&tree.path, &["fsck", "--strict"]);
}

#[tokio::test]
async fn nothing_to_commit_is_no_commit() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    assert_eq!(world.commit(&tree, "feat(x): nothing").await, None);
    write(&tree.path.join("README.md"), "hello\n");
    assert_eq!(world.commit(&tree, "feat(x): same content").await, None);
    write(&tree.path.join("build/out"), "ignored\n");
    assert_eq!(world.commit(&tree, "feat(x): ignored only").await, None);
    assert_eq!(world.repository.tip(&tree).await.unwrap().0, tree.base_sha);
    assert_eq!(world.repository.push(&tree).await.unwrap(), Pushed::Done(tree.base_sha.clone()));
}

#[tokio::test]
async fn content_that_differs_in_line_ends_only_is_no_commit() {
    let world = World::with_remote();
    write(&world.checkout().join(".gitattributes"), "* text=auto eol=lf\n");
    commit_all(&world.checkout(), "attributes");
    git(&world.checkout(), &["push", "-q", "origin", "main"]);
    let tree = world.worktree().await;
    fs::write(tree.path.join("README.md"), "hello\r\n").unwrap();
    assert_eq!(world.commit(&tree, "feat(x): line ends").await, None);
}

#[tokio::test]
async fn a_dirty_tree_of_a_dead_attempt_is_saved_and_reset() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    write(&tree.path.join("src/lib.txt"), "half\n");
    write(&tree.path.join("new file\n\"quoted\""), "untracked\n");
    fs::write(tree.path.join("binary"), [0u8, 1, 2, 255]).unwrap();
    fs::remove_file(tree.path.join("README.md")).unwrap();
    write(&tree.path.join("build/cache"), "stays\n");
    fs::remove_dir_all(tree.path.join(".git")).unwrap();
    let base = tree.base_sha.clone();
    let (again, leftover) = world
        .repository
        .ensure_worktree(world.tree_path(), RunId(1), "0001-task", &base, &holder("job-1", 2))
        .await
        .unwrap();
    let patch = leftover.expect("the work is kept");
    assert_eq!(git(&again.path, &["status", "--porcelain"]), "");
    assert_eq!(fs::read_to_string(again.path.join("README.md")).unwrap(), "hello\n");
    assert!(!again.path.join("binary").exists());
    assert_eq!(fs::read_to_string(again.path.join("build/cache")).unwrap(), "stays\n");

    fs::write(world.path().join("leftover.patch"), patch).unwrap();
    git(&again.path, &["apply", &text(&world.path().join("leftover.patch"))]);
    assert_eq!(fs::read_to_string(again.path.join("src/lib.txt")).unwrap(), "half\n");
    assert_eq!(fs::read(again.path.join("binary")).unwrap(), [0u8, 1, 2, 255]);
    assert_eq!(fs::read_to_string(again.path.join("new file\n\"quoted\"")).unwrap(), "untracked\n");
    assert!(!again.path.join("README.md").exists());
}

#[tokio::test]
async fn an_old_attempt_is_fenced_out() {
    let world = World::with_remote();
    let old = world.worktree().await;
    let base = old.base_sha.clone();
    let take = |who| world.repository.ensure_worktree(world.tree_path(), RunId(1), "0001-task", &base, who);
    let newer = holder("job-1", 2);
    let (new, _) = take(&newer).await.unwrap();
    write(&new.path.join("src/lib.txt"), "new\n");
    let refused = world.repository.commit(&old, &new_commit("feat(x): zombie")).await.unwrap_err();
    assert!(matches!(refused, GitError::Fenced(_)), "{refused}");
    assert!(matches!(world.repository.push(&old).await.unwrap_err(), GitError::Fenced(_)));
    assert!(matches!(take(&old.holder).await.unwrap_err(), GitError::Fenced(_)));
    assert!(world.commit(&new, "feat(x): new").await.is_some());
    // Tokens of another job count on their own.
    let other = holder("job-2", 1);
    let (other_tree, leftover) = take(&other).await.unwrap();
    assert_eq!(leftover, None);
    assert!(matches!(
        world.repository.commit(&new, &new_commit("feat(x): late")).await.unwrap_err(),
        GitError::Fenced(_)
    ));
    assert!(matches!(take(&old.holder).await.unwrap_err(), GitError::Fenced(_)));
    write(&other_tree.path.join("src/lib.txt"), "other\n");
    assert!(world.commit(&other_tree, "feat(x): other").await.is_some());
}

#[tokio::test]
async fn a_worktree_is_reused_after_its_folder_or_view_is_lost() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    write(&tree.path.join("src/lib.txt"), "two\n");
    let sha = world.commit(&tree, "feat(x): two").await.unwrap();
    fs::remove_dir_all(&tree.path).unwrap();
    // Locks of a git that was killed.
    let git_dir = world.repository.control.join("worktrees/1");
    write(&git_dir.join("index.lock"), "");
    write(&world.repository.control.join("refs/heads/0001-task.lock"), "");
    let again = world.worktree().await;
    assert_eq!(fs::read_to_string(again.path.join("src/lib.txt")).unwrap(), "two\n");
    assert_eq!(world.repository.tip(&again).await.unwrap().0, sha);
    assert_eq!(git(&again.path, &["status", "--porcelain"]), "");
    write(&again.path.join("src/lib.txt"), "three\n");
    assert!(world.commit(&again, "feat(x): three").await.is_some());
}

#[tokio::test]
async fn odd_file_names_are_committed_as_they_are() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    let names =
        ["-rf", "--help", "new\nline", "\"quoted\" 'both'", "ünï ✓ \u{202e}x", ":(top)x", "*", "$(id)"];
    for name in names {
        write(&tree.path.join(name), name);
    }
    let shown = world.repository.changes(&tree, 100).await.unwrap();
    assert_eq!(shown.len(), names.len());
    assert!(shown.contains(&"?? new\\nline".to_owned()), "{shown:?}");
    assert_eq!(world.repository.changes(&tree, 3).await.unwrap().len(), 3);
    world.commit(&tree, "feat(x): names").await.unwrap();
    world.repository.push(&tree).await.unwrap();
    let listed = git(&world.remote(), &["ls-tree", "-z", "--name-only", "0001-task"]);
    for name in names {
        assert!(listed.split('\0').any(|found| found == name), "{name:?} in {listed:?}");
    }
}

#[tokio::test]
async fn a_repository_without_a_remote_is_served_from_its_own_branch() {
    let world = World::without_remote();
    let before = snapshot(&world.checkout());
    let tree = world.worktree().await;
    write(&tree.path.join("x"), "x");
    world.commit(&tree, "feat(x): x").await.unwrap();
    assert_eq!(world.repository.push(&tree).await.unwrap(), Pushed::NoRemote);
    assert_eq!(world.repository.remote_branches().await.unwrap(), ["main"]);
    assert_eq!(snapshot(&world.checkout()), before);
}

#[tokio::test]
async fn a_shallow_checkout_without_a_remote_works() {
    let mut world = World::without_remote();
    write(&world.checkout().join("second"), "2");
    commit_all(&world.checkout(), "second");
    let shallow = world.path().join("shallow");
    let source = format!("file://{}", world.checkout().display());
    git(world.path(), &["clone", "-q", "--depth=1", &source, &text(&shallow)]);
    git(&shallow, &["remote", "remove", "origin"]);
    world.repository.git_url = text(&shallow);
    world.repository.local_path = Some(shallow);
    let tree = world.worktree().await;
    assert!(tree.path.join("second").exists());
    write(&tree.path.join("x"), "x");
    assert!(world.commit(&tree, "feat(x): x").await.is_some());
}

#[tokio::test]
async fn the_users_checkout_stays_byte_identical() {
    let world = World::with_remote();
    let checkout = world.checkout();
    write(&checkout.join("README.md"), "edited\n");
    write(&checkout.join("staged"), "staged\n");
    git(&checkout, &["add", "staged"]);
    write(&checkout.join("untracked"), "untracked\n");
    let before = snapshot(&checkout);
    let source = inspect(Path::new("git"), &fixture::environment(), "checkout", world.path(), Hosts::Public)
        .await
        .unwrap();
    assert!(source.dirty);
    let tree = world.worktree().await;
    write(&tree.path.join("README.md"), "by the agent\n");
    world.commit(&tree, "feat(x): readme").await.unwrap();
    world.repository.push(&tree).await.unwrap();
    assert_eq!(snapshot(&checkout), before);
}

#[tokio::test]
async fn missing_things_are_named_with_a_remedy() {
    let world = World::with_remote();
    git(&world.checkout(), &["push", "-q", "origin", "main:develop"]);
    let error = world.repository.fetch_base("release").await.unwrap_err();
    let shown = error.to_string();
    assert!(matches!(error, GitError::Missing(_)), "{shown}");
    assert!(shown.contains("\"release\"") && shown.contains("develop, main"), "{shown}");

    let empty = world.path().join("empty.git");
    git(world.path(), &["init", "-q", "--bare", "empty.git"]);
    let mut repository = world.repository.clone();
    repository.control = world.path().join("control/2.git");
    repository.git_url = text(&empty);
    let error = repository.fetch_base("main").await.unwrap_err();
    assert!(matches!(&error, GitError::Missing(why) if why.contains("no commits yet")), "{error}");

    repository.git_url = text(&world.path().join("gone.git"));
    let error = repository.fetch_base("main").await.unwrap_err();
    assert!(matches!(&error, GitError::Missing(why) if why.contains("not there any more")), "{error}");

    fs::create_dir(world.path().join("plain")).unwrap();
    repository.git_url = text(&world.path().join("plain"));
    let error = repository.fetch_base("main").await.unwrap_err();
    assert!(matches!(&error, GitError::Remote(why) if why.contains("check the address")), "{error}");
}

#[tokio::test]
async fn a_push_to_a_remote_that_is_gone_or_refuses_says_so() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    write(&tree.path.join("x"), "x");
    let sha = world.commit(&tree, "feat(x): x").await.unwrap();
    let remote = world.remote();
    fs::rename(&remote, world.path().join("away.git")).unwrap();
    let error = world.repository.push(&tree).await.unwrap_err();
    assert!(matches!(&error, GitError::Remote(why) if why.contains("check the address")), "{error}");
    fs::rename(world.path().join("away.git"), &remote).unwrap();

    // Somebody else was faster with a commit of the same branch.
    git(&world.checkout(), &["checkout", "-q", "-b", "0001-task"]);
    write(&world.checkout().join("theirs"), "theirs");
    commit_all(&world.checkout(), "theirs");
    git(&world.checkout(), &["push", "-q", "origin", "0001-task"]);
    let theirs = git(&remote, &["rev-parse", "0001-task"]);
    let error = world.repository.push(&tree).await.unwrap_err();
    assert!(matches!(&error, GitError::Remote(why) if why.contains("not ours")), "{error}");
    assert_eq!(git(&remote, &["rev-parse", "0001-task"]), theirs, "never forced");
    assert_eq!(world.repository.tip(&tree).await.unwrap().0, sha);
}

#[tokio::test]
async fn foreign_branches_are_neither_taken_nor_pushed() {
    let world = World::with_remote();
    let base = world.repository.fetch_base("main").await.unwrap();
    let take = |run, branch: &'static str, path: &str| {
        let path = world.path().join(path);
        let base = base.clone();
        let repository = world.repository.clone();
        async move { repository.ensure_worktree(path, RunId(run), branch, &base, &holder("j", 1)).await }
    };
    let error = take(5, "main", "worktrees/main").await.unwrap_err();
    assert!(matches!(&error, GitError::Missing(why) if why.contains("not ours to change")), "{error}");
    let (tree, _) = take(6, "0006-a", "worktrees/0006-a").await.unwrap();
    let error = take(7, "0006-a", "worktrees/0006-b").await.unwrap_err();
    assert!(matches!(&error, GitError::Missing(why) if why.contains("another run")), "{error}");
    let error = take(8, "0006-a", "worktrees/0006-a").await.unwrap_err();
    assert!(matches!(&error, GitError::Missing(why) if why.contains("belongs to run 6")), "{error}");
    let mut forged = tree.clone();
    forged.branch = "main".to_owned();
    assert!(world.repository.push(&forged).await.is_err());
    fs::create_dir_all(world.path().join("worktrees/0009-a")).unwrap();
    write(&world.path().join("worktrees/0009-a/mine"), "mine");
    let error = take(9, "0009-a", "worktrees/0009-a").await.unwrap_err();
    assert!(matches!(&error, GitError::Missing(why) if why.contains("not empty")), "{error}");
    assert_eq!(fs::read_to_string(world.path().join("worktrees/0009-a/mine")).unwrap(), "mine");
}

#[tokio::test]
async fn runs_of_one_project_work_at_once() {
    let world = World::with_remote();
    let mut work = tokio::task::JoinSet::new();
    for run in 1..=8 {
        let repository = world.repository.clone();
        let path = world.path().join(format!("worktrees/000{run}-a"));
        work.spawn(async move {
            let base = repository.fetch_base("main").await.unwrap();
            let branch = format!("000{run}-a");
            let (tree, _) =
                repository.ensure_worktree(path, RunId(run), &branch, &base, &holder("j", 1)).await.unwrap();
            write(&tree.path.join("mine"), &branch);
            let sha = repository.commit(&tree, &new_commit(&branch)).await.unwrap().unwrap();
            assert_eq!(repository.push(&tree).await.unwrap(), Pushed::Done(sha));
        });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    for run in 1..=8 {
        let content = git(&world.remote(), &["show", &format!("000{run}-a:mine")]);
        assert_eq!(content, format!("000{run}-a"));
    }
}

#[tokio::test]
async fn a_submodule_keeps_its_commit() {
    let world = World::with_remote();
    git(&world.checkout(), &["init", "-q", "module"]);
    write(&world.checkout().join("module/x"), "x");
    commit_all(&world.checkout().join("module"), "module");
    commit_all(&world.checkout(), "with module");
    git(&world.checkout(), &["push", "-q", "origin", "main"]);
    let pinned = git(&world.checkout(), &["rev-parse", "HEAD:module"]);
    let tree = world.worktree().await;
    write(&tree.path.join("y"), "y");
    world.commit(&tree, "feat(y): y").await.unwrap();
    assert_eq!(git(&tree.path, &["rev-parse", "HEAD:module"]), pinned);
    assert_eq!(world.repository.changes(&tree, 5).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn nested_repositories_are_left_out() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    for (name, commits) in [("empty", false), ("full\nof it", true)] {
        git(&tree.path, &["init", "-q", name]);
        write(&tree.path.join(name).join("x"), "x");
        if commits {
            commit_all(&tree.path.join(name), "nested");
        }
    }
    assert_eq!(world.commit(&tree, "feat(x): only nested").await, None);
    write(&tree.path.join("own"), "own");
    assert_eq!(world.repository.changes(&tree, 9).await.unwrap(), ["?? own"]);
    let sha = world.commit(&tree, "feat(x): own").await.unwrap();
    assert_eq!(git(&tree.path, &["show", "--name-only", "--format=", &sha]).trim(), "own");
}

#[tokio::test]
async fn a_step_costs_few_processes() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    let take = |job: &'static str| async move { holder(job, 1) };
    let before = processes();
    let (tree, _) = world
        .repository
        .ensure_worktree(tree.path, RunId(1), "0001-task", &tree.base_sha, &take("job-2").await)
        .await
        .unwrap();
    write(&tree.path.join("src/lib.txt"), "two\n");
    world.repository.changes(&tree, 10).await.unwrap();
    world.commit(&tree, "feat(x): two").await.unwrap();
    world.repository.push(&tree).await.unwrap();
    let (tree, _) = world
        .repository
        .ensure_worktree(tree.path, RunId(1), "0001-task", &tree.base_sha, &take("job-3").await)
        .await
        .unwrap();
    world.repository.diff(&tree, &tree.base_sha, 1000).await.unwrap();
    // Other tests of this binary may run at the same time, so the counter is an upper bound only when
    // it is alone; `cargo nextest` or `--test-threads=1` shows 8.
    assert!(processes() - before >= 8);
}

#[tokio::test]
async fn sources_are_inspected() {
    let world = World::with_remote();
    let look = |given: String| {
        let directory = world.path().to_owned();
        async move { inspect(Path::new("git"), &fixture::environment(), &given, &directory, Hosts::Public).await }
    };
    let source = look("checkout/src".to_owned()).await.unwrap();
    assert_eq!(source.git_url, text(&world.remote()));
    assert_eq!(source.local_path, Some(world.checkout()));
    assert_eq!(source.default_branch.as_deref(), Some("main"));
    assert!(source.has_remote && !source.dirty, "{source:?}");

    git(&world.checkout(), &["worktree", "add", "-q", "-b", "side", "../linked"]);
    git(&world.checkout(), &["pack-refs", "--all"]);
    let linked = look("linked".to_owned()).await.unwrap();
    assert_eq!(linked.git_url, text(&world.remote()));
    assert_eq!(linked.default_branch.as_deref(), Some("side"));
    assert!(!linked.dirty);
    write(&world.path().join("linked/new"), "new");
    assert!(look("linked".to_owned()).await.unwrap().dirty);

    let bare = look("remote.git".to_owned()).await.unwrap();
    assert_eq!(bare.git_url, text(&world.remote()));
    assert_eq!((bare.local_path, bare.has_remote), (None, true));
    assert_eq!(bare.default_branch.as_deref(), Some("main"));
    let by_url = look(format!("file://{}", world.remote().display())).await.unwrap();
    assert_eq!(by_url.git_url, text(&world.remote()));

    git(&world.checkout(), &["remote", "set-url", "origin", "../remote.git"]);
    assert_eq!(look("checkout".to_owned()).await.unwrap().git_url, text(&world.remote()));
    git(&world.checkout(), &["remote", "set-url", "origin", "https://host.example/owner/repo.git"]);
    let https = look("checkout".to_owned()).await.unwrap();
    assert_eq!(https.git_url, "https://host.example/owner/repo.git");
    git(&world.checkout(), &["remote", "remove", "origin"]);
    let alone = look("checkout".to_owned()).await.unwrap();
    assert_eq!((alone.git_url, alone.has_remote), (text(&world.checkout()), false));
    git(&world.checkout(), &["checkout", "-q", "--detach"]);
    assert_eq!(look("checkout".to_owned()).await.unwrap().default_branch, None);
}

#[tokio::test]
async fn sources_that_are_none_are_refused_with_a_remedy() {
    let world = World::with_remote();
    fs::create_dir(world.path().join("plain")).unwrap();
    write(&world.path().join("broken/.git"), "gitdir: nowhere\n");
    for (given, expected) in [
        ("nowhere", "does not exist"),
        ("plain", "git init"),
        ("broken", "does not lead to a git repository"),
        ("", "no repository given"),
        ("http://host.example/x.git", "not allowed"),
        ("ext::sh -c id", "cannot use this repository"),
    ] {
        let error = inspect(Path::new("git"), &fixture::environment(), given, world.path(), Hosts::Public)
            .await
            .unwrap_err();
        assert!(matches!(error, GitError::Missing(_)), "{given}: {error:?}");
        assert!(error.to_string().contains(expected), "{given}: {error}");
    }
    git(&world.checkout(), &["remote", "set-url", "origin", "https://ada:hunter2@host.example/x.git"]);
    let error = inspect(Path::new("git"), &fixture::environment(), "checkout", world.path(), Hosts::Public)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("set-url") && !error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn git_is_found_and_new_enough() {
    let found = version(Path::new("git"), &fixture::environment()).await.unwrap();
    assert!(found.starts_with(|c: char| c.is_ascii_digit()), "{found}");
    let error = version(Path::new("no-such-git"), &fixture::environment()).await.unwrap_err();
    assert!(matches!(&error, GitError::Unusable(why) if why.contains("install git")), "{error}");
}

#[tokio::test]
async fn files_are_touched_in_confinement_where_there_is_one() {
    use tg_server::{engine::sandbox, process::Wrap};
    let mut world = World::with_remote();
    let search_path = &world.repository.environment[0].1;
    let found = sandbox::probe(search_path).await;
    world.repository.wrap = found.git_wrap(&world.repository.control, &world.tree_path());
    let confined = matches!(world.repository.wrap, Wrap::Prefix(_));
    assert_eq!(confined, matches!(found, sandbox::Sandbox::Bwrap(_)));
    let tree = world.worktree().await;
    write(&tree.path.join("src/lib.txt"), "two\n");
    assert_eq!(world.repository.changes(&tree, 10).await.unwrap(), [" M src/lib.txt"]);
    let sha = world.commit(&tree, "feat(x): two").await.unwrap();
    assert_eq!(world.repository.push(&tree).await.unwrap(), Pushed::Done(sha));
    write(&tree.path.join("src/lib.txt"), "dirty\n");
    let (_, leftover) = world
        .repository
        .ensure_worktree(world.tree_path(), RunId(1), "0001-task", &tree.base_sha, &holder("job-1", 2))
        .await
        .unwrap();
    assert!(leftover.is_some());
}
