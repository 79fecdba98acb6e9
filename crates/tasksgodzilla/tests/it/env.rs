//! A state directory, a repository and a cleared environment per test; every process is bounded.

use std::{
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// No command of a test takes longer.
const LIMIT: Duration = Duration::from_mins(1);

/// A place of its own for one test.
pub struct TestEnv {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    limit: Duration,
}

/// What a command left.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` = ended by a signal.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless the command ended with this code and both one `error:` and one `hint:` line.
    #[track_caller]
    pub fn refused(&self, code: i32, cause: &str) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let errors: Vec<_> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert!(errors[0].contains(cause), "{cause} not in {self:?}");
        assert!(self.stderr.lines().any(|line| line.starts_with("hint: ")), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    /// Fails the test unless clap refused the command line.
    #[track_caller]
    pub fn refused_usage(&self) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.stderr.contains("error: ") && self.stdout.is_empty(), "{self:?}");
    }

    /// Fails the test unless the command ended well.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place of these tests that starts processes")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

impl TestEnv {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new(), limit: LIMIT }
    }

    /// A place outside the temporary directory, where real agents want their homes; commands may take
    /// `limit`.
    pub fn outside_temp(limit: Duration) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { folder, variables: Vec::new(), limit }
    }

    /// Adds a variable to the environment of every command.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A path below the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// State directory.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// A command of the binary, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_tasksgodzilla"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("user"))
            .env("TASKSGODZILLA_HOME", self.home())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        wait_for(self.command(arguments).spawn().unwrap(), self.limit)
    }

    /// Runs the binary with something on standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let input = input.to_vec();
        // The command may end without reading it all.
        let writer = std::thread::spawn(move || pipe.write_all(&input).is_ok());
        let ended = wait(child);
        writer.join().unwrap();
        ended
    }

    /// Runs the binary to its end with one more variable.
    pub fn run_with(&self, name: &str, value: &str, arguments: &[&str]) -> Ended {
        wait_for(self.command(arguments).env(name, value).spawn().unwrap(), self.limit)
    }

    /// Starts `serve` on a free port; it says that it serves, and where.
    pub fn serve(&self, more: &[&str]) -> (Running, String) {
        let arguments: Vec<&str> = ["serve", "--port", "0"].iter().chain(more).copied().collect();
        let mut server = self.start(&arguments);
        let line = server.line(|line| line.starts_with("serving http://"));
        let address = line.trim_start_matches("serving http://").split(' ').next().unwrap().to_owned();
        (server, address)
    }

    /// Runs a command that asks the API: of the server at work, else of one that only lives for it.
    pub fn ask(&self, arguments: &[&str]) -> Ended {
        if self.is_served() {
            return self.run(arguments);
        }
        let (server, _) = self.serve(&["--no-worker"]);
        let ended = self.run(arguments);
        server.signal("-TERM").ok();
        ended
    }

    /// A server holds the lock of the state directory.
    pub fn is_served(&self) -> bool {
        std::fs::File::open(self.home().join("serve.lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
    }

    /// Starts the binary and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running { child: Some(self.command(arguments).spawn().unwrap()), out: None, err: None }
    }

    /// Starts the binary with one more variable and leaves it running.
    pub fn start_with(&self, name: &str, value: &str, arguments: &[&str]) -> Running {
        Running {
            child: Some(self.command(arguments).env(name, value).spawn().unwrap()),
            out: None,
            err: None,
        }
    }

    /// Living processes that belong to this state directory: our own binary, engines and whatever
    /// they started, known by their environment or by a path on their command line.
    pub fn processes(&self) -> Vec<u32> {
        let home = self.home();
        let marks: Vec<Vec<u8>> = ["TASKSGODZILLA_HOME", "TASKSGODZILLA_STATE"]
            .iter()
            .map(|name| format!("{name}={}", home.display()).into_bytes())
            .collect();
        let belongs = |pid: &u32| {
            // One that ended meanwhile, or is none of ours, cannot be read.
            let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            read("environ").split(|&byte| byte == 0).any(|entry| marks.iter().any(|mark| mark == entry))
                || String::from_utf8_lossy(&read("cmdline")).contains(home.to_str().unwrap())
        };
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(belongs)
            .collect()
    }

    /// Runs a shell script in a mount namespace of its own, with the environment of the binary, which it
    /// finds in `$BIN`. What it mounts is gone with its last process.
    pub fn shell(&self, script: &str) -> Ended {
        let mut shell = command("unshare");
        // Only root may mount; anybody else is root in a user namespace of their own.
        shell.args(if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
        shell.args(["sh", "-c", script]);
        let binary = self.command(&[]);
        shell
            .env_clear()
            .envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("BIN", binary.get_program())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        wait_for(shell.spawn().unwrap(), self.limit)
    }

    /// Runs another program to its end, with nothing of ours in its environment.
    pub fn run_program(&self, program: &Path, arguments: &[&str]) -> Ended {
        let child = command(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("user"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        wait_for(child.unwrap(), self.limit)
    }

    /// Runs git in a directory of the test.
    pub fn git(&self, directory: &Path, arguments: &[&str]) -> String {
        let child = command("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgSign=false"])
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", self.path("user"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ended = wait(child);
        assert_eq!(ended.code, Some(0), "git {arguments:?}: {ended:?}");
        ended.stdout
    }

    /// A repository with one commit on `main`, no remote.
    pub fn repository(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("README.md"), "# sample\n").unwrap();
        self.git(&path, &["init", "-q", "-b", "main"]);
        self.git(&path, &["add", "-A"]);
        self.git(&path, &["commit", "-qm", "begin"]);
        path
    }

    /// A repository with a bare remote.
    pub fn repository_with_remote(&self, name: &str) -> (PathBuf, PathBuf) {
        let path = self.repository(name);
        let remote = self.path(&format!("{name}.git"));
        self.git(self.folder.path(), &["clone", "-q", "--bare", name, remote.to_str().unwrap()]);
        self.git(&path, &["remote", "add", "origin", remote.to_str().unwrap()]);
        self.git(&path, &["fetch", "-q"]);
        (path, remote)
    }
}

/// A process that is ended with the test.
pub struct Running {
    child: Option<Child>,
    out: Option<Lines>,
    err: Option<Lines>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Reads standard output up to the first line that `wanted` accepts; once only.
    pub fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        self.out
            .get_or_insert_with(|| Lines::of(self.child.as_mut().unwrap().stdout.take().unwrap()))
            .find(wanted)
    }

    /// Reads standard error up to the first line that `wanted` accepts.
    pub fn error_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        self.err
            .get_or_insert_with(|| Lines::of(self.child.as_mut().unwrap().stderr.take().unwrap()))
            .find(wanted)
    }

    /// Sends a signal by name.
    pub fn send(&self, name: &str) {
        signal(name, &[self.id()]);
    }

    /// Sends a signal by name and waits for the end.
    pub fn signal(self, name: &str) -> Ended {
        self.send(name);
        self.end()
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        wait(self.child.take().unwrap())
    }
}

