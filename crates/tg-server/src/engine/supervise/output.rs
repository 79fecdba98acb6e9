//! What an engine prints: cut into capped lines, and written redacted to the call's log. Memory is
//! bounded whatever comes; a log that cannot be written costs the log, never the call.

#[cfg(test)]
mod tests;

use std::{path::Path, time::Duration};

use tokio::io::AsyncWriteExt;

use super::super::Pipe;
use crate::redact::{Redactor, Stream};

/// Most bytes of one line; the rest of it is dropped.
pub(super) const LINE_BYTES: usize = 1024 * 1024;
/// How long a write to the log may hold up the engine.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// Cuts one pipe into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    dropped: u64,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub bytes: Vec<u8>,
    /// Bytes that did not fit.
    pub dropped: u64,
}

impl Lines {
    /// Takes the next piece; gives the lines that are complete now.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            // Asking first is what keeps gigabytes without an end of line cheap.
            let end =
                if bytes.contains(&b'\n') { bytes.iter().position(|&byte| byte == b'\n') } else { None };
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let kept = part.len().min(LINE_BYTES - self.line.len());
            self.line.extend_from_slice(&part[..kept]);
            self.dropped += u64::try_from(part.len() - kept).unwrap_or(u64::MAX);
            match end {
                Some(end) => {
                    lines.push(self.take());
                    bytes = &bytes[end + 1..];
                }
                None => break,
            }
        }
        lines
    }

    /// The pipe ended: what came after the last end of line.
    pub fn finish(mut self) -> Option<Line> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Line {
        Line { bytes: std::mem::take(&mut self.line), dropped: std::mem::take(&mut self.dropped) }
    }
}

/// The call's log.
pub(super) struct Log {
    file: Option<tokio::fs::File>,
    room: u64,
    streams: [Option<Stream>; 2],
    trouble: Option<String>,
}

impl Log {
    /// Starts a new log; a file that is there already is replaced, never followed.
    pub async fn create(path: &Path, cap: u64, redactor: &Redactor) -> Self {
        let mut log = Self {
            file: None,
            room: cap,
            streams: [Some(redactor.stream()), Some(redactor.stream())],
            trouble: None,
        };
        match new_file(path).await {
            Ok(file) => log.file = Some(file),
            Err(error) => log.fail(&error.to_string()),
        }
        log
    }

    /// Writes a line of a pipe.
    pub async fn line(&mut self, pipe: Pipe, line: &Line) {
        let Some(stream) = self.streams[index(pipe)].as_mut().filter(|_| self.file.is_some()) else { return };
        let mut shown = stream.push(&line.bytes);
        if line.dropped > 0 {
            shown.extend(
                stream.push(format!(" [{} more bytes of this line dropped]", line.dropped).as_bytes()),
            );
        }
        shown.extend(stream.push(b"\n"));
        self.write(&shown).await;
    }

    /// Writes what was held back and closes; what went wrong, if anything did.
    pub async fn close(mut self) -> Option<String> {
        for index in 0..self.streams.len() {
            if let Some(stream) = self.streams[index].take() {
                let shown = stream.finish();
                self.write(&shown).await;
            }
        }
        if let Some(mut file) = self.file.take() {
            match tokio::time::timeout(WRITE_LIMIT, file.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(&error.to_string()),
                Err(_elapsed) => self.fail("the disk does not answer"),
            }
        }
        self.trouble
    }

    async fn write(&mut self, bytes: &[u8]) {
        let Some(file) = self.file.as_mut() else { return };
        let fits = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
        let is_full = fits < bytes.len();
        let mut piece = bytes[..fits].to_vec();
        self.room -= u64::try_from(fits).unwrap_or(u64::MAX);
        if is_full {
            piece.extend_from_slice(b"\n[log full: the rest was not kept]\n");
        }
        // Flushing shows a full disk here and not at some later write, and lets others follow.
        let write = async {
            file.write_all(&piece).await?;
            file.flush().await
        };
        match tokio::time::timeout(WRITE_LIMIT, write).await {
            Ok(Ok(())) if is_full => self.file = None,
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(&error.to_string()),
            Err(_elapsed) => self.fail("the disk does not answer"),
        }
    }

    fn fail(&mut self, why: &str) {
        self.file = None;
        self.trouble.get_or_insert_with(|| format!("the log of this call is not complete: {why}"));
    }
}

const fn index(pipe: Pipe) -> usize {
    match pipe {
        Pipe::Out => 0,
        Pipe::Err => 1,
    }
}

async fn new_file(path: &Path) -> std::io::Result<tokio::fs::File> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await
}
