//! The dummy engine as a process: hidden command `__dummy`. Reads the prompt on standard input,
//! prints its own lines, writes below its working directory only — except where a scenario is there
//! to show that it cannot. No clock, no randomness, no network.

mod scenario;

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::{Component, Path},
    time::Duration,
};

use super::{
    plan,
    read::{Line, Tokens, as_text},
    script::{self, Act, Rule},
};
use crate::{paths::Root, process};

/// Exit status of a refused command line.
const USAGE_STATUS: i32 = 2;

/// The command line and the prompt.
#[derive(Debug, Default)]
struct Call {
    role: String,
    step: String,
    model: String,
    attempt: i64,
    has_schema: bool,
    script: Option<String>,
    flood_bytes: u64,
    prompt: String,
}

/// How an act ended the process.
enum End {
    /// By itself, with this status.
    Status(i32),
    /// The reader is gone, or a file cannot be written.
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Hidden command `__dummy`; returns the exit status.
pub fn main() -> i32 {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "__dummy").skip(1).collect();
    match Call::read(&words).and_then(|call| call.play()) {
        Ok(()) => 0,
        Err(End::Status(status)) => status,
        Err(End::Broken(error)) => {
            writeln!(io::stderr().lock(), "dummy: {error}").ok();
            1
        }
    }
}

impl Call {
    fn read(words: &[OsString]) -> Result<Self, End> {
        let mut call = Self { attempt: 1, flood_bytes: scenario::FLOOD_BYTES, ..Self::default() };
        let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
        while let Some(flag) = words.next() {
            let mut value = || words.next().unwrap_or_default();
            match flag.as_str() {
                "--role" => call.role = value(),
                "--step" => call.step = value(),
                "--model" => call.model = value(),
                "--attempt" => call.attempt = value().parse().unwrap_or(1),
                "--script" => call.script = Some(value()),
                "--flood-bytes" => call.flood_bytes = value().parse().unwrap_or(scenario::FLOOD_BYTES),
                "--schema" => call.has_schema = true,
                // A child of the scenario `orphan`: stays until it is killed.
                "--stay" => {
                    rustix::process::setsid().ok();
                    loop {
                        std::thread::sleep(Duration::from_hours(1));
                    }
                }
                other => {
                    writeln!(io::stderr().lock(), "dummy: unknown argument {other}").ok();
                    return Err(End::Status(USAGE_STATUS));
                }
            }
        }
        let mut prompt = Vec::new();
        io::stdin().lock().read_to_end(&mut prompt)?;
        call.prompt = String::from_utf8_lossy(&prompt).into_owned();
        Ok(call)
    }

    fn play(&self) -> Result<(), End> {
        say(&Line::Session { id: format!("dummy-{}", plan::digest(&self.prompt)) })?;
        if let Some(path) = &self.script {
            let text = std::fs::read_to_string(path)?;
            let rules: Vec<Rule> = serde_json::from_str(&text).map_err(io::Error::from)?;
            if let Some(acts) = script::find(rules, &self.role, &self.step, self.attempt) {
                return self.script(acts);
            }
        }
        self.scenario(&self.model)
    }

    fn script(&self, acts: Vec<Act>) -> Result<(), End> {
        let mut usage = self.usage();
        let mut last = None;
        for act in acts {
            match act {
                Act::Say(text) => say(&Line::Text { text })?,
                Act::Write(path, text) => write(Path::new(&path), &text)?,
                Act::WritePrompt(path) => write(Path::new(&path), &self.prompt)?,
                Act::Run(text) => shell(&text)?,
                Act::SleepMs(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
                Act::Usage(tokens) => usage = tokens,
                Act::Raw(line) => raw(format!("{line}\n").as_bytes())?,
                Act::Final(text) => last = Some(text),
                Act::Structured(value) => last = Some(as_text(&value)),
                Act::Fail(kind) => return fail(&kind, "the script says so"),
                Act::Exit(status) => return Err(End::Status(status)),
                Act::Scenario(name) => return self.scenario(&name),
            }
        }
        let text = last.unwrap_or_else(|| self.answer());
        say(&Line::Done { text, usage })?;
        Ok(())
    }

    /// What this role answers when all is well, files not counted.
    fn answer(&self) -> String {
        match (self.role.as_str(), self.has_schema) {
            ("plan", true) => plan::plan(&self.prompt),
            ("plan", false) => plan::decomposed(&self.prompt),
            ("qa", _) => plan::report(&self.step, &self.prompt, Some("PASS")),
            ("discover", _) => listing(),
            _ => format!("Done: {} ({}).", self.step, plan::digest(&self.prompt)),
        }
    }

    fn done(&self, text: String) -> Result<(), End> {
        say(&Line::Done { text, usage: self.usage() })?;
        Ok(())
    }

    fn usage(&self) -> Tokens {
        Tokens { input: u64::try_from(self.prompt.len() / 4).unwrap_or(u64::MAX), output: 56, cost_usd: 0.0 }
    }

    /// The change of an execution: one file named after the step.
    fn work(&self) -> Result<(), End> {
        let stem = self.step.trim_end_matches(".md");
        let stem: String = stem
            .chars()
            .map(|sign| if sign.is_alphanumeric() || "._-".contains(sign) { sign } else { '-' })
            .collect();
        let name = if stem.trim_matches('.').is_empty() { "step" } else { &stem };
        let text = format!(
            "# {}\n\nWritten by the scripted engine ({}, attempt {}); no model was asked.\n",
            self.step,
            plan::digest(&self.prompt),
            self.attempt
        );
        write(&Path::new("dummy").join(format!("{name}.md")), &text)
    }
}

/// Writes below the working directory and says so.
fn write(relative: &Path, text: &str) -> Result<(), End> {
    if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(End::Broken(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a file outside the working directory",
        )));
    }
    say(&Line::ToolStart { tool: format!("write {}", relative.display()) })?;
    Root::open(Path::new("."))?.write(relative, text.as_bytes())?;
    say(&Line::File { path: relative.display().to_string() })?;
    say(&Line::ToolEnd { exit: 0 })?;
    Ok(())
}

fn listing() -> String {
    let names = Root::open(Path::new(".")).and_then(|root| root.list(Path::new(""))).unwrap_or_default();
    let mut text = "# Files\n".to_owned();
    for name in names.iter().take(50) {
        text.extend(["- ", name, "\n"]);
    }
    text
}

/// Runs a script as an agent's tool would: with everything the engine has, and no input.
fn shell(text: &str) -> Result<(), End> {
    say(&Line::ToolStart { tool: "sh".to_owned() })?;
    let mut child = process::spawn_inheriting(&["/bin/sh".into(), "-c".into(), text.into()], Path::new("."))?;
    drop(child.stdin.take());
    let status = child.wait()?;
    say(&Line::ToolEnd { exit: status.code().unwrap_or(-1) })?;
    Ok(())
}

fn fail(kind: &str, message: &str) -> Result<(), End> {
    say(&Line::Failed { kind: kind.to_owned(), message: message.to_owned() })?;
    Err(End::Status(1))
}

fn say(line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    raw(&text)
}

fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
