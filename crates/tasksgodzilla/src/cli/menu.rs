//! The menu of a bare call on a terminal. Each leaf is a command line: what it asks for is put in, the
//! line is shown, and it runs as if it had been typed. It can do nothing that a command cannot.

use clap::Parser as _;
use inquire::{InquireError, Select, Text};

use super::{Cli, CliError, ErrorKind, Global, dispatch};
use crate::output::Output;

/// A line of a menu.
struct Entry {
    label: &'static str,
    does: Does,
}

/// What it leads to.
enum Does {
    /// Another menu.
    Open(&'static [Entry]),
    /// A command line.
    Run(&'static [Word]),
}

/// A word of a command line.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// As it stands.
    Is(&'static str),
    /// What somebody answers.
    Ask(&'static str),
    /// A flag with what somebody answers; left out with an empty answer.
    Flag(&'static str, &'static str),
}

use Word::{Ask, Flag, Is};

const fn open(label: &'static str, entries: &'static [Entry]) -> Entry {
    Entry { label, does: Does::Open(entries) }
}

const fn run(label: &'static str, words: &'static [Word]) -> Entry {
    Entry { label, does: Does::Run(words) }
}

const PROJECT: Word = Ask("id of the project");
const RUN: Word = Ask("id of the run");
const STEP: Word = Ask("id of the step");
const JOB: Word = Ask("id of the job");

static TOP: &[Entry] = &[
    open("projects", PROJECTS),
    open("runs", PROTOCOLS),
    open("steps", STEPS),
    open("events", EVENTS),
    open("queues", QUEUES),
];

static PROJECTS: &[Entry] = &[
    run("list", &[Is("projects"), Is("list")]),
    run("show", &[Is("projects"), Is("show"), PROJECT]),
    run(
        "create from a checkout",
        &[Is("projects"), Is("create"), Is("--path"), Ask("folder of the checkout")],
    ),
    run(
        "create from an address",
        &[
            Is("projects"),
            Is("create"),
            Is("--git-url"),
            Ask("address of the repository"),
            Flag("--name", "name (empty: the repository's)"),
        ],
    ),
    run("archive", &[Is("projects"), Is("delete"), PROJECT]),
];

static PROTOCOLS: &[Entry] = &[
    run("list", &[Is("protocols"), Is("list")]),
    run(
        "create and start",
        &[
            Is("protocols"),
            Is("create-and-start"),
            Is("--project"),
            PROJECT,
            Flag("--engine", "engine (empty: the default)"),
            Is("--follow"),
            Is("--auto-advance"),
            Is("--description"),
            Ask("task"),
        ],
    ),
    run("show", &[Is("protocols"), Is("show"), RUN]),
    run("start", &[Is("protocols"), Is("start"), RUN]),
    run("run the next step", &[Is("protocols"), Is("run-next"), RUN]),
    run("retry the latest failed step", &[Is("protocols"), Is("retry-latest"), RUN]),
    run("pause", &[Is("protocols"), Is("pause"), RUN, Flag("--reason", "why (may be empty)")]),
    run("resume", &[Is("protocols"), Is("resume"), RUN]),
    run("cancel", &[Is("protocols"), Is("cancel"), RUN, Flag("--reason", "why (may be empty)")]),
    run("open its pull request", &[Is("protocols"), Is("open-pr"), RUN]),
    run("events", &[Is("protocols"), Is("events"), RUN]),
    run("engine calls", &[Is("protocols"), Is("runs"), RUN]),
    run("changed files", &[Is("protocols"), Is("diff"), Is("--stat"), RUN]),
];

static STEPS: &[Entry] = &[
    run("list", &[Is("steps"), Is("list"), Is("--protocol"), RUN]),
    run("show", &[Is("steps"), Is("show"), STEP]),
    run("run", &[Is("steps"), Is("run"), STEP]),
    run("run QA", &[Is("steps"), Is("run-qa"), STEP]),
    run("approve", &[Is("steps"), Is("approve"), STEP, Flag("--note", "note (may be empty)")]),
    run("diff", &[Is("steps"), Is("diff"), STEP]),
];

static EVENTS: &[Entry] = &[
    run("recent", &[Is("events"), Is("recent")]),
    run("watch", &[Is("events"), Is("watch"), Flag("--protocol", "id of a run (empty: everything)")]),
];

static QUEUES: &[Entry] = &[
    run("counts", &[Is("queues"), Is("stats")]),
    run("jobs", &[Is("queues"), Is("jobs"), Flag("--status", "status (empty: all)")]),
    run("show a job", &[Is("queues"), Is("job"), JOB]),
    run("cancel a job", &[Is("queues"), Is("cancel"), JOB]),
    run("retry a failed job", &[Is("queues"), Is("retry"), JOB]),
];

/// What a question came to.
enum Answered<T> {
    With(T),
    /// Esc: one menu up.
    Back,
}

/// Shows the menu until somebody leaves it.
pub fn show(global: &Global, output: &Output) -> Result<(), CliError> {
    let mut open: Vec<(&str, &[Entry])> = vec![("tasksgodzilla", TOP)];
    while let Some((title, entries)) = open.last() {
        let path: Vec<&str> = open.iter().map(|(title, _)| *title).collect();
        let labels: Vec<&str> = entries.iter().map(|entry| entry.label).collect();
        let Answered::With(at) = choose(&path.join(" › "), labels)? else {
            open.pop();
            continue;
        };
        tracing::trace!(menu = title, at, "chosen");
        match &entries[at].does {
            Does::Open(inner) => open.push((entries[at].label, inner)),
            Does::Run(words) => {
                if let Answered::With(line) = fill(words, ask)? {
                    lead(&line, global, output);
                }
            }
        }
    }
    Ok(())
}

/// Runs a line; what goes wrong is told, and the menu goes on.
fn lead(line: &[String], global: &Global, output: &Output) {
    output.note(&format!("$ {}", line.join(" ")));
    let ended = match Cli::try_parse_from(line) {
        Ok(mut cli) => {
            cli.global = global.clone();
            dispatch(cli, output)
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Err(CliError::usage(first))
        }
    };
    if let Err(error) = ended {
        output.error(&error);
    }
}

/// The line with its answers put in.
fn fill(
    words: &[Word],
    mut ask: impl FnMut(&str) -> Result<Answered<String>, CliError>,
) -> Result<Answered<Vec<String>>, CliError> {
    let mut line = vec!["tasksgodzilla".to_owned()];
    for word in words {
        match word {
            Is(text) => line.push((*text).to_owned()),
            Ask(question) => match ask(question)? {
                Answered::With(text) => line.push(text),
                Answered::Back => return Ok(Answered::Back),
            },
            Flag(flag, question) => match ask(question)? {
                Answered::With(text) if text.is_empty() => {}
                // As one word, so that an answer that begins with a dash stays an answer.
                Answered::With(text) => line.push(format!("{flag}={text}")),
                Answered::Back => return Ok(Answered::Back),
            },
        }
    }
    Ok(Answered::With(line))
}

fn choose(title: &str, labels: Vec<&str>) -> Result<Answered<usize>, CliError> {
    let asked = Select::new(title, labels)
        .with_help_message("↑↓ move, enter takes, type to filter, esc goes back")
        .with_page_size(15)
        .raw_prompt();
    answered(asked.map(|chosen| chosen.index))
}

fn ask(question: &str) -> Result<Answered<String>, CliError> {
    answered(Text::new(&format!("{question}:")).prompt().map(|text| text.trim().to_owned()))
}

fn answered<T>(asked: Result<T, InquireError>) -> Result<Answered<T>, CliError> {
    match asked {
        Ok(answer) => Ok(Answered::With(answer)),
        Err(InquireError::OperationCanceled) => Ok(Answered::Back),
        Err(InquireError::OperationInterrupted) => {
            Err(CliError::new(ErrorKind::Interrupted, "the menu was left"))
        }
        Err(
            error @ (InquireError::NotTTY
            | InquireError::InvalidConfiguration(_)
            | InquireError::IO(_)
            | InquireError::Custom(_)),
        ) => Err(CliError::failed(format!("the terminal cannot be asked: {error}"))
            .hint("name a command; `tasksgodzilla --help` lists them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entries: &[Entry], answer: &str, found: &mut Vec<Vec<String>>) {
        for entry in entries {
            match &entry.does {
                Does::Open(inner) => lines(inner, answer, found),
                Does::Run(words) => {
                    let ask = |question: &str| {
                        let is_word = question.starts_with("status") && !answer.is_empty();
                        Ok(Answered::With(if is_word { "failed" } else { answer }.to_owned()))
                    };
                    let Ok(Answered::With(line)) = fill(words, ask) else { panic!("no line") };
                    found.push(line);
                }
            }
        }
    }

    #[test]
    fn every_leaf_is_a_command_line() {
        let mut found = Vec::new();
        lines(TOP, "7", &mut found);
        assert!(found.len() > 25, "{}", found.len());
        for line in &found {
            assert!(Cli::try_parse_from(line).is_ok(), "{line:?}");
        }
        let mut empty = Vec::new();
        lines(&TOP[3..4], "", &mut empty);
        assert_eq!(empty[1], ["tasksgodzilla", "events", "watch"], "an empty answer leaves its flag out");
    }

    #[test]
    fn an_answer_that_looks_like_a_flag_stays_an_answer() {
        let ask = |_: &str| Ok(Answered::With("--yes".to_owned()));
        let Ok(Answered::With(line)) = fill(&[Is("steps"), Is("approve"), Is("7"), Flag("--note", "?")], ask)
        else {
            panic!("no line")
        };
        assert_eq!(line.last().unwrap(), "--note=--yes");
        assert!(Cli::try_parse_from(&line).is_ok());
    }

    #[test]
    fn going_back_leaves_the_line() {
        assert!(matches!(fill(&[RUN], |_| Ok(Answered::Back)), Ok(Answered::Back)));
        assert!(matches!(answered::<()>(Err(InquireError::OperationCanceled)), Ok(Answered::Back)));
        let left = answered::<()>(Err(InquireError::OperationInterrupted)).err().unwrap();
        assert_eq!(left.kind.exit_code(), 130);
    }
}
