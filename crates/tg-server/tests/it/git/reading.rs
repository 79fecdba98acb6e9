//! What people are shown of a run: files, diff, where its branch stands. Nothing an agent writes hides
//! a change, breaks the list or runs.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use tg_core::{ids::RunId, review::FilePath, wire::FileStatus};
use tg_server::git::{FileChange, GitError, Span, worktree::Worktree};

use super::fixture::{World, commit_all, git, write};

const CAP: usize = 1024 * 1024;

async fn committed(world: &World, change: impl Fn(&Worktree)) -> (Worktree, Span) {
    let tree = world.worktree().await;
    change(&tree);
    let to = world.commit(&tree, "feat(x): change").await.unwrap();
    let from = tree.base_sha.clone();
    (tree, Span { from, to })
}

async fn patch(world: &World, span: &Span, path: Option<&str>) -> String {
    let path = path.map(|path| FilePath::parse(path).unwrap());
    let patch = world.repository.patch(span, path.as_ref(), 3, CAP).await.unwrap();
    assert!(!patch.is_cut);
    String::from_utf8_lossy(&patch.kept).into_owned()
}

async fn files(world: &World, span: &Span, path: Option<&str>) -> Vec<FileChange> {
    let path = path.map(|path| FilePath::parse(path).unwrap());
    let files = world.repository.changed_files(span, path.as_ref()).await.unwrap();
    assert!(!files.is_cut);
    files.kept
}

fn shown(files: &[FileChange]) -> Vec<String> {
    let line = |file: &FileChange| {
        let old = file.old_path.as_ref().map(|old| format!(" < {}", String::from_utf8_lossy(old)));
        let counts = if file.is_binary {
            "binary".to_owned()
        } else {
            format!("+{} -{}", file.additions, file.deletions)
        };
        let path = String::from_utf8_lossy(&file.path);
        format!("{} {path}{} {counts}", file.status, old.unwrap_or_default())
    };
    files.iter().map(line).collect()
}

