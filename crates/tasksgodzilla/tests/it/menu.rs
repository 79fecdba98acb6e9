//! A bare call on a terminal: the menu leads to commands, up again and out.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::Child,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::env::{TestEnv, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

/// The binary on a terminal of its own, and what it has shown.
struct Terminal {
    child: Child,
    keys: File,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn open(env: &TestEnv, arguments: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&controller).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&controller, size).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let terminal: OwnedFd = OpenOptions::new().read(true).write(true).open(name).unwrap().into();
        let child = env
            .command(arguments)
            .env("TERM", "xterm")
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal)
            .spawn()
            .unwrap();
        let keys = File::from(controller);
        let mut screen = keys.try_clone().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let seen = shown.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // The terminal is gone with its last user.
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Self { child, keys, shown }
    }

    /// Waits for a text that was not shown before; forgets everything up to it.
    #[track_caller]
    fn sees(&self, text: &str) {
        wait_until(text, LIMIT, || self.shown.lock().unwrap().contains(text));
        let mut shown = self.shown.lock().unwrap();
        let end = shown.find(text).unwrap() + text.len();
        shown.drain(..end);
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    #[track_caller]
    fn ends_with(mut self, code: i32) {
        let ended = Mutex::new(&mut self.child);
        wait_until("the end", LIMIT, || ended.lock().unwrap().try_wait().unwrap().is_some());
        assert_eq!(self.child.wait().unwrap().code(), Some(code), "{}", self.shown.lock().unwrap());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_menu_leads_to_commands_up_again_and_out() {
    let env = TestEnv::new();
    let (_server, _) = env.serve(&["--no-worker"]);
    let mut terminal = Terminal::open(&env, &[]);
    terminal.sees("queues");
    terminal.press(b"\r");
    terminal.sees("create from a checkout");
    terminal.press(b"\r");
    terminal.sees("$ tasksgodzilla projects list");
    terminal.sees("nothing to show");
    terminal.sees("create from a checkout");
    terminal.press(b"show\r");
    terminal.sees("id of the project");
    terminal.press(b"7\r");
    terminal.sees("$ tasksgodzilla projects show 7");
    terminal.sees("not_found");
    terminal.sees("create from a checkout");
    terminal.press(b"\x1b");
    terminal.sees("queues");
    terminal.press(b"\x1b");
    terminal.ends_with(0);
}

#[test]
fn ctrl_c_leaves_the_menu_with_130() {
    let env = TestEnv::new();
    let mut terminal = Terminal::open(&env, &[]);
    terminal.sees("queues");
    terminal.press(b"\x03");
    terminal.ends_with(130);
}

#[test]
fn what_is_no_question_of_a_person_gets_no_menu() {
    let env = TestEnv::new();
    for arguments in [&["--json"][..], &["--quiet"]] {
        let terminal = Terminal::open(&env, arguments);
        terminal.sees("Usage: tasksgodzilla");
        terminal.ends_with(2);
    }
}

#[test]
fn a_table_fits_the_terminal() {
    let env = TestEnv::new();
    let (_server, _) = env.serve(&["--no-worker"]);
    let repository = env.repository("repo");
    let name = "a name that is longer than a line of a terminal ".repeat(2);
    env.run(&["projects", "create", "--path", repository.to_str().unwrap(), "--name", name.trim()]).ok();
    let mut terminal = Terminal::open(&env, &["projects", "list"]);
    wait_until("the row", LIMIT, || terminal.shown.lock().unwrap().contains("1 "));
    let code = terminal.child.wait().unwrap().code();
    assert_eq!(code, Some(0));
    wait_until("all of it", LIMIT, || terminal.shown.lock().unwrap().lines().count() == 2);
    let shown = terminal.shown.lock().unwrap().clone();
    assert!(shown.contains('…') && shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}
