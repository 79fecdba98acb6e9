//! Ways to make git run a program: how each is planted, and plain git commands that show that it
//! works at all.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::super::git::fixture::{text, try_git, write};

/// Where a vector is planted.
pub struct Plant<'a> {
    /// Git dir whose settings and hooks are written.
    pub git_dir: PathBuf,
    /// Checkout whose files are written.
    pub work: PathBuf,
    /// File that the hostile program makes.
    pub sentinel: &'a Path,
}

impl Plant<'_> {
    /// Sets `key` in the settings of the git dir.
    fn set(&self, key: &str, value: &str) {
        let file = text(&self.git_dir.join("config"));
        let (done, why) = try_git(Path::new("/"), &["config", "--file", &file, key, value]);
        assert!(done, "{why}");
    }

    /// A program that shows that it ran, and ends.
    fn program(&self, path: &Path) -> String {
        write(path, &format!("#!/bin/sh\n: > '{}'\nexit 0\n", self.sentinel.display()));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        text(path)
    }

    /// A line for a shell that hands its input on. The redirection works without any program on the path.
    fn shell(&self) -> String {
        format!(": > '{}'; cat", self.sentinel.display())
    }

    fn script(&self) -> String {
        self.program(&self.near(self.sentinel.file_name().unwrap().to_str().unwrap()))
    }

    /// A place beside the sentinels; no spaces in it, for git hands some programs to a shell.
    fn near(&self, name: &str) -> PathBuf {
        self.sentinel.parent().unwrap().with_file_name("hostile").join(name)
    }
}

/// A way to make git run a program.
pub struct Vector {
    pub name: &'static str,
    pub plant: fn(&Plant),
    /// Runs plain git in a linked worktree so that the program runs.
    pub fire: fn(&Path),
}

/// Hooks that git runs on this or the other side of any command we use.
const HOOKS: &[&str] = &[
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "update",
];

fn run(work: &Path, commands: &[&[&str]]) {
    for command in commands {
        // What the command says does not matter: only whether the program ran.
        try_git(work, command);
    }
}

fn edit(work: &Path) {
    write(&work.join("src/lib.txt"), "six\n");
}

fn edit_and_commit(work: &Path) {
    edit(work);
    run(work, &[&["commit", "-q", "-a", "-m", "x"]]);
}

fn diff(work: &Path) {
    edit(work);
    run(work, &[&["diff"]]);
}

fn status(work: &Path) {
    run(work, &[&["status"]]);
}

fn fetch(work: &Path) {
    run(work, &[&["fetch", "origin"]]);
}

fn nested(plant: &Plant, settings: &[(&str, &str)]) {
    let inner = plant.work.join("nested");
    if !inner.join(".git").exists() {
        fs::create_dir_all(&inner).unwrap();
        try_git(&inner, &["init", "-q"]);
        write(&inner.join("x"), "1\n");
        write(&inner.join(".gitattributes"), "* filter=evil\n");
        try_git(&inner, &["add", "-A"]);
        try_git(&inner, &["commit", "-q", "-m", "nested"]);
    }
    let inner = Plant { git_dir: inner.join(".git"), work: inner, sentinel: plant.sentinel };
    for (key, value) in settings {
        inner.set(key, value);
    }
    // Same size, so that only a look at the content tells.
    write(&inner.work.join("x"), "2\n");
}

fn add_nested(work: &Path) {
    run(work, &[&["add", "-A"], &["status"], &["add", "-A"]]);
}

