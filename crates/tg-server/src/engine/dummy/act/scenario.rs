//! The scenarios of the dummy engine, by the name given as model.

use std::{
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use super::{
    super::{plan, read::Line},
    Call, End, USAGE_STATUS, fail, raw, say,
};
use crate::process;

/// Bytes that `flood` prints unless told otherwise.
pub(super) const FLOOD_BYTES: u64 = 64 * 1024 * 1024;

/// Every scenario.
const NAMES: &[&str] = &[
    "ok",
    "qa-fail",
    "qa-garbage",
    "no-change",
    "bad-json",
    "retry-then-ok",
    "auth",
    "rate-limited",
    "quota",
    "context",
    "network",
    "crash",
    "hang",
    "chatty-hang",
    "orphan",
    "flood",
    "escape",
    "ansi",
];

impl Call {
    pub(super) fn scenario(&self, name: &str) -> Result<(), End> {
        match name {
            "qa-fail" if self.role == "qa" => self.done(plan::report(&self.step, &self.prompt, Some("FAIL"))),
            "qa-garbage" if self.role == "qa" => self.done(plan::report(&self.step, &self.prompt, None)),
            "ok" | "qa-fail" | "qa-garbage" => self.well(),
            "no-change" => self.done(self.answer()),
            "bad-json" => self.done("{\"plan_md\": \"half a plan".to_owned()),
            "retry-then-ok" => {
                say(&Line::Retry { message: format!("attempt {} met a weak line", self.attempt) })?;
                if self.attempt > 1 {
                    self.well()
                } else {
                    fail("network", "the line was cut at the first attempt")
                }
            }
            "auth" => fail("auth", "401 Unauthorized: the key was refused"),
            "rate-limited" => fail("rate_limited", "429 Too Many Requests, try again in 1 s"),
            "quota" => fail("quota", "Quota exceeded"),
            "context" => fail("context_too_long", "the prompt does not fit the context window"),
            "network" => fail("network", "stream disconnected before completion"),
            "crash" => {
                raw(b"{\"type\":\"text\",\"te")?;
                std::process::abort()
            }
            "hang" => loop {
                sleep(Duration::from_hours(1));
            },
            "chatty-hang" => loop {
                say(&Line::Text { text: "still at it".to_owned() })?;
                sleep(Duration::from_millis(20));
            },
            "orphan" => self.orphan(),
            "flood" => self.flood(),
            "escape" => self.escape(),
            "ansi" => {
                raw(b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \xff\xfe \r\n\x00\n")?;
                say(&Line::Text { text: "\u{1b}[2Jcleared?".to_owned() })?;
                self.well()
            }
            other => {
                let known = NAMES.join(", ");
                let message = format!("the dummy engine has no scenario {other:?}; take one of {known}");
                say(&Line::Failed { kind: "bad_invocation".to_owned(), message })?;
                Err(End::Status(USAGE_STATUS))
            }
        }
    }

    fn well(&self) -> Result<(), End> {
        say(&Line::Text { text: format!("{} {} ({})", self.role, self.step, plan::digest(&self.prompt)) })?;
        if self.role == "execute" {
            self.work()?;
        }
        self.done(self.answer())
    }

    /// Leaves a child in a session of its own behind.
    fn orphan(&self) -> Result<(), End> {
        let own = std::env::current_exe()?;
        let child = process::spawn_silent(&[own.into(), "__dummy".into(), "--stay".into()])?;
        say(&Line::Text { text: format!("left process {} behind", child.id()) })?;
        self.well()
    }

    fn flood(&self) -> Result<(), End> {
        let piece = vec![b'x'; 1024 * 1024];
        let mut left = self.flood_bytes;
        while left > 0 {
            let size = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            raw(&piece[..size])?;
            left -= u64::try_from(size).unwrap_or(left);
        }
        raw(b"\n")?;
        self.well()
    }

    /// Tries to write where it must not, tells what worked, and goes on as if all were well.
    fn escape(&self) -> Result<(), End> {
        let name = format!("escaped-{}", plan::digest(&self.prompt));
        let here = std::env::current_dir()?;
        let beside = here.parent().map(Path::to_owned).unwrap_or_default();
        let mut places: Vec<PathBuf> =
            vec!["/etc".into(), "/usr".into(), "/var/tmp".into(), "/".into(), beside.clone()];
        places.extend(beside.parent().map(Path::to_owned));
        places.push(here.join(".git"));
        let mut written = Vec::new();
        for place in places {
            let path = place.join(&name);
            if std::fs::write(&path, b"escaped").is_ok() {
                written.push(path.display().to_string());
            }
        }
        let link = here.join(format!("{name}-link"));
        if std::os::unix::fs::symlink(&beside, &link).is_ok()
            && std::fs::write(link.join(&name), b"escaped").is_ok()
        {
            written.push(format!("{} through a link", beside.join(&name).display()));
        }
        say(&Line::Text { text: format!("wrote outside: {written:?}") })?;
        self.well()
    }
}
