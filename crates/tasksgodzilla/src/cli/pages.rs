//! Documents made from our own definitions, offline: completions, man pages, the API's document.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, CliError};
use crate::output::Output;

/// Which shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Where to.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write one page per command into this folder; without it the first page is printed.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs, output: &Output) {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    output.document(&text);
}

/// Prints or writes the man pages.
pub fn man(args: ManArgs, output: &Output) -> Result<(), CliError> {
    let Some(folder) = args.out else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut text)
            .map_err(|error| CliError::internal(format!("the page cannot be made: {error}")))?;
        output.document(&text);
        return Ok(());
    };
    let failed = |error: std::io::Error| {
        CliError::failed(format!("{} cannot be written: {error}", folder.display()))
            .hint("name a folder of your own")
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &folder).map_err(failed)?;
    output.note(&format!("pages are in {}", folder.display()));
    Ok(())
}

/// Prints the document of the API.
pub fn openapi(output: &Output) {
    output.json(&tg_server::api::document());
}
