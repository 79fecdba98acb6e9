//! Short commands: whole output, closed input, an environment from empty, limits, no remains.

use std::time::{Duration, Instant};

use tg_server::process::{Command, ProcessError, Wrap, run, tree};

fn shell(line: &str) -> Command {
    Command {
        program: "sh".into(),
        arguments: vec!["-c".into(), line.into()],
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        directory: "/".into(),
        input: Vec::new(),
        wrap: Wrap::None,
        timeout: Duration::from_secs(20),
        output_cap: 1024 * 1024,
    }
}

#[tokio::test]
async fn output_status_and_input_are_handed_on() {
    let output = run(Command { input: b"in".to_vec(), ..shell("cat; echo err >&2; exit 3") }).await.unwrap();
    assert_eq!((output.status, output.stdout, output.stderr), (Some(3), b"in".to_vec(), b"err\n".to_vec()));
    assert_eq!(run(shell("kill -9 $$")).await.unwrap().status, None);
    let unread = run(Command { input: vec![0; 1024 * 1024], ..shell("exec <&-; exit 0") }).await.unwrap();
    assert_eq!(unread.status, Some(0));
}

#[tokio::test]
async fn the_environment_is_what_was_given() {
    let output = run(shell("env | cut -d= -f1 | sort")).await.unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(
        names.split_whitespace().all(|name| ["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name)),
        "{names}"
    );
}

#[tokio::test]
async fn a_wrap_stands_in_front() {
    let wrap = Wrap::Prefix(vec!["env".into(), "MARK=1".into()]);
    let output = run(Command { wrap, ..shell("echo $MARK") }).await.unwrap();
    assert_eq!(output.stdout, b"1\n");
}

#[tokio::test]
async fn a_missing_program_is_told_apart() {
    let error = run(Command { program: "no-such-program".into(), ..shell("") }).await.unwrap_err();
    assert!(matches!(error, ProcessError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn a_slow_command_is_stopped_with_what_it_started() {
    let mark = format!("TG_TEST_MARK=slow-{}", std::process::id());
    let mut command = shell("setsid sleep 300 & sleep 300");
    command.environment.push(("TG_TEST_MARK".into(), mark.split_once('=').unwrap().1.into()));
    command.timeout = Duration::from_millis(300);
    let start = Instant::now();
    let error = run(command).await.unwrap_err();
    assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
    while !tree::with_variable(&mark).unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(5), "something is left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_command_that_prints_too_much_is_stopped() {
    for line in ["yes", "yes >&2"] {
        let start = Instant::now();
        let error = run(Command { output_cap: 1000, ..shell(line) }).await.unwrap_err();
        assert!(matches!(error, ProcessError::TooMuchOutput(_)), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
