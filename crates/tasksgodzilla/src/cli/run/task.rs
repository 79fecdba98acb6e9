//! Reads the task: from the command line or from standard input, never empty, never endless.

use std::io::{self, IsTerminal, Read};

use super::super::CliError;

/// Longest task, in bytes.
pub const MOST: usize = 1024 * 1024;

/// The task given, or what standard input holds when it is not a terminal.
pub fn read(given: Option<&str>) -> Result<String, CliError> {
    match given {
        Some(text) => check(text.to_owned()),
        None if io::stdin().is_terminal() => Err(empty()),
        None => check(piped(io::stdin().lock())?),
    }
}

fn piped(input: impl Read) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    input
        .take(MOST as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::failed(format!("standard input cannot be read: {error}")))?;
    if bytes.len() > MOST {
        return Err(too_long());
    }
    String::from_utf8(bytes)
        .map_err(|_| CliError::usage("the task is not UTF-8 text").hint("give the task as plain text"))
}

fn check(text: String) -> Result<String, CliError> {
    if text.len() > MOST {
        return Err(too_long());
    }
    if text.contains('\0') {
        return Err(CliError::usage("the task holds a NUL character").hint("give the task as plain text"));
    }
    if text.trim().is_empty() { Err(empty()) } else { Ok(text) }
}

fn empty() -> CliError {
    CliError::usage("the task is empty")
        .hint("say it as an argument, with --description, or on standard input: tasksgodzilla run \"add a licence\"")
}

fn too_long() -> CliError {
    CliError::usage(format!("the task is longer than {MOST} bytes"))
        .hint("put the long part into a file of the repository and name that file in the task")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_words_and_an_end() {
        assert!(check("do it".to_owned()).is_ok());
        assert!(check("x".repeat(MOST)).is_ok());
        for bad in [String::new(), " \n\t".to_owned(), "x".repeat(MOST + 1), "a\0b".to_owned()] {
            assert_eq!(check(bad).unwrap_err().kind.exit_code(), 2);
        }
        assert_eq!(piped(&b"\xff\xfe"[..]).unwrap_err().kind.exit_code(), 2);
        assert_eq!(piped(io::repeat(b'x')).unwrap_err().kind.exit_code(), 2);
        assert_eq!(piped(&b"do it\n"[..]).unwrap(), "do it\n");
    }
}
