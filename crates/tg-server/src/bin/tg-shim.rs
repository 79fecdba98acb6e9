//! Stands in for the real binary in this crate's tests: the hidden commands and nothing else.

fn main() {
    let status = match std::env::args().nth(1).as_deref() {
        Some("__supervise") => tg_server::engine::supervise::shim(),
        Some("__dummy") => tg_server::engine::dummy::main(),
        _ => 64,
    };
    std::process::exit(status);
}
