//! Everything that is printed: tables, JSON, notes, errors, progress. Text that an agent, a repository
//! or a model had a hand in never reaches the terminal raw.

mod table;

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::Mutex,
};

use comfy_table::Table;
use serde::Serialize;
use tg_core::plain::is_plain;

pub use self::table::Column;
use crate::cli::{CliError, ErrorKind, Global};

/// How this command prints.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each switch is a property of its own")]
pub struct Output {
    json: bool,
    quiet: bool,
    /// Standard output may be coloured.
    colour: bool,
    /// Standard error is a terminal on which a line may be refreshed.
    live: bool,
    /// A refreshed line stands on the terminal.
    status: Mutex<bool>,
}

/// Weight of a printed word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Well.
    Good,
    /// Needs a look.
    Doubtful,
    /// Wrong, or unsafe by request.
    Bad,
}

#[expect(
    clippy::unused_self,
    reason = "every print goes through the output in force, whatever it needs of it"
)]
impl Output {
    /// From the global flags and what the streams are.
    pub fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            colour: !global.no_color && io::stdout().is_terminal(),
            live: !global.no_color && !global.quiet && io::stderr().is_terminal(),
            status: Mutex::new(false),
        }
    }

    /// JSON was asked for.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Escape sequences are welcome on standard error.
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// A question can be asked: both standard input and standard error are a terminal.
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// A menu can be shown, and nothing was asked for that it would disturb.
    pub fn can_show_menu(&self) -> bool {
        self.can_ask() && io::stdout().is_terminal() && !self.json && !self.quiet
    }

    /// How a command is used, on standard error.
    pub fn usage(&self, help: &str) {
        self.error_line(help.trim_end(), "\n");
    }

    /// Asks on the terminal; only a clear yes is one.
    pub fn confirm(&self, question: &str) -> bool {
        self.error_line(&format!("{} [y/N] ", clean(question)), "");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Asks for a secret on the terminal; nothing of it is shown.
    pub fn ask_secret(&self, question: &str) -> Result<String, CliError> {
        inquire::Password::new(&format!("{}:", clean(question))).without_confirmation().prompt().map_err(
            |error| match error {
                inquire::InquireError::OperationCanceled | inquire::InquireError::OperationInterrupted => {
                    CliError::new(ErrorKind::Interrupted, "nothing was given")
                }
                other @ (inquire::InquireError::NotTTY
                | inquire::InquireError::InvalidConfiguration(_)
                | inquire::InquireError::IO(_)
                | inquire::InquireError::Custom(_)) => {
                    CliError::failed(format!("the terminal cannot be asked: {other}"))
                }
            },
        )
    }

    /// One JSON value on standard output.
    pub fn json<T: Serialize>(&self, value: &T) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => put(&format!("{}\n", escape(&text))),
            Err(error) => self.error(&CliError::internal(format!("cannot write JSON: {error}"))),
        }
    }

    /// The value as JSON if asked for, else the table that `table` makes.
    pub fn show<T: Serialize>(&self, value: &T, table: impl FnOnce(&Self)) {
        if self.json {
            self.json(value);
        } else {
            table(self);
        }
    }

    /// One JSON value on one line of standard output: an item of a stream.
    pub fn json_line<T: Serialize>(&self, value: &T) {
        match serde_json::to_string(value) {
            Ok(text) => put(&format!("{}\n", escape(&text))),
            Err(error) => self.error(&CliError::internal(format!("cannot write JSON: {error}"))),
        }
    }

    /// A table on standard output; on a terminal it is made to fit.
    pub fn table(&self, columns: &[Column], rows: &[Vec<String>]) {
        if rows.is_empty() {
            self.note("nothing to show");
            return;
        }
        put(&table::render(columns, rows, table::terminal_width()));
    }

    /// Pairs of name and value on standard output; empty values are left out.
    pub fn fields(&self, pairs: &[(&str, String)]) {
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            put(&format!("{name:width$}  {}\n", clean(value)));
        }
    }

    /// A line on standard output.
    pub fn line(&self, text: &str) {
        put(&format!("{}\n", clean(text)));
    }

    /// A word with its tone, coloured where that is welcome.
    pub fn toned(&self, tone: Tone, text: &str) {
        let text = clean(text);
        let code = match tone {
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31;1",
        };
        if self.colour {
            put(&format!("\x1b[{code}m{text}\x1b[0m\n"));
        } else {
            put(&format!("{text}\n"));
        }
    }

    /// Text of a log on standard output: lines are kept, everything else that steers a terminal is not.
    pub fn log(&self, text: &str) {
        put(&clean_lines(text));
    }

    /// Bytes of others on standard output: as they are into a file or pipe, without what steers a
    /// terminal onto one.
    pub fn content(&self, bytes: &[u8]) {
        if io::stdout().is_terminal() {
            put(&clean_lines(&String::from_utf8_lossy(bytes)));
        } else {
            put_bytes(bytes);
        }
    }

    /// A document of our own making on standard output.
    pub fn document(&self, bytes: &[u8]) {
        put_bytes(bytes);
    }

    /// A note on standard error, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.error_line(&clean(text), "\n");
        }
    }

    /// A warning on standard error; `--quiet` does not silence it.
    pub fn warn(&self, text: &str) {
        let text = format!("warning: {}", clean(text));
        if self.live {
            self.error_line(&format!("\x1b[31;1m{text}\x1b[0m"), "\n");
        } else {
            self.error_line(&text, "\n");
        }
    }

    /// The error of a command: one line of cause, one of remedy.
    pub fn error(&self, error: &CliError) {
        let label = match error.kind {
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::Failed
            | ErrorKind::Usage
            | ErrorKind::Config
            | ErrorKind::Missing
            | ErrorKind::Internal => "error",
        };
        self.error_line(&format!("{label}: {}", clean(&error.error)), "\n");
        if let Some(hint) = &error.hint {
            self.error_line(&format!("hint: {}", clean(hint)), "\n");
        }
    }

    /// Refreshes the last line of a terminal; elsewhere nothing. `None` takes it away.
    pub fn status(&self, text: Option<&str>) {
        if !self.live {
            return;
        }
        // A terminal that does not know its width says 0.
        let width = Table::new().use_stderr().width().filter(|width| *width >= 20).unwrap_or(80);
        let width = usize::from(width) - 1;
        let mut stands = self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let line: String = text.map(clean).unwrap_or_default().chars().take(width).collect();
        if *stands || !line.is_empty() {
            put_error(&format!("\r\x1b[2K{line}"));
        }
        *stands = !line.is_empty();
    }

    fn error_line(&self, text: &str, end: &str) {
        self.status(None);
        put_error(&format!("{text}{end}"));
    }
}

