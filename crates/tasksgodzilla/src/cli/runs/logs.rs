//! The log of a call: what is there, or that and what follows until the call ends. Files to disk.

use std::{fs::OpenOptions, io::Write, path::Path};

use clap::Args;
use reqwest::Response;
use tg_core::wire::LogTail;
use tokio::sync::mpsc;

use super::{super::CliError, print_by};
use crate::{
    cli::watch::{Interrupt, stopped, told_of_breaks},
    client::{
        Client, Query, operation,
        stream::{Item, Resume, Stream},
    },
    output::Output,
};

/// Which log, and for how long.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Id of the call, or of its job.
    id: String,
    /// Go on printing until the call ends.
    #[arg(long)]
    follow: bool,
}

/// Most bytes that `--json` gives in one value.
const PIECE: &str = "1000000";

/// Runs the command.
pub async fn run(client: &Client, args: &LogsArgs, output: &Output) -> Result<(), CliError> {
    if args.follow {
        return follow(client, &args.id, output).await;
    }
    if output.is_json() {
        let query = vec![("offset", "0".to_owned()), ("max_bytes", PIECE.to_owned())];
        let tail = client.ask(&operation::LOG_TAIL, &[&args.id], &query).await?;
        output.json(&tail.json);
        return Ok(());
    }
    let response = client.download(&operation::LOG, &[&args.id], &Query::new()).await?;
    // What an agent printed is for reading, so nothing in it steers a terminal, in a pipe neither.
    print_by(client, response, |bytes| output.log(&String::from_utf8_lossy(bytes)), output).await
}

async fn follow(client: &Client, id: &str, output: &Output) -> Result<(), CliError> {
    let mut interrupt = Interrupt::listen()?;
    let query = vec![("poll_interval_ms", "200".to_owned())];
    let mut stream: mpsc::Receiver<_> =
        Stream::new(client, &operation::LOG_STREAM, &[id], query, Resume::Offset(0)).begin();
    loop {
        let item = tokio::select! {
            item = stream.recv() => item,
            () = interrupt.pressed() => return Err(stopped()),
        };
        let Some(item) = item else { return Ok(()) };
        match item? {
            Item::Frame(frame) if frame.event == "end" => return Ok(()),
            Item::Frame(frame) if frame.event == "log" => {
                let json: serde_json::Value = serde_json::from_str(&frame.data)
                    .map_err(|error| CliError::failed(format!("the log stream cannot be read: {error}")))?;
                if output.is_json() {
                    output.json_line(&json);
                } else {
                    let tail: LogTail = serde_json::from_value(json).map_err(|error| {
                        CliError::failed(format!("the log stream cannot be read: {error}"))
                    })?;
                    output.log(&tail.chunk);
                }
            }
            // A newer server may say more; it is not for us.
            Item::Frame(_) => {}
            other @ (Item::Broken | Item::Mended) => told_of_breaks(&other, output),
        }
    }
}

/// Length of the text up to its last whole character; the rest waits for its other bytes.
pub fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => bytes.len(),
    }
}

/// Writes a download to a new file.
pub async fn save(
    client: &Client,
    mut response: Response,
    path: &Path,
    output: &Output,
) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::failed(format!("{} cannot be written: {error}", path.display()))
            .hint("name a new file in a folder of your own")
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    let mut bytes = 0;
    while let Some(piece) = client.piece(&mut response).await? {
        file.write_all(&piece).map_err(failed)?;
        bytes += piece.len();
    }
    let written = serde_json::json!({ "path": path.display().to_string(), "bytes": bytes });
    output.show(&written, |output| output.line(&format!("{bytes} bytes in {}", path.display())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_character_waits_for_its_rest() {
        assert_eq!(whole("aé".as_bytes()), 3);
        assert_eq!(whole(&"aé".as_bytes()[..2]), 1);
        assert_eq!(whole(b"a\xffb"), 3);
        assert_eq!(whole(b""), 0);
    }
}
