//! Many tunnels on one switch.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::{frame, switch::Switch, wait_until, ws::WebSocket};

const SESSIONS: usize = 1000;

/// Sessions that are there before counting begins: the first make the program take
/// memory that serves all.
const BEFORE: usize = 50;

/// Several times what it is, since it depends on how memory is broken up. All of it
/// would be gone by a single buffer a session.
const KIB_EACH: u64 = 64;

/// Stations behind one session.
const STATIONS: u16 = 10_000;

/// The first number behind a name in a file of /proc.
fn number(pid: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let rest = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// Resident memory of a process in KiB.
fn resident(pid: u32) -> u64 {
    number(pid, "status", "VmRSS:")
}

/// How many file descriptors a process may have.
fn descriptors(pid: u32) -> u64 {
    number(pid, "limits", "Max open files")
}

fn open(switch: &Switch, sockets: &mut Vec<WebSocket>, count: usize) {
    sockets.extend((0..count).map(|_| WebSocket::open(switch.tunnel, "/")));
    wait_until("the ports of all sessions", || switch.ports().len() == sockets.len());
}

#[test]
fn a_thousand_sessions_take_little_memory_and_all_hear_a_broadcast() {
    let switch = Switch::start(&["--maxmacs", "20000"]);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(descriptors(switch.process.pid()), hard, "the switch takes what it may have");
    // Each has two here.
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut sockets = Vec::new();
    open(&switch, &mut sockets, BEFORE);
    let before = resident(switch.process.pid());
    open(&switch, &mut sockets, SESSIONS);

    // Each has sent and received something, as a real one has.
    for (i, sent) in [frame(255, 1, &[1; 46]), frame(255, 2, &[2; 1500])].iter().enumerate() {
        sockets[i].send_frame(sent);
        for (_, other) in sockets.iter_mut().enumerate().filter(|(other, _)| *other != i) {
            other.expect_frame(sent);
        }
    }
    let each = (resident(switch.process.pid()) - before) / SESSIONS as u64;
    println!("{each} KiB a session");
    assert!(each <= KIB_EACH, "{each} KiB a session");

    // What goes to the port that it came from is learned from, and goes nowhere.
    let (station, rest) = sockets.split_first_mut().unwrap();
    for number in 0..STATIONS {
        let mut learned = frame(1, 0, b"");
        learned[8..10].copy_from_slice(&number.to_be_bytes());
        station.send_frame(&learned);
    }
    let known = usize::from(STATIONS) + 2;
    wait_until("all addresses to be known", || switch.json(&["listfdb"]).len() == known);

    // A frame to one of them reaches it alone.
    let mut alone = frame(0, 3, b"for one");
    alone[2..4].copy_from_slice(&9999_u16.to_be_bytes());
    let broadcast = frame(255, 3, b"for all");
    let (sender, rest) = rest.split_last_mut().unwrap();
    sender.send_frame(&alone);
    sender.send_frame(&broadcast);
    station.expect_frame(&alone);
    station.expect_frame(&broadcast);
    for other in rest {
        other.expect_frame(&broadcast);
    }
}
