//! The binary: reads the command line, runs one command, prints its error and hint, ends with its
//! exit code. Holds no rules.

mod cli;
mod client;
mod output;
mod start;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Before anything can speak https. Only a second call could fail.
    drop(rustls::crypto::ring::default_provider().install_default());
    let cli = cli::Cli::parse();
    let output = output::Output::new(&cli.global);
    match cli::dispatch(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}