#[tokio::test]
async fn every_kind_of_change_is_listed_and_shown() {
    let world = World::with_remote();
    let checkout = world.checkout();
    write(&checkout.join("docs/old name.txt"), &"a line\n".repeat(40));
    write(&checkout.join("dos.txt"), "one\r\ntwo\r\n");
    write(&checkout.join("link"), "a file\n");
    fs::write(checkout.join("data.bin"), b"\0\x01\x02").unwrap();
    commit_all(&checkout, "more");
    git(&checkout, &["push", "-q", "origin", "main"]);
    let (_, span) = committed(&world, |tree| {
        let at = |path: &str| tree.path.join(path);
        fs::create_dir(at("moved")).unwrap();
        fs::rename(at("docs/old name.txt"), at("moved/new.txt")).unwrap();
        fs::write(at("moved/new.txt"), format!("{}more\n", "a line\n".repeat(40))).unwrap();
        fs::write(at("dos.txt"), "one\r\nthree\r\n").unwrap();
        fs::remove_file(at("link")).unwrap();
        symlink("README.md", at("link")).unwrap();
        fs::write(at("data.bin"), b"\0\x03").unwrap();
        fs::remove_file(at("README.md")).unwrap();
        write(&at("a\nb\t\"c\".txt"), "odd\n");
        write(&at("-x"), "dash\n");
        fs::write(tree.path.join(OsStr::from_bytes(b"\xff.txt")), b"caf\xe9\n").unwrap();
    })
    .await;
    let listed = shown(&files(&world, &span, None).await);
    assert_eq!(
        listed,
        [
            "added -x +1 -0",
            "deleted README.md +0 -1",
            "added a\nb\t\"c\".txt +1 -0",
            "modified data.bin binary",
            "modified dos.txt +1 -1",
            "type_changed link +1 -1",
            "renamed moved/new.txt < docs/old name.txt +1 -0",
            "added \u{fffd}.txt +1 -0",
        ]
    );
    let text = patch(&world, &span, None).await;
    for part in [
        "rename from docs/old name.txt\nrename to moved/new.txt\n",
        "-two\r\n+three\r\n",
        "Binary files a/data.bin and b/data.bin differ\n",
        "deleted file mode 100644\n",
        "new file mode 120000\n",
        "+caf\u{fffd}\n",
        "+++ \"b/a\\nb\\t\\\"c\\\".txt\"\n",
        "+dash\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_path_is_literal_and_a_renamed_file_is_known_by_its_new_path() {
    let world = World::with_remote();
    write(&world.checkout().join("from/a.txt"), &"a line\n".repeat(40));
    commit_all(&world.checkout(), "more");
    git(&world.checkout(), &["push", "-q", "origin", "main"]);
    let (_, span) = committed(&world, |tree| {
        fs::rename(tree.path.join("from/a.txt"), tree.path.join("src/b.txt")).unwrap();
        write(&tree.path.join("src/lib.txt"), "two\n");
        write(&tree.path.join("src2/lib.txt"), "other\n");
        write(&tree.path.join("src[1]/*.txt"), "globs\n");
        write(&tree.path.join("-x"), "dash\n");
        write(&tree.path.join(":(top)y"), "magic\n");
    })
    .await;
    assert_eq!(
        shown(&files(&world, &span, Some("src")).await),
        ["renamed src/b.txt < from/a.txt +0 -0", "modified src/lib.txt +1 -1"]
    );
    let text = patch(&world, &span, Some("src")).await;
    assert!(text.contains("rename from from/a.txt\nrename to src/b.txt\n"), "{text}");
    assert!(!text.contains("src2"), "{text}");
    for (path, content) in [("-x", "dash"), (":(top)y", "magic"), ("src[1]/*.txt", "globs")] {
        let text = patch(&world, &span, Some(path)).await;
        assert!(text.contains(&format!("+{content}\n")) && text.matches("diff --git").count() == 1, "{text}");
    }
    for path in ["*", "src*", ":(top)src", "nowhere"] {
        assert_eq!(patch(&world, &span, Some(path)).await, "", "{path}");
        assert_eq!(files(&world, &span, Some(path)).await, []);
    }
}

#[tokio::test]
async fn a_diff_that_is_too_long_is_cut_at_a_line_and_the_context_is_as_asked() {
    let world = World::with_remote();
    let lines = "a line of some length\n".repeat(300_000);
    let (_, span) = committed(&world, |tree| write(&tree.path.join("long.txt"), &lines)).await;
    let patch = world.repository.patch(&span, None, 3, 50_000).await.unwrap();
    assert!(patch.is_cut && patch.kept.len() <= 50_000 && patch.kept.len() > 49_900);
    assert!(patch.kept.starts_with(b"diff --git a/long.txt b/long.txt\n") && patch.kept.ends_with(b"\n"));
    let huge = World::with_remote();
    let (_, span) = committed(&huge, |tree| write(&tree.path.join("huge.txt"), &"x\n".repeat(9 << 20))).await;
    let patch = huge.repository.patch(&span, None, 3, CAP).await.unwrap();
    let text = String::from_utf8(patch.kept).unwrap();
    assert!(text.ends_with("Binary files /dev/null and b/huge.txt differ\n"), "{text}");

    let world = World::with_remote();
    write(&world.checkout().join("ten.txt"), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    commit_all(&world.checkout(), "ten");
    git(&world.checkout(), &["push", "-q", "origin", "main"]);
    let (_, span) = committed(&world, |tree| {
        write(&tree.path.join("ten.txt"), "0\n1\n2\n3\n4\nfive\n6\n7\n8\n9\n");
    })
    .await;
    for (context, kept) in [(0, 0), (1, 2), (100, 9)] {
        let patch = world.repository.patch(&span, None, context, CAP).await.unwrap();
        let text = String::from_utf8(patch.kept).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with(' ')).count(), kept, "{text}");
    }
}

#[tokio::test]
async fn attributes_of_a_tree_hide_nothing() {
    let world = World::with_remote();
    let (_, span) = committed(&world, |tree| {
        write(&tree.path.join(".gitattributes"), "* -diff\n");
        write(&tree.path.join("src/lib.txt"), "two\n");
    })
    .await;
    // Some versions of git look for attributes of a bare repository at its `HEAD`.
    fs::write(world.repository.control.join("HEAD"), "ref: refs/heads/0001-task\n").unwrap();
    git(&world.repository.control, &["config", "attr.tree", &span.to]);
    let plain = git(&world.repository.control, &["diff", &span.from, &span.to]);
    assert!(plain.contains("Binary files a/src/lib.txt"), "plain git hides it: {plain}");
    let text = patch(&world, &span, Some("src/lib.txt")).await;
    assert!(text.contains("-one\n+two\n"), "{text}");
    assert!(!files(&world, &span, Some("src/lib.txt")).await[0].is_binary);
}

#[tokio::test]
async fn what_a_step_found_when_it_began_is_not_shown_as_undone() {
    let world = World::with_remote();
    let (tree, span) = committed(&world, |tree| write(&tree.path.join("first.txt"), "1\n")).await;
    write(&tree.path.join("second.txt"), "2\n");
    let later = world.commit(&tree, "docs(x): report").await.unwrap();
    let backwards = Span { from: later, to: span.to };
    assert_eq!(files(&world, &backwards, None).await, []);
    assert_eq!(patch(&world, &backwards, None).await, "");
}