/// One line without anything that steers a terminal or turns the direction of text.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { plain(c) }).collect()
}

/// Lines without anything else that steers a terminal.
pub fn clean_lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { plain(c) }).collect()
}

/// JSON text whose strings hold no character that steers a terminal: the value stays the same.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if is_plain(character) || character == '\n' {
            out.push(character);
        } else {
            // serde_json has escaped the control characters below space, so this one is inside a string.
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a String cannot fail");
            }
        }
    }
    out
}

fn plain(c: char) -> char {
    if is_plain(c) { c } else { char::REPLACEMENT_CHARACTER }
}

/// Writes to standard output. A reader that went away ends the command; there is nobody to tell.
fn put(text: &str) {
    put_bytes(text.as_bytes());
}

fn put_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            put_error(&format!("error: cannot write to standard output: {error}\n"));
        }
        std::process::exit(1);
    }
}

fn put_error(text: &str) {
    // Standard error is the last resort; when it is gone nothing can be told any more.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_survives() {
        let hostile = "a\x1b[2Jb\u{9b}31mc\r\nd\u{202e}e\x07\tf";
        assert_eq!(clean(hostile), "a\u{fffd}[2Jb\u{fffd}31mc  d\u{fffd}e\u{fffd} f");
        let json = serde_json::to_string(&serde_json::json!({ hostile: "\u{e0041}\n" })).unwrap();
        assert!(escape(&json).chars().all(is_plain), "{}", escape(&json));
        let read: serde_json::Value = serde_json::from_str(&escape(&json)).unwrap();
        assert_eq!(read[hostile], "\u{e0041}\n");
        assert_eq!(clean_lines("a\x1b]0;x\x07\nb\tc\r"), "a\u{fffd}]0;x\u{fffd}\nb\tc\u{fffd}");
    }
}
