//! Starts the scripted model server by hand, to point an agent command line at it:
//! `cargo run -p tg-server --features testing --example model_server -- 8787`.
//! Prints its address and runs until its standard input ends.

use std::io::{self, Read};

use tg_server::testing::model_server::ModelServer;

#[expect(clippy::print_stdout, reason = "the address is what this program is run for")]
fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let server = ModelServer::start_on(port)?;
    println!("listening http://{}", server.address());
    println!("base URL of a scenario: {}", server.base_url("work"));
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