/// Sends a signal to several processes at once.
pub fn signal(name: &str, processes: &[u32]) {
    let sent = command("kill").arg(name).args(processes.iter().map(u32::to_string)).status().unwrap();
    assert!(sent.success(), "{name} {processes:?}");
}

/// Looks again and again until something is so, at most `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lines of a pipe, read on a thread of their own so that the pipe never fills.
struct Lines(std::sync::mpsc::Receiver<String>);

impl Lines {
    fn of(pipe: impl std::io::Read + Send + 'static) -> Self {
        use std::io::BufRead as _;
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // A test that wants no more lines is no reason to stop reading.
            std::io::BufReader::new(pipe)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(send.send(line)));
        });
        Self(receive)
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if wanted(&line) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("the line does not come ({error}): {seen:?}"),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Waits for a child, at most `LIMIT`.
fn wait(child: Child) -> Ended {
    wait_for(child, LIMIT)
}

fn wait_for(mut child: Child, limit: Duration) -> Ended {
    let out = child.stdout.take().map(read_all);
    let err = child.stderr.take().map(read_all);
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("a command took longer than {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |reader: Option<std::thread::JoinHandle<String>>| {
        reader.map(|reader| reader.join().unwrap()).unwrap_or_default()
    };
    Ended { code: status.code(), signal: status.signal(), stdout: text(out), stderr: text(err) }
}

fn read_all(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
