//! Scenarios as data: which actions the model takes at which turn, and which of the offered tools carry
//! them out. Knows nothing of HTTP or of the stream's form.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{stream::Item, work};

/// What the model does, before anybody knows which tools it has.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Says something.
    Text(String),
    /// Runs a shell command.
    Shell(String),
    /// Writes a file with the tool for it.
    Write(&'static str, &'static str),
    /// Adds a file by a patch.
    Patch(&'static str, &'static str),
    /// Answers with a JSON object.
    Structured(Value),
}

/// Ways in which the provider breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 400.
    BadRequest,
    /// 401.
    Unauthorized,
    /// 429 with a time to wait.
    RateLimited,
    /// 429, credit used up.
    Quota,
    /// 500.
    Internal,
    /// 400, prompt too long.
    ContextTooLong,
    /// The first two requests of a path answer 500, then all is well.
    Flaky,
    /// A stream that is no JSON.
    Malformed,
    /// A page of a gateway.
    Html,
    /// The stream ends inside the first text.
    Cut,
    /// Takes the request and never answers.
    Hang,
    /// An open stream with nothing but pings.
    HangStream,
}

impl Fault {
    /// The fault a scenario stands for.
    pub fn named(scenario: &str) -> Option<Self> {
        Some(match scenario {
            "e400" => Self::BadRequest,
            "e401" => Self::Unauthorized,
            "e429" => Self::RateLimited,
            "equota" => Self::Quota,
            "e500" => Self::Internal,
            "ectx" => Self::ContextTooLong,
            "flaky" => Self::Flaky,
            "malformed" => Self::Malformed,
            "html" => Self::Html,
            "trunc" => Self::Cut,
            "hang" => Self::Hang,
            "hangsse" => Self::HangStream,
            _ => return None,
        })
    }
}

/// Scenarios that script the model.
const SCENARIOS: [&str; 15] = [
    "ok",
    "write",
    "patch",
    "final",
    "qafail",
    "badjson",
    "structured",
    "refuse",
    "escape",
    "escapetmp",
    "net",
    "git",
    "slowshell",
    "longshell",
    "loop",
];

/// Is there a script of this name?
pub fn is_scenario(name: &str) -> bool {
    SCENARIOS.contains(&name) || work::Variant::named(name).is_some()
}

/// What the model does in answer to this request.
pub fn actions(scenario: &str, request: &Value, port: u16) -> Vec<Action> {
    let turn = turn_of(request);
    if let Some(variant) = work::Variant::named(scenario) {
        return work::actions(variant, request, turn);
    }
    let turns = turns(scenario, port);
    let last = turns.len() - 1;
    turns.into_iter().nth(turn.min(last)).unwrap_or_default()
}

/// Results of tools since the last word of the user: the only memory there is.
pub fn turn_of(request: &Value) -> usize {
    let mut turn = 0;
    for item in request["input"].as_array().into_iter().flatten() {
        match item["type"].as_str().unwrap_or("message") {
            "message" if item["role"] == "user" => turn = 0,
            "function_call_output"
            | "custom_tool_call_output"
            | "local_shell_call_output"
            | "shell_call_output" => {
                turn += 1;
            }
            _ => {}
        }
    }
    turn
}

fn finished(verdict: &str, summary: &str) -> Value {
    json!({"verdict": verdict, "summary": summary, "files": ["hello.txt"]})
}