pub const VECTORS: &[Vector] = &[
    Vector { name: "fsmonitor", plant: |p| p.set("core.fsmonitor", &p.script()), fire: status },
    Vector {
        name: "hooks",
        plant: |p| {
            for hook in HOOKS {
                p.program(&p.git_dir.join("hooks").join(hook));
            }
        },
        fire: edit_and_commit,
    },
    Vector {
        name: "hook-of-another-worktree",
        plant: |p| {
            p.program(&p.git_dir.join("hooks/post-checkout"));
        },
        fire: |work| run(work, &[&["worktree", "add", "-q", "../another"]]),
    },
    Vector {
        name: "hooksPath",
        plant: |p| {
            let folder = p.near("hooks");
            for hook in HOOKS {
                p.program(&folder.join(hook));
            }
            p.set("core.hooksPath", &text(&folder));
        },
        fire: edit_and_commit,
    },
    Vector {
        name: "filter-clean",
        plant: |p| p.set("filter.evil.clean", &p.shell()),
        fire: |work| {
            edit(work);
            run(work, &[&["add", "-A"]]);
        },
    },
    Vector {
        name: "filter-smudge",
        plant: |p| p.set("filter.evil.smudge", &p.shell()),
        fire: |work| {
            fs::remove_file(work.join("src/lib.txt")).unwrap();
            run(work, &[&["checkout", "--", "."]]);
        },
    },
    Vector {
        name: "filter-process",
        plant: |p| p.set("filter.evil.process", &p.script()),
        fire: |work| {
            edit(work);
            run(work, &[&["add", "-A"]]);
        },
    },
    Vector { name: "textconv", plant: |p| p.set("diff.evil.textconv", &p.script()), fire: diff },
    Vector { name: "external-diff", plant: |p| p.set("diff.external", &p.script()), fire: diff },
    Vector { name: "named-diff", plant: |p| p.set("diff.evil.command", &p.script()), fire: diff },
    Vector {
        name: "merge-driver",
        plant: |p| p.set("merge.evil.driver", &p.shell()),
        fire: |work| {
            run(work, &[&["checkout", "-q", "-b", "one"]]);
            edit_and_commit(work);
            run(work, &[&["checkout", "-q", "-b", "two", "HEAD^"]]);
            write(&work.join("src/lib.txt"), "sev\n");
            run(work, &[&["commit", "-q", "-a", "-m", "y"], &["merge", "-q", "one"]]);
        },
    },
    Vector {
        name: "sshCommand",
        plant: |p| {
            p.set("core.sshCommand", &p.script());
            p.set("url.ssh://host.invalid/.insteadOf", "/");
        },
        fire: fetch,
    },
    Vector {
        name: "ext-remote",
        plant: |p| {
            p.set("protocol.ext.allow", "always");
            p.set("remote.origin.url", &format!("ext::{}", p.script()));
        },
        fire: fetch,
    },
    Vector {
        name: "uploadpack",
        plant: |p| {
            p.set("remote.origin.uploadpack", &p.script());
            p.set("uploadpack.packObjectsHook", &p.script());
        },
        fire: fetch,
    },
    Vector {
        name: "receivepack",
        plant: |p| p.set("remote.origin.receivepack", &p.script()),
        fire: |work| run(work, &[&["push", "origin", "HEAD"]]),
    },
    Vector {
        name: "gpg-program",
        plant: |p| {
            p.set("gpg.program", &p.script());
            p.set("commit.gpgSign", "true");
            p.set("push.gpgSign", "if-asked");
            p.set("log.showSignature", "true");
        },
        fire: edit_and_commit,
    },
    Vector {
        name: "include",
        plant: |p| {
            let included = p.near("included");
            write(&included, &format!("[core]\n\tfsmonitor = {}\n", p.script()));
            p.set("include.path", &text(&included));
        },
        fire: status,
    },
    Vector {
        name: "rewritten-git-file",
        plant: |p| {
            let elsewhere = p.near("elsewhere");
            if !elsewhere.exists() {
                try_git(Path::new("/"), &["init", "-q", "--bare", &text(&elsewhere)]);
            }
            let elsewhere = Plant { git_dir: elsewhere, work: p.work.clone(), sentinel: p.sentinel };
            elsewhere.set("core.bare", "false");
            elsewhere.set("core.worktree", &text(&p.work));
            elsewhere.set("core.fsmonitor", &p.script());
            let place = p.work.join(".git");
            if place.is_dir() {
                fs::remove_dir_all(&place).unwrap();
            }
            fs::write(&place, format!("gitdir: {}\n", elsewhere.git_dir.display())).unwrap();
        },
        fire: status,
    },
    Vector {
        name: "nested-fsmonitor",
        plant: |p| nested(p, &[("core.fsmonitor", &p.script())]),
        fire: add_nested,
    },
    Vector {
        name: "nested-filter",
        plant: |p| nested(p, &[("filter.evil.clean", &p.shell())]),
        fire: add_nested,
    },
    Vector {
        name: "pager-and-editor",
        plant: |p| {
            for key in ["core.pager", "pager.diff", "pager.log", "core.editor", "sequence.editor"] {
                p.set(key, &p.script());
            }
        },
        fire: |work| {
            edit(work);
            run(work, &[&["commit", "-a"]]);
        },
    },
];
