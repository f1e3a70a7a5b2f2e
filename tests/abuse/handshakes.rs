//! Strangers who connect and do not finish what they begin.

use std::{collections::VecDeque, io::Write, net::TcpStream};

use crate::support::{
    frame, http,
    process::usage,
    switch::Switch,
    ws::{WebSocket, upgrade_with},
};

/// Handshakes that are begun.
const HANDSHAKES: usize = 10_000;

/// Of them held open at the same time; a test has fewer descriptors than a stranger.
const HELD: usize = 400;

/// Memory that they may cost: as many connections as may be pending, a few KiB each.
const KIB: u64 = 32 * 1024;

#[test]
fn ten_thousand_half_open_handshakes_keep_nobody_out() {
    let switch = Switch::start(&[]);
    let (mut one, _) = switch.open();
    let (mut other, _) = switch.open();
    let before = usage(switch.process.pid()).resident_kib;
    let begun = http::request("GET", "/", &upgrade_with(&[]), "");
    let mut held: VecDeque<TcpStream> = VecDeque::new();
    for number in 0..HANDSHAKES {
        let mut stream = TcpStream::connect(switch.tunnel).expect("a listener with a backlog");
        // Another part of a request each time, never the whole.
        let part = number % begun.len();
        // It may have been closed to make room.
        let _ = stream.write_all(&begun[..part]);
        held.push_back(stream);
        if held.len() > HELD {
            held.pop_front();
        }
        if number % 1000 == 999 {
            let sent = frame(255, 1, &number.to_be_bytes());
            one.send_frame(&sent);
            other.expect_frame(&sent);
            drop(WebSocket::open(switch.tunnel, "/"));
        }
    }
    let grown = usage(switch.process.pid()).resident_kib.saturating_sub(before);
    println!("{grown} KiB");
    assert!(grown < KIB, "{grown} KiB");
    switch.ports();
}

#[test]
fn a_megabyte_of_headers_is_refused_before_it_is_kept() {
    let switch = Switch::start(&[]);
    for address in [switch.tunnel, switch.control] {
        for header in [format!("X: {}\r\n", "x".repeat(1000)), "X: x\r\n".to_owned()] {
            let mut stream = http::connect(address);
            let all = header.repeat(1_000_000 / header.len());
            // What is refused early is not read to its end.
            let _ = stream
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n")
                .and_then(|()| stream.write_all(all.as_bytes()));
            let status = http::Response::read_head(&mut stream).map(|response| response.status);
            assert!(matches!(status, None | Some(400 | 413 | 431)), "{status:?}");
        }
    }
    drop(switch.open());
}
