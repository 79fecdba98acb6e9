//! A Postgres server for tests: Debian's binaries, a temporary directory, a unix socket, one server per
//! test process and one database per test. It lives no longer than the process that asked for it, also
//! when that one is killed. Durability is off, but for benches, which ask for a durable one.
//!
//! `TASKSGODZILLA_TEST_POSTGRES=0` leaves it out; whether absence is a skip or a failure is said by
//! `require`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::require::{skip, variable};

/// What `TASKSGODZILLA_TEST_REQUIRE` calls it.
const NAME: &str = "postgres";
/// How long the server may take to answer.
const START: Duration = Duration::from_mins(1);

/// Makes a cluster, serves it until standard input closes, and removes it. The pipe closes when the
/// test process ends, however it ends.
const SERVE: &str = r#"
umask 077
cd /
dir=$(mktemp -d /tmp/tg-postgres.XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
trap '' INT TERM HUP PIPE
"$1/initdb" -D "$dir/data" -U tester --auth=trust --encoding=UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 || {
  echo "failed: $(tail -n 3 "$dir/initdb.log" | tr '\n' ' ')"
  exit 1
}
"$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync="$2" \
  -c synchronous_commit="$2" -c full_page_writes="$2" -c max_connections=300 -c shared_buffers=32MB >"$dir/log" 2>&1 </dev/null &
server=$!
echo "ready: $dir"
read -r _
# A server that has only just been started still ignores the signal, so it is sent until it is obeyed.
left=100
while kill -QUIT "$server" 2>/dev/null; do
  left=$((left - 1))
  [ "$left" -gt 0 ] || kill -KILL "$server"
  sleep 0.1
done
"#;

struct Server {
    /// Folder of the socket.
    folder: PathBuf,
    /// Holds the pipe that keeps the server alive; never read.
    _keeper: Child,
}

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
static DURABLE: OnceLock<Result<Server, String>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// URL of a new, empty database. `Ok(None)` when there is no Postgres here and nobody insists.
///
/// # Panics
/// When there is none and `TASKSGODZILLA_TEST_REQUIRE` names `postgres`.
pub async fn database() -> Result<Option<String>, String> {
    Ok(place(&SERVER, "off").await?.map(|place| place.url))
}

/// A new, empty database on a server that writes through to the disk; else as [`database`].
///
/// # Panics
/// As [`database`].
pub async fn durable() -> Result<Option<Place>, String> {
    place(&DURABLE, "on").await
}

/// Where a database is.
#[derive(Debug, Clone)]
pub struct Place {
    /// URL.
    pub url: String,
    /// Name of the database.
    pub name: String,
    /// Folder of the server's socket.
    pub folder: PathBuf,
    /// Folder of the server's programs.
    pub binaries: PathBuf,
}

async fn place(
    server: &'static OnceLock<Result<Server, String>>,
    durable: &str,
) -> Result<Option<Place>, String> {
    if variable("TASKSGODZILLA_TEST_POSTGRES").as_deref() == Some("0") {
        skip(NAME, "TASKSGODZILLA_TEST_POSTGRES=0 leaves it out");
        return Ok(None);
    }
    let Some(binaries) = binaries() else {
        skip(NAME, "no /usr/lib/postgresql/*/bin/initdb; install the package postgresql");
        return Ok(None);
    };
    let server = server.get_or_init(|| start(&binaries, durable));
    let server = match server {
        Ok(server) => server,
        Err(problem) => {
            skip(NAME, problem);
            return Ok(None);
        }
    };
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
    let url = |name: &str| format!("postgres://tester@localhost/{name}?host={}", server.folder.display());
    create(&url("postgres"), &name).await?;
    Ok(Some(Place { url: url(&name), name, folder: server.folder.clone(), binaries }))
}

fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .collect();
    found.sort();
    found.pop()
}

fn start(binaries: &Path, durable: &str) -> Result<Server, String> {
    let mut line: Vec<String> = Vec::new();
    if rustix::process::geteuid().is_root() {
        // The server refuses to run as root.
        let users = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
        let user = ["postgres", "nobody"]
            .into_iter()
            .find(|name| users.lines().any(|line| line.starts_with(&format!("{name}:"))))
            .ok_or("root may not run postgres, and there is no user postgres or nobody")?;
        line.extend(["setpriv", "--init-groups", "--reuid", user, "--regid"].map(str::to_owned));
        line.push(group_of(&users, user)?);
        line.push("--".to_owned());
    }
    line.extend(["sh", "-c", SERVE, "sh"].map(str::to_owned));
    line.push(binaries.display().to_string());
    line.push(durable.to_owned());
    let mut keeper = keep(&line).map_err(|error| format!("cannot start {}: {error}", line[0]))?;
    let output = keeper.stdout.take().ok_or("the keeper of postgres has no output")?;
    let mut answer = String::new();
    BufReader::new(output).read_line(&mut answer).map_err(|error| format!("postgres: {error}"))?;
    match answer.trim().strip_prefix("ready: ") {
        Some(folder) => Ok(Server { folder: PathBuf::from(folder), _keeper: keeper }),
        None => Err(format!("initdb did not make a cluster: {}", answer.trim())),
    }
}

fn group_of(users: &str, user: &str) -> Result<String, String> {
    users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == user)
        .and_then(|fields| fields.get(3).map(|group| (*group).to_owned()))
        .ok_or_else(|| format!("/etc/passwd names no group of {user}"))
}

#[expect(clippy::disallowed_methods, reason = "a test's server is no process of the product")]
fn keep(line: &[String]) -> std::io::Result<Child> {
    Command::new(&line[0])
        .args(&line[1..])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A Ctrl-C for the tests is not one for the server: it ends with the pipe.
        .process_group(0)
        .spawn()
}

async fn create(url: &str, name: &str) -> Result<(), String> {
    let started = Instant::now();
    let mut connection = loop {
        match PgConnection::connect(url).await {
            Ok(connection) => break connection,
            Err(error) if started.elapsed() > START => {
                return Err(format!("postgres does not answer after {START:?}: {error}"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    // Safe: the name is made of a counter.
    let text = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(text).await.map_err(|error| format!("cannot create a database: {error}"))?;
    connection.close().await.map_err(|error| format!("cannot close: {error}"))
}