/// Turns of a scenario; the last one repeats for ever.
fn turns(scenario: &str, port: u16) -> Vec<Vec<Action>> {
    let done = finished("PASS", "created hello.txt");
    let last = vec![Action::Text(done.to_string())];
    let hello = || Action::Shell("printf \"hi from agent\\n\" > hello.txt && cat hello.txt".to_owned());
    let shell = |command: &str| vec![vec![Action::Shell(command.to_owned())], last.clone()];
    match scenario {
        "write" => vec![vec![Action::Write("hello.txt", "hi from agent\n")], last],
        "patch" => vec![vec![Action::Patch("hello.txt", "hi from agent\n")], last],
        "final" => vec![last],
        "qafail" => vec![vec![Action::Text(finished("FAIL", "hello.txt is wrong").to_string())]],
        "badjson" => vec![vec![Action::Text("Sorry, here is prose instead of JSON.".to_owned())]],
        "structured" => vec![vec![hello()], vec![Action::Structured(done)]],
        "refuse" => vec![vec![Action::Text("I cannot help with that.".to_owned())]],
        "escape" => shell("echo pwned > ../tg-escape-probe.txt; echo rc=$?"),
        "escapetmp" => shell("echo pwned > /tmp/tg-escape-probe.txt; echo rc=$?"),
        "net" => shell(&format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo 'net ok'")),
        "git" => shell(
            "echo a > a.txt && git add a.txt && git commit -qm 'agent commit' && git log --oneline | head -3",
        ),
        "slowshell" => shell("sleep 3; echo done"),
        "longshell" => shell("(sleep 300 & echo child $!; sleep 300)"),
        "loop" => vec![vec![Action::Shell("echo again".to_owned())]],
        // `ok`, and the faults that answer well after all.
        _ => vec![vec![Action::Text("I will create the file.".to_owned()), hello()], last],
    }
}

/// Tools that run a command, best first.
const SHELL_TOOLS: [&str; 4] = ["exec_command", "shell_command", "shell", "local_shell"];
/// Tools that write a file, best first.
const WRITE_TOOLS: [&str; 5] = ["write", "write_file", "create_file", "create", "apply_patch"];

/// Tools that a request offers, with their argument schemas.
#[derive(Debug, Default)]
pub struct Tools {
    schemas: BTreeMap<String, Value>,
    freeform: BTreeSet<String>,
}

impl Tools {
    /// Reads the tools out of a request.
    pub fn of(request: &Value) -> Self {
        let mut tools = Self::default();
        for tool in request["tools"].as_array().into_iter().flatten() {
            let Some(name) = tool["name"].as_str().or_else(|| tool["type"].as_str()) else { continue };
            tools.schemas.insert(name.to_owned(), tool["parameters"].clone());
            if tool["type"] == "custom" {
                tools.freeform.insert(name.to_owned());
            }
        }
        tools
    }

    /// An action as an item of the answer; without a fitting tool the model says so.
    pub fn item(&self, action: &Action) -> Item {
        match action {
            Action::Text(text) => Item::Message(text.clone()),
            Action::Structured(value) => Item::Message(value.to_string()),
            Action::Shell(_) | Action::Write(..) | Action::Patch(..) => {
                self.call(action).unwrap_or_else(|| {
                    let names: Vec<&str> = self.schemas.keys().map(String::as_str).collect();
                    Item::Message(format!("no tool for this; have {}", names.join(",")))
                })
            }
        }
    }

    fn call(&self, action: &Action) -> Option<Item> {
        match action {
            Action::Text(_) | Action::Structured(_) => None,
            Action::Shell(command) => self.shell(command),
            Action::Write(path, content) => match self.first(&WRITE_TOOLS) {
                Some("apply_patch") => self.patch(path, content),
                Some(name) => Some(self.function(name, &json!({"path": path, "content": content}))),
                None => self.shell(&format!("printf '%s' {} > {path}", Value::from(*content))),
            },
            Action::Patch(path, content) => self.patch(path, content),
        }
    }

    fn shell(&self, command: &str) -> Option<Item> {
        let name = self.first(&SHELL_TOOLS)?;
        let arguments = match name {
            "exec_command" => json!({"cmd": command}),
            "shell" => json!({"command": ["bash", "-lc", command]}),
            _ => json!({"command": command}),
        };
        Some(self.function(name, &arguments))
    }

    fn patch(&self, path: &str, content: &str) -> Option<Item> {
        let lines: Vec<String> = content.lines().map(|line| format!("+{line}\n")).collect();
        let added = lines.concat();
        let patch = format!("*** Begin Patch\n*** Add File: {path}\n{added}*** End Patch\n");
        if self.schemas.contains_key("apply_patch") {
            return Some(self.function("apply_patch", &json!({"input": patch})));
        }
        self.shell(&format!("apply_patch <<'EOF'\n{patch}EOF"))
    }

    fn function(&self, name: &str, arguments: &Value) -> Item {
        if self.freeform.contains(name) {
            let input = arguments["input"].as_str().map_or_else(|| arguments.to_string(), str::to_owned);
            return Item::Freeform { name: name.to_owned(), input };
        }
        Item::Function { name: name.to_owned(), arguments: arguments.to_string() }
    }

    fn first(&self, candidates: &[&'static str]) -> Option<&'static str> {
        candidates.iter().copied().find(|name| self.schemas.contains_key(*name))
    }
}
