//! The command line and environment of git calls, as they are built.

use std::{path::Path, time::Duration};

use tg_core::naming::{LocalRemotes, RemoteUrl};

use super::{Call, HARDENING, Hosts, Starter, Subcommand};
use crate::process::Wrap;

fn starter() -> Starter<'static> {
    Starter {
        program: Path::new("git"),
        environment: &[],
        hosts: Hosts::Any,
        timeout: Duration::from_secs(30),
    }
}

fn value(call: &Call, name: &str) -> Option<String> {
    call.closed_environment(Path::new("/usr/bin/git"), "/bin")
        .into_iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.to_string_lossy().into_owned())
}

#[test]
fn a_call_on_files_finds_no_program_and_no_transport() {
    let environment = [("HOME".to_owned(), "/home/ada".to_owned())];
    let starter = Starter { environment: &environment, ..starter() };
    let call = Call::new(starter, Subcommand::Add)
        .git_dir(Path::new("/c/worktrees/1"))
        .work_tree(Path::new("/w"), &Wrap::None);
    assert_eq!(value(&call, "PATH").as_deref(), Some("/dev/null"));
    assert_eq!(value(&call, "GIT_EXEC_PATH").as_deref(), Some("/dev/null"));
    assert_eq!(value(&call, "GIT_ALLOW_PROTOCOL").as_deref(), Some("none"));
    assert_eq!(value(&call, "GIT_CONFIG_GLOBAL").as_deref(), Some("/dev/null"));
    assert_eq!(value(&call, "GIT_CONFIG_NOSYSTEM").as_deref(), Some("1"));
    assert_eq!(value(&call, "GIT_INDEX_FILE").as_deref(), Some("/c/worktrees/1/index"));
    assert_eq!(value(&call, "HOME"), None);
    let line = call.command_line();
    for setting in HARDENING {
        assert!(line.windows(2).any(|pair| pair[0] == "-c" && pair[1] == *setting), "{setting}");
    }
}

#[tokio::test]
async fn a_call_to_a_remote_has_the_transport_of_its_address_and_no_other() {
    let url = RemoteUrl::parse("https://host.example/x.git", LocalRemotes::Allowed).unwrap();
    let call = Call::new(starter(), Subcommand::LsRemote).remote(&url);
    assert_eq!(value(&call, "GIT_ALLOW_PROTOCOL").as_deref(), Some("https"));
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("x.git");
    Call::new(starter(), Subcommand::Init).args(["-q", "--bare"]).arg(&bare).output().await.unwrap();
    let output = call.arg(&bare).run().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status != Some(0) && said.contains("transport 'file' not allowed"), "{said}");
}
