//! Opens a link in the user's browser. Whether that works is no matter of the server: what stands in the
//! way is said, never the link a second time.

use std::{ffi::OsString, path::Path, time::Duration};

use tg_server::{
    config::{Config, Desktop},
    process,
};

use crate::output::Output;

/// A program that goes on for so long is a browser, not a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens a link with the first of the user's browsers that takes it.
pub async fn open(config: &Config, link: &str, output: &Output) {
    let mut obstacles = Vec::new();
    for browser in &config.desktop.browsers {
        match with(browser, &config.desktop, &config.search_path, link).await {
            Ok(()) => return output.note(&format!("opened in the browser with {browser}")),
            Err(obstacle) => obstacles.push(obstacle),
        }
    }
    output.warn(&format!("no browser was opened ({}): open the link yourself", obstacles.join("; ")));
}

async fn with(browser: &str, desktop: &Desktop, search_path: &str, link: &str) -> Result<(), String> {
    let line =
        command_line(browser, search_path, link).ok_or_else(|| format!("{browser} is not installed"))?;
    let failed = |error: std::io::Error| format!("{browser} cannot be started: {error}");
    let mut child = process::spawn_apart(&line, &desktop.environment, Path::new("/")).map_err(failed)?;
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        Err(_still_open) => Ok(()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{browser} ended with {status}")),
        Ok(Err(error)) => Err(failed(error)),
    }
}

/// The words of a command with the link in the place of `%s`, else at the end; never through a shell.
fn command_line(browser: &str, search_path: &str, link: &str) -> Option<Vec<OsString>> {
    let mut words = browser.split_whitespace();
    let program = process::find_program(Path::new(words.next()?), search_path)?;
    let mut line = vec![program.into_os_string()];
    line.extend(words.map(|word| OsString::from(word.replace("%s", link))));
    if !browser.contains("%s") {
        line.push(link.into());
    }
    Some(line)
}
