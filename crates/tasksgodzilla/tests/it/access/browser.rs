//! `serve --open`: the link reaches the user's browser and nobody else, and no browser is no obstacle.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Served, bearer, code_of, serve};
use crate::env::{TestEnv, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// A program that a test reads the deeds of.
fn program(path: &Path, script: &str) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// A browser that writes down what it was given; `beside` names the files.
fn browser(env: &TestEnv, name: &str) -> (String, PathBuf) {
    let seen = env.path("seen");
    let (file, draft) = (seen.display(), env.path("draft"));
    let draft = draft.display();
    let script = format!("{{ printf '%s\\n' \"$@\"; echo; env; }} > {draft}; mv {draft} {file}");
    (program(&env.path(name), &script), seen)
}

/// Arguments and environment that the browser was given.
fn given(seen: &Path) -> (Vec<String>, Vec<String>) {
    wait_until("the browser was opened", PATIENCE, || seen.exists());
    let text = fs::read_to_string(seen).unwrap();
    let (arguments, environment) = text.split_once("\n\n").unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect();
    (lines(arguments), lines(environment))
}

/// The link that the server tells its owner.
fn told(server: &Served) -> &str {
    server.lines[2].strip_prefix("sign in, once and within 10 minutes: ").unwrap()
}

#[test]
fn the_chosen_browser_is_given_the_link_and_no_key() {
    let mut env = TestEnv::new();
    let (path, seen) = browser(&env, "firefly");
    env.set("BROWSER", &format!("/nowhere/browser: {path} --tab %s --quiet"));
    env.set("DISPLAY", ":7")
        .set("OPENAI_API_KEY", "canary")
        .set("TASKSGODZILLA_API_TOKEN", "canary-of-the-admin");
    let mut server = serve(&env, &["--open"]);
    let (arguments, environment) = given(&seen);
    assert_eq!(arguments, ["--tab", told(&server), "--quiet"]);
    assert!(environment.contains(&"DISPLAY=:7".to_owned()), "{environment:?}");
    assert!(!environment.iter().any(|line| line.contains("canary")), "{environment:?}");
    let opened = server.process.error_line(|line| line.contains("opened in the browser"));
    assert!(opened.contains(&path) && !opened.contains("#login="), "{opened}");
    let code = code_of(&arguments[1]);
    assert_eq!((server.redeem(code).status, server.redeem(code).status), (200, 401));
    assert_eq!(server.process.signal("-TERM").code, Some(0));
}

#[test]
fn without_a_choice_the_desktop_opens_the_link_at_every_start() {
    let mut env = TestEnv::new();
    let (_, seen) = browser(&env, if cfg!(target_os = "macos") { "bin/open" } else { "bin/xdg-open" });
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", env.path("bin").display());
    env.set("PATH", &path);
    let mut links = Vec::new();
    for _start in 0..2 {
        let server = serve(&env, &["--open"]);
        links.extend(given(&seen).0);
        assert_eq!(links.last().unwrap(), told(&server));
        fs::remove_file(&seen).unwrap();
        server.process.signal("-TERM").ok();
    }
    assert_ne!(links[0], links[1]);
    let server = serve(&env, &[]);
    assert!(!server.lines[2].contains("#login="), "only who asks for it gets a link: {:?}", server.lines);
    server.process.signal("-TERM").ok();
    assert!(!seen.exists(), "and nobody else a browser");
}

#[test]
fn without_a_browser_the_server_says_so_and_serves() {
    let mut env = TestEnv::new();
    env.set("BROWSER", "/nowhere/browser:false");
    let mut server = serve(&env, &["--open", "--quiet"]);
    let warning = server.process.error_line(|line| line.starts_with("warning: "));
    let wanted = "warning: no browser was opened (/nowhere/browser is not installed; false ended with exit status: 1): open the link yourself";
    assert_eq!(warning, wanted);
    let admin = fs::read_to_string(env.home().join("token")).unwrap();
    assert_eq!(server.status("/projects", &bearer(admin.trim())), 200);
    assert_eq!(server.redeem(code_of(told(&server))).status, 200, "the link that was told works");
    assert_eq!(server.process.signal("-TERM").code, Some(0));
}

#[test]
fn a_browser_that_stays_holds_no_end_up() {
    let mut env = TestEnv::new();
    let (stay, begun) = (env.path("stay"), env.path("begun"));
    fs::write(&stay, "").unwrap();
    let script = format!(": > {}; while [ -e {} ]; do sleep 0.05; done", begun.display(), stay.display());
    env.set("BROWSER", &program(&env.path("stays"), &script));
    let server = serve(&env, &["--open"]);
    wait_until("the browser was opened", PATIENCE, || begun.exists());
    let asked = Instant::now();
    assert_eq!(server.process.signal("-TERM").code, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    fs::remove_file(stay).unwrap();
}
