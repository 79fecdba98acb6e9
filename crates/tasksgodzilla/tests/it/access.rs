//! The door of the real binary: what it starts with, what it tells its owner, and that no secret is left
//! anywhere but in the file that is for it.

mod browser;
mod greedy;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use crate::env::{Running, TestEnv};

/// A server on a free port, with its three lines.
struct Served {
    process: Running,
    address: String,
    lines: [String; 3],
}

fn serve(env: &TestEnv, more: &[&str]) -> Served {
    let arguments: Vec<&str> = ["serve", "--port", "0", "--no-worker"].iter().chain(more).copied().collect();
    let mut process = env.start(&arguments);
    let lines = [(); 3].map(|()| process.line(|_| true));
    let url = lines[0].strip_prefix("serving http://").unwrap_or_else(|| panic!("{lines:?}"));
    let address = url.split(' ').next().unwrap().to_owned();
    Served { process, address, lines }
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: String,
}

impl Served {
    /// Sends a request with these header lines.
    fn send(&self, line: &str, headers: &[String], body: &str) -> Got {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let headers: String = headers.iter().flat_map(|header| [header.as_str(), "\r\n"]).collect();
        let host = &self.address;
        let length = body.len();
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Got { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn status(&self, path: &str, header: &str) -> u16 {
        self.send(&format!("GET {path}"), &[header.to_owned()], "").status
    }

    fn redeem(&self, code: &str) -> Got {
        let json = "Content-Type: application/json".to_owned();
        self.send("POST /auth/session", &[json], &format!("{{\"code\":\"{code}\"}}"))
    }
}

impl Got {
    fn cookie(&self) -> String {
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with("set-cookie: "));
        let line = line.unwrap_or_else(|| panic!("{self:?}"));
        line.split_once(": ").unwrap().1.split(';').next().unwrap().to_owned()
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn code_of(link: &str) -> &str {
    link.rsplit_once("#login=").unwrap_or_else(|| panic!("{link}")).1
}

#[test]
fn what_it_starts_with_is_safe_or_it_does_not_start() {
    let chosen = "a-token-that-somebody-chose";
    // Host, token of the settings; the variable that is complained of, or it serves.
    for (host, token, complaint) in [
        ("127.0.0.1", None, None),
        ("127.0.0.1", Some(chosen), None),
        ("0.0.0.0", Some(chosen), None),
        ("127.0.0.1", Some("changeme"), Some("TASKSGODZILLA_API_TOKEN")),
        ("0.0.0.0", Some("changeme"), Some("TASKSGODZILLA_API_TOKEN")),
        ("0.0.0.0", Some("CHANGEME"), Some("TASKSGODZILLA_API_TOKEN")),
        ("0.0.0.0", Some(""), Some("TASKSGODZILLA_API_HOST")),
        ("0.0.0.0", None, Some("TASKSGODZILLA_API_HOST")),
        ("::", None, Some("TASKSGODZILLA_API_HOST")),
        ("192.0.2.1", None, Some("TASKSGODZILLA_API_HOST")),
    ] {
        let mut env = TestEnv::new();
        if let Some(token) = token {
            env.set("TASKSGODZILLA_API_TOKEN", token);
        }
        let file = env.home().join("token");
        if let Some(variable) = complaint {
            let ended = env.run(&["serve", "--port", "0", "--host", host]);
            ended.refused(2, variable);
            assert!(!ended.stderr.to_lowercase().contains("changeme"), "{ended:?}");
            assert!(!file.exists() && !env.home().join("url").exists());
            continue;
        }
        let server = serve(&env, &["--host", host]);
        assert_eq!(server.status("/projects", "X-No: token"), 401, "{host} {token:?}");
        assert_eq!(server.status("/projects", &bearer("changeme")), 401);
        assert_eq!(server.lines[2].contains("#login="), token.is_none(), "{:?}", server.lines);
        let token = token.map_or_else(|| fs::read_to_string(&file).unwrap(), str::to_owned);
        assert_eq!(server.status("/projects", &bearer(token.trim())), 200, "{host}");
        assert_eq!(file.exists(), token.starts_with("tgz_"));
        server.process.signal("-TERM").ok();
    }
}

#[test]
fn the_token_file_is_private_or_it_does_not_start() {
    let env = TestEnv::new();
    let server = serve(&env, &[]);
    let file = env.home().join("token");
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    let token = fs::read_to_string(&file).unwrap();
    server.process.signal("-TERM").ok();

    let again = serve(&env, &[]);
    assert_eq!(fs::read_to_string(&file).unwrap(), token, "kept");
    assert!(!again.lines[2].contains("#login="), "told once: {:?}", again.lines);
    assert_eq!(again.status("/projects", &bearer(token.trim())), 200);
    again.process.signal("-TERM").ok();

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    env.run(&["serve", "--port", "0"]).refused(2, "can be read by others");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "").unwrap();
    env.run(&["serve", "--port", "0"]).refused(2, "holds no token");
}

#[test]
fn a_link_signs_in_once_and_a_rotated_token_ends_everything() {
    let env = TestEnv::new();
    env.run(&["login-link"]).refused(1, "no server");
    env.run(&["token", "show"]).refused(1, "no admin token");
    let server = serve(&env, &[]);
    let code = code_of(&server.lines[2]).to_owned();
    let got = server.redeem(&code);
    assert_eq!(got.status, 200, "{got:?}");
    let cookie = format!("Cookie: {}", got.cookie());
    assert_eq!(server.status("/tokens", &cookie), 200);
    assert_eq!(server.redeem(&code).status, 401, "used before");

    let old = env.run(&["token", "show"]).ok().stdout.trim().to_owned();
    assert_eq!(server.status("/tokens", &bearer(&old)), 200);
    let link = env.run(&["login-link"]).ok().stdout.trim().to_owned();
    assert!(link.starts_with(&format!("http://{}/console#login=tgl_", server.address)), "{link}");
    assert!(!link.contains(&old[4..]), "the link holds no token");
    assert_eq!(server.redeem(code_of(&link)).status, 200);
    let unused = env.run(&["login-link", "--json"]).ok().json()["link"].as_str().unwrap().to_owned();

    let new = env.run(&["token", "rotate"]).ok().stdout.trim().to_owned();
    assert_ne!(new, old);
    assert_eq!(server.status("/tokens", &bearer(&new)), 200, "the running server knows it at once");
    assert_eq!(server.status("/tokens", &bearer(&old)), 401);
    assert_eq!(server.status("/tokens", &cookie), 401, "sessions of the old one are over");
    assert_eq!(server.redeem(code_of(&unused)).status, 401, "and so are its links");
    server.process.signal("-TERM").ok();

    let mut chosen = TestEnv::new();
    chosen.set("TASKSGODZILLA_API_TOKEN", "a-token-that-somebody-chose");
    chosen.run(&["token", "show"]).refused(2, "TASKSGODZILLA_API_TOKEN");
}

#[test]
fn no_secret_is_left_in_state_directory_or_log() {
    let mut env = TestEnv::new();
    env.set("TASKSGODZILLA_LOG_LEVEL", "trace").set("BROWSER", "true");
    let server = serve(&env, &["--open"]);
    let admin = fs::read_to_string(env.home().join("token")).unwrap().trim().to_owned();
    let json = "Content-Type: application/json".to_owned();
    let body = r#"{"name":"canary","scope":"admin"}"#;
    let key = "Idempotency-Key: k1".to_owned();
    let made = server.send("POST /tokens", &[bearer(&admin), json, key], body);
    assert_eq!(made.status, 201, "{made:?}");
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    let code = code_of(&server.lines[2]).to_owned();
    let cookie = server.redeem(&code).cookie();
    assert_eq!(server.status("/projects", &format!("Cookie: {cookie}")), 200);
    assert_eq!(server.status(&format!("/projects?token={token}"), "X-No: token"), 401);
    assert_eq!(server.status("/projects", &format!("X-Project-Token: {token}")), 200);
    let link = env.run(&["login-link"]).ok().stdout.trim().to_owned();
    let ended = server.process.signal("-TERM");
    assert_eq!(ended.code, Some(0));

    assert!(ended.stderr.len() > 1000, "the log says a lot at this level");
    let secrets = [&admin, &token, &code, &cookie["tgz_session=".len()..], code_of(&link)];
    let mut looked = 0;
    let mut look = |name: &str, bytes: &[u8]| {
        looked += 1;
        for secret in secrets {
            // Its prefix may be shown; nothing beyond it.
            let (whole, beyond) = (secret.as_bytes(), &secret.as_bytes()[12..40]);
            for part in [whole, beyond] {
                assert!(!bytes.windows(part.len()).any(|window| window == part), "{secret} in {name}");
            }
        }
    };
    look("the log", ended.stderr.as_bytes());
    for (name, bytes) in files_below(&env.home()) {
        if name != "token" {
            look(&name, &bytes);
        }
    }
    assert!(looked >= 3, "only {looked} places");
}

fn files_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path()));
        } else if let Ok(bytes) = fs::read(entry.path()) {
            found.push((entry.file_name().to_string_lossy().into_owned(), bytes));
        }
    }
    found
}