#[tokio::test]
async fn standing_counts_commits_and_names_what_is_not_committed() {
    let world = World::with_remote();
    let tree = world.worktree().await;
    let seen = Worktree::seen(tree.path.clone(), tree.run, &tree.branch, &tree.base_sha);
    let look = async |most| world.repository.standing(&seen, "main", most).await.unwrap();
    let fresh = look(10).await;
    assert_eq!((fresh.ahead, fresh.behind, fresh.changed.len(), fresh.is_cut), (0, 0, 0, false));
    assert_eq!(fresh.head, tree.base_sha);
    write(&tree.path.join("one.txt"), "1\n");
    let sha = world.commit(&tree, "feat(x): one").await.unwrap();
    write(&world.checkout().join("README.md"), "changed\n");
    commit_all(&world.checkout(), "elsewhere");
    write(&world.checkout().join("README.md"), "again\n");
    commit_all(&world.checkout(), "elsewhere");
    git(&world.checkout(), &["push", "-q", "origin", "main"]);
    world.repository.fetch_base("main").await.unwrap();
    write(&tree.path.join("new/two.txt"), "2\n");
    write(&tree.path.join("one.txt"), "other\n");
    let dirty = look(10).await;
    assert_eq!((dirty.ahead, dirty.behind, dirty.head), (1, 2, sha.clone()));
    assert_eq!(dirty.changed, [b"one.txt".to_vec(), b"new/two.txt".to_vec()]);
    let cut = look(1).await;
    assert!(cut.is_cut && cut.changed.len() == 1);
    git(&world.repository.control, &["update-ref", "-d", "refs/remotes/origin/main"]);
    let alone = look(10).await;
    assert_eq!((alone.ahead, alone.behind), (1, 0), "counted from where the run began");
    let span = Span { from: tree.base_sha.clone(), to: sha };
    assert_eq!(shown(&files(&world, &span, None).await), ["added one.txt +1 -0"], "only what is committed");
}

#[tokio::test]
async fn a_look_waits_for_nobody_and_touches_nothing() {
    let world = World::with_remote();
    let (tree, span) = committed(&world, |tree| write(&tree.path.join("one.txt"), "1\n")).await;
    write(&tree.path.join("two.txt"), "2\n");
    let control = &world.repository.control;
    let git_dir = control.join("worktrees/1");
    // As while a commit of ours is at work.
    fs::write(git_dir.join("index.lock"), "").unwrap();
    let lock = fs::OpenOptions::new().write(true).open(control.join("tasksgodzilla/run-1.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let before = super::fixture::snapshot(&git_dir);
    let seen = Worktree::seen(tree.path.clone(), tree.run, &tree.branch, &tree.base_sha);
    let standing = world.repository.standing(&seen, "main", 10).await.unwrap();
    assert_eq!(standing.changed, [b"two.txt".to_vec()]);
    assert_eq!(shown(&files(&world, &span, None).await), ["added one.txt +1 -0"]);
    assert_eq!(super::fixture::snapshot(&git_dir), before);
}

#[tokio::test]
async fn only_a_runs_own_branch_has_a_standing() {
    let world = World::with_remote();
    let absent = Worktree::seen(world.tree_path(), RunId(1), "0001-task", &"a".repeat(40));
    let missing = world.repository.tip_of(&absent).await;
    assert!(matches!(missing, Err(GitError::Missing(_))), "{missing:?}");
    let tree = world.worktree().await;
    for (run, branch) in [(2, "0001-task"), (1, "main")] {
        let other = Worktree::seen(tree.path.clone(), RunId(run), branch, &tree.base_sha);
        let refused = world.repository.tip_of(&other).await;
        assert!(matches!(refused, Err(GitError::Missing(_))), "{refused:?}");
        let refused = world.repository.standing(&other, "main", 9).await;
        assert!(matches!(refused, Err(GitError::Missing(_))), "{refused:?}");
    }
    let seen = Worktree::seen(tree.path.clone(), tree.run, &tree.branch, &tree.base_sha);
    write(&tree.path.join("x"), "x\n");
    let refused = world.repository.commit(&seen, &super::fixture::new_commit("feat(x): y")).await;
    assert!(matches!(refused, Err(GitError::Fenced(_))), "{refused:?}");
    assert_eq!(files(&world, &Span { from: tree.base_sha.clone(), to: tree.base_sha }, None).await, []);
    let wild = Span { from: "--output=/tmp/x".to_owned(), to: "HEAD".to_owned() };
    assert!(world.repository.changed_files(&wild, None).await.is_err());
    assert_eq!(FileStatus::parse("added"), Some(FileStatus::Added));
}
