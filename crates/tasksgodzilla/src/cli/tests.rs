//! The command line as documented is the command line as defined.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use super::{Cli, ErrorKind};

#[test]
fn the_definition_holds() {
    Cli::command().debug_assert();
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    for (kind, code) in [
        (ErrorKind::Failed, 1),
        (ErrorKind::Internal, 1),
        (ErrorKind::Usage, 2),
        (ErrorKind::Config, 2),
        (ErrorKind::Missing, 3),
        (ErrorKind::Interrupted, 130),
    ] {
        assert_eq!(kind.exit_code(), code, "{kind:?}");
    }
}

#[test]
fn the_reference_is_the_definition() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let wanted = reference();
    if blessing() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, wanted, "docs/cli.md is stale: run with TASKSGODZILLA_BLESS=1");
}

#[expect(clippy::disallowed_methods, reason = "the switch of the tests, not a setting")]
fn blessing() -> bool {
    std::env::var_os("TASKSGODZILLA_BLESS").is_some()
}

fn reference() -> String {
    let mut text = String::from(
        "# Command line\n\n\
         This page is written from the definition in the code; edit that, not this page.\n\n\
         `--json` prints exactly one JSON value on standard output (the object of the HTTP API where\n\
         there is one); messages go to standard error. A failed command prints one line `error: …` and,\n\
         where something can be done, one line `hint: …`.\n\n\
         | exit code | means |\n|---|---|\n\
         | 0 | ok; for `run` and `demo`: the run completed (with `--plan-only`: it is planned) |\n\
         | 1 | it failed, was refused, or the run ended blocked, failed or cancelled |\n\
         | 2 | the command line or a setting is wrong |\n\
         | 3 | git, an engine or the sandbox is missing |\n\
         | 130 | interrupted with Ctrl-C |\n",
    );
    let command = Cli::command().term_width(96);
    section(&command, "", &mut text);
    text
}

fn section(command: &Command, above: &str, text: &mut String) {
    let name = format!("{above}{}", command.get_name());
    let help = command.clone().bin_name(&name).disable_version_flag(true).render_long_help();
    let depth = if above.is_empty() { "##" } else { "###" };
    write!(text, "\n{depth} `{name}`\n\n```text\n{}\n```\n", help.to_string().trim_end()).unwrap();
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        section(inner, &format!("{name} "), text);
    }
}
