//! Clients that want the server's memory or its time: it grows by little, and the others are served.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{Served, bearer, serve};
use crate::env::TestEnv;

const MIB: usize = 1024 * 1024;
/// Memory that all of it together may cost.
const MOST: u64 = 64 * 1024;

/// Memory of the server in KiB: now, and at its peak.
fn memory(server: &Served) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Sends all of it, or as much as the server takes; then what it answered.
fn push(server: &Served, head: &str, piece: &[u8], times: usize) -> String {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..times {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut answer = [0; 512];
    // A server that has refused closes with bytes unread, which may take its answer along.
    let length = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn refused(answer: &str, status: &str) {
    assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
}

#[test]
fn greedy_clients_cost_little_and_hold_nobody_up() {
    let env = TestEnv::new();
    let server = serve(&env, &[]);
    let token = fs::read_to_string(env.home().join("token")).unwrap().trim().to_owned();
    let host = format!("Host: {}", server.address);
    let head = format!("{host}\r\n{}\r\nContent-Type: application/json\r\n", bearer(&token));
    for _ in 0..200 {
        assert_eq!(server.status("/projects", &bearer(&token)), 200);
    }
    let calm = slowest_but_few(&server, &token);
    let (before, _) = memory(&server);

    // A thousand that go on slowly: half in their heads, half in their bodies.
    let mut slow = Vec::new();
    for number in 0..1000 {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let text = if number % 2 == 0 {
            format!("GET /projects HTTP/1.1\r\n{host}\r\nX-Pad: {}", "y".repeat(8000))
        } else {
            format!("POST /tokens HTTP/1.1\r\n{head}Content-Length: 900000\r\n\r\n{}", " ".repeat(15_000))
        };
        stream.write_all(text.as_bytes()).unwrap();
        slow.push(stream);
    }
    let busy = slowest_but_few(&server, &token);

    // 100 MB, announced and not.
    let announced = format!("POST /tokens HTTP/1.1\r\n{head}Content-Length: 104857600\r\n\r\n");
    refused(&push(&server, &announced, &vec![b' '; MIB], 100), "413");
    let chunked = format!("POST /tokens HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n");
    let piece = [format!("{MIB:x}\r\n").into_bytes(), vec![b' '; MIB], b"\r\n".to_vec()].concat();
    refused(&push(&server, &chunked, &piece, 100), "413");
    // Without a token nothing of it is read.
    let nobody = format!("POST /tokens HTTP/1.1\r\n{host}\r\nContent-Length: 104857600\r\n\r\n");
    refused(&push(&server, &nobody, &vec![b' '; MIB], 100), "401");
    // Nesting that would take a naive reader's stack.
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(100_000);
        let length = deep.len();
        let deep_head = format!("POST /tokens HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n");
        let answer = push(&server, &deep_head, deep.as_bytes(), 1);
        assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    }
    // Heads without measure.
    for _ in 0..50 {
        let answer = push(&server, &format!("GET / HTTP/1.1\r\n{host}\r\nX-Pad: "), &vec![b'y'; MIB], 4);
        refused(&answer, "431");
    }
    let (_, peak) = memory(&server);
    assert!(peak.saturating_sub(before) <= MOST, "{before} KiB grew to {peak} KiB");
    // Twice as slow is allowed; what is below the noise of a loaded machine is no slowness.
    let allowed = 2 * calm + Duration::from_millis(50);
    assert!(busy <= allowed, "answers took {busy:?}, before that {calm:?}");
    assert_eq!(server.status("/projects", &bearer(&token)), 200);
    drop(slow);
    assert_eq!(server.process.signal("-TERM").code, Some(0));
}

/// The 98th of 100 answer times, from the fastest.
fn slowest_but_few(server: &Served, token: &str) -> Duration {
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(server.status("/projects", &bearer(token)), 200);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[97]
}
