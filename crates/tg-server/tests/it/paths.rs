//! Files beneath a root: what lies outside stays out of reach, whatever the name and the links say.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use tg_server::paths::Root;

struct Place {
    folder: tempfile::TempDir,
    root: Root,
}

/// A root with links of every kind beside a file that must not be reached.
fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::create_dir_all(folder.path().join("outside")).unwrap();
    fs::write(folder.path().join("outside/note"), "confidential").unwrap();
    fs::write(inside.join("sub/file"), "plain").unwrap();
    symlink(folder.path().join("outside"), inside.join("absolute")).unwrap();
    symlink("../outside", inside.join("relative")).unwrap();
    symlink("../outside/note", inside.join("note")).unwrap();
    symlink("/proc/self/root", inside.join("magic")).unwrap();
    symlink("sub", inside.join("harmless")).unwrap();
    Place { root: Root::open(&inside).unwrap(), folder }
}

const OUTSIDE: &[&str] = &[
    "../outside/note",
    "sub/../../outside/note",
    "/etc/passwd",
    "absolute/note",
    "relative/note",
    "note",
    "magic/etc/passwd",
    "harmless/file",
    "..",
    "./../outside/note",
    "sub/../file",
];

#[test]
fn nothing_outside_is_read_written_or_listed() {
    let place = place();
    for name in OUTSIDE {
        assert!(place.root.read(Path::new(name), 1000).is_err(), "read {name}");
        assert!(place.root.append(Path::new(name), b"x").is_err(), "append {name}");
        assert!(!place.root.is_file(Path::new(name)).unwrap_or(false), "is_file {name}");
    }
    for name in ["../outside/new", "absolute/new", "relative/new", "magic/tmp/new", "/tmp/new", "..", ""] {
        assert!(place.root.write(Path::new(name), b"x").is_err(), "write {name}");
    }
    for name in ["..", "absolute", "relative", "magic", "/"] {
        assert!(place.root.list(Path::new(name)).is_err(), "list {name}");
    }
    assert_eq!(fs::read_dir(place.folder.path().join("outside")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(place.folder.path().join("outside/note")).unwrap(), "confidential");
}

#[test]
fn a_write_replaces_a_link_and_never_follows_it() {
    let place = place();
    place.root.write(Path::new("note"), b"mine").unwrap();
    assert_eq!(fs::read_to_string(place.folder.path().join("outside/note")).unwrap(), "confidential");
    assert_eq!(place.root.read(Path::new("note"), 10).unwrap(), b"mine");
}

#[test]
fn files_are_made_replaced_appended_and_listed() {
    let Place { root, folder } = place();
    root.write(Path::new("a/b/c.md"), b"one").unwrap();
    root.write(Path::new("a/b/c.md"), b"two").unwrap();
    assert!(root.append(Path::new("a/b/c.md"), b" three").unwrap());
    assert!(!root.append(Path::new("a/b/none"), b"x").unwrap());
    assert_eq!(root.read(Path::new("./a/b/c.md"), 9).unwrap(), b"two three");
    assert_eq!(root.read(Path::new("a/b/c.md"), 8).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(root.read(Path::new("a/b/none"), 8).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(root.list(Path::new("a/b")).unwrap(), ["c.md"]);
    assert_eq!(root.list(Path::new("nowhere")).unwrap(), Vec::<String>::new());
    assert_eq!(
        root.list(Path::new("")).unwrap(),
        ["a", "absolute", "harmless", "magic", "note", "relative", "sub"]
    );
    assert!(root.is_file(Path::new("a/b/c.md")).unwrap());
    assert!(!root.is_file(Path::new("a/b")).unwrap() && !root.is_file(Path::new("a/x")).unwrap());
    drop(folder);
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let Place { root, folder } = place();
    let pipe = folder.path().join("inside/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    assert!(root.read(Path::new("pipe"), 10).is_err());
    assert!(root.append(Path::new("pipe"), b"x").is_err());
    assert!(root.read(Path::new("sub"), 10).is_err());
    assert!(!root.is_file(Path::new("pipe")).unwrap());
}

/// A folder that is a folder now and a link a moment later.
#[test]
fn a_race_of_links_is_never_won() {
    const ROUNDS: usize = 20_000;
    let Place { root, folder } = place();
    let inside = folder.path().join("inside");
    fs::create_dir(inside.join("real")).unwrap();
    fs::write(inside.join("real/note"), "plain").unwrap();
    symlink("../outside", inside.join("bait")).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for name in ["real", "bait"] {
                    // Exchanged in one step, so that the name is always there.
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    let (from, to) = (inside.join(name), inside.join("sub"));
                    rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags).unwrap();
                }
            }
        });
        let mut reads = 0;
        for round in 0..ROUNDS {
            if let Ok(bytes) = root.read(Path::new("sub/note"), 100) {
                assert_eq!(bytes, b"plain");
                reads += 1;
            }
            if round % 50 == 0 {
                root.write(Path::new("sub/made"), b"x").ok();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(reads > 0, "the race was never run");
    });
    assert!(!folder.path().join("outside/made").exists());
}
