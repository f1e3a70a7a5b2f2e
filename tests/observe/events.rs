//! The stream of events: each once, in order, with time and port; and what becomes of it
//! when either end goes.

use std::{
    io::{BufRead as _, BufReader, Write},
    net::TcpStream,
};

use nix::sys::{
    signal::Signal,
    socket::{setsockopt, sockopt},
};
use serde_json::Value;

use super::scrape;
use crate::support::{
    TempDir, frame,
    http::{self, Response},
    lab::Namespace,
    need,
    process::Process,
    switch::{ETHERWS, Switch},
    wait_until,
    ws::{WebSocket, upgrade_with},
};

/// Waits until the switch has this many readers of events.
fn wait_readers(switch: &Switch, readers: f64) {
    wait_until("the readers of events", || scrape(switch)["etherws_event_readers"] == readers);
}

/// `ctl monitor` that has begun to read.
fn monitor(switch: &Switch, args: &[&str]) -> Process {
    let process = Process::start(switch.ctl_command(&[&["monitor"], args].concat()));
    wait_readers(switch, 1.0);
    process
}

/// The next event, without its time, which must be one.
fn next(monitor: &Process) -> Value {
    let line = monitor.stdout.next("an event");
    let mut event: Value = serde_json::from_str(&line).expect("JSON");
    let time = event.as_object_mut().expect("an object").remove("time").expect("a time");
    let time = time.as_str().expect("a text");
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 27, "{time}");
    event
}

/// The names of the next `count` events with their ports.
fn names(monitor: &Process, count: usize) -> Vec<String> {
    let name = |event: Value| format!("{} {}", event["event"].as_str().unwrap(), event["port"]);
    (0..count).map(|_| name(next(monitor))).collect()
}

#[test]
fn each_event_comes_once_with_time_and_port() {
    let switch = Switch::start(&["--ageout", "1"]);
    let monitor = monitor(&switch, &["--json"]);
    let (mut one, _) = switch.open();
    assert_eq!(names(&monitor, 3), ["port-added 1", "port-up 1", "session 1"]);
    let (mut other, _) = switch.open();
    assert_eq!(names(&monitor, 3), ["port-added 2", "port-up 2", "session 2"]);
    for _ in 0..5 {
        one.send_frame(&frame(9, 1, b"x"));
    }
    let station = serde_json::json!({"event": "mac-learned", "port": 1,
        "mac": "02:00:00:00:00:01", "vlan": 0});
    assert_eq!(next(&monitor), station);
    other.send_frame(&frame(9, 1, b"x"));
    let moved = next(&monitor);
    assert_eq!((&moved["event"], &moved["from"]), (&"mac-moved".into(), &1.into()));
    let aged = next(&monitor);
    assert_eq!((&aged["event"], &aged["port"]), (&"mac-aged".into(), &2.into()));
    switch.ctl(&["delport", "2"]).ok();
    assert_eq!(names(&monitor, 2), ["port-deleted 2", "control null"]);
    assert!(monitor.stdout.text().is_empty(), "{}", monitor.stdout.text());
}

#[test]
fn who_is_turned_away_is_told_without_the_password() {
    let dir = TempDir::new();
    // The password is "top-secret".
    let users = dir.file("users", "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n");
    let switch = Switch::start(&["--htpasswd", &users]);
    let monitor = monitor(&switch, &["--json"]);
    let wrong = http::basic("alice\u{1b}", "guessed");
    let headers = upgrade_with(&[("Authorization", &wrong)]);
    assert_eq!(http::ask(switch.tunnel, "GET", "/", &headers, "").status, 401);
    let event = next(&monitor);
    assert_eq!(event["event"], "authentication-failure");
    assert_eq!((&event["user"], &event["address"]), (&r"alice\u{1b}".into(), &"127.0.0.1".into()));
    assert!(!event.to_string().contains("guessed"));
    assert_eq!(http::ask(switch.tunnel, "GET", "/none", &[], "").status, 404);
    let event = next(&monitor);
    assert_eq!((&event["event"], &event["reason"]), (&"refused".into(), &"request".into()));
    let right = http::basic("alice", "top-secret");
    let _socket = WebSocket::open_with(switch.tunnel, "/", &[("Authorization", &right)]).unwrap();
    assert_eq!(names(&monitor, 2), ["port-added 1", "port-up 1"]);
    let session = next(&monitor);
    assert_eq!((&session["event"], &session["user"]), (&"session".into(), &"alice".into()));
    // The same content is no change; to ask for it is.
    switch.process.signal(Signal::SIGHUP);
    assert_eq!(next(&monitor), serde_json::json!({"event": "reload", "file": users}));
}

#[test]
fn a_stream_ends_with_its_user_and_gives_nothing_any_more() {
    // The password of both is "top-secret".
    const ALICE: &str = "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n";
    let dir = TempDir::new();
    let users = dir.file("users", ALICE.replace("alice", "bob") + ALICE);
    let switch = Switch::start(&["--ctlhtpasswd", &users]);
    let open = |user: &str| {
        let host = switch.control.to_string();
        let headers = [("Host", &*host), ("Authorization", &http::basic(user, "top-secret"))];
        let mut stream = http::connect(switch.control);
        stream.write_all(&http::request("GET", "/events", &headers, "")).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "HTTP/1.1 200 OK");
        assert!(lines.any(|line| line == ": events"));
        lines
    };
    let [mut alice, bob] = ["alice", "bob"].map(open);
    dir.file("users", ALICE);
    switch.process.signal(Signal::SIGHUP);
    assert!(alice.any(|line| line.contains("\"event\":\"reload\"")));
    let rest: Vec<_> = bob.collect();
    assert!(!rest.iter().any(|line| line.contains("data:")), "{rest:?}");
}

#[test]
fn a_loop_is_told_and_a_lost_tunnel_comes_and_goes() {
    let namespace = need!(Namespace::new());
    let switch = Switch::start_at(&namespace.site, &["--host", "127.0.0.1", "--port", "8080"]);
    let process = Process::start(switch.ctl_command(&["monitor", "--json"]));
    let readers = || {
        let args = ["-s", &format!("http://{}/metrics", switch.control)];
        namespace.run("curl", &args).ok().stdout.contains("etherws_event_readers 1\n")
    };
    wait_until("the reader", readers);
    switch.add(&["client", "ws://127.0.0.1:8080/"]);
    let mut lines = Vec::new();
    wait_until("the loop", || {
        lines.push(next(&process));
        lines.last().is_some_and(|event| event["event"] == "loop")
    });
    let blocked = &lines.last().unwrap()["port"];
    assert_eq!((blocked, &lines.last().unwrap()["with"]), (&2.into(), &1.into()), "{lines:?}");
    // Whoever was its peer is gone, and comes again with another number.
    switch.ctl(&["delport", "1"]).ok();
    wait_until("the tunnel to be back", || {
        lines.push(next(&process));
        lines.last().is_some_and(|event| event["event"] == "port-up" && event["port"] == 2)
    });
    let of_two = |name: &str| {
        let of = |event: &&Value| event["event"] == name && event["port"] == 2;
        lines.iter().filter(of).count()
    };
    assert_eq!((of_two("port-down"), of_two("loop-ended")), (1, 1), "{lines:?}");
}

/// Asks for events by hand, over `stream`.
fn ask_events(switch: &Switch, mut stream: &TcpStream) {
    let host = switch.control.to_string();
    stream.write_all(&http::request("GET", "/events", &[("Host", &host)], "")).unwrap();
}

/// Begins to read events by hand.
fn read_events(switch: &Switch) -> (TcpStream, Response) {
    let mut stream = http::connect(switch.control);
    ask_events(switch, &stream);
    let head = Response::read_head(&mut stream).expect("an answer");
    (stream, head)
}

/// Waits until nobody reads any more: that one has gone is seen with the next event.
fn wait_no_reader(switch: &Switch) {
    wait_until("the last reader's end", || {
        drop(switch.open());
        scrape(switch)["etherws_event_readers"] == 0.0
    });
}

#[test]
fn there_are_64_readers_at_most_and_one_that_goes_makes_room() {
    let switch = Switch::start(&[]);
    let mut readers: Vec<_> = (0..64).map(|_| read_events(&switch)).collect();
    assert!(readers.iter().all(|(_, head)| head.status == 200));
    assert_eq!(readers[0].1.header("content-type"), Some("text/event-stream"));
    assert_eq!(read_events(&switch).1.status, 503);
    readers.clear();
    wait_no_reader(&switch);
    assert_eq!(read_events(&switch).1.status, 200);
    assert_eq!(http::ask(switch.control, "POST", "/events", &[], "{}").status, 405);
}

#[test]
fn a_reader_that_is_too_slow_hears_how_much_it_has_lost() {
    let switch = Switch::start(&["--maxmacs", "30000"]);
    let (mut sender, _) = switch.open();
    let slow = http::connect(switch.control);
    // Small, so that it is full soon.
    setsockopt(&slow, sockopt::RcvBuf, &4096).unwrap();
    ask_events(&switch, &slow);
    wait_readers(&switch, 1.0);
    let count = 20_000_u32;
    for number in 0..count {
        let mut octets = frame(9, 1, b"x");
        octets[8..12].copy_from_slice(&number.to_be_bytes());
        sender.send_frame(&octets);
    }
    wait_until("all of them", || switch.port(1)["rx"] == count);
    let mut lines = BufReader::new(slow).lines();
    let (mut seen, mut lost) = (0, 0);
    while seen + lost < u64::from(count) {
        let line = lines.next().expect("there is more").unwrap();
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let event: Value = serde_json::from_str(data).expect("JSON");
        match event["event"].as_str().unwrap() {
            "mac-learned" => seen += 1,
            "lost" => lost += event["count"].as_u64().unwrap(),
            other => panic!("{other}"),
        }
    }
    assert!(lost > 0 && seen >= 1024, "{seen} seen, {lost} lost");
    assert_eq!(seen + lost, u64::from(count), "each once");
}

#[test]
fn monitor_ends_as_its_reader_its_user_or_the_switch_wants() {
    let mut switch = Switch::start(&[]);
    // Its reader has seen enough.
    let mut command = switch.site.command("sh");
    let script = "exec 3>&1; { \"$@\"; echo $? >&3; } | head -1";
    command.args(["-c", script, "sh", ETHERWS, "ctl", "--ctlurl", switch.control_url()]);
    command.arg("monitor");
    let piped = Process::start(command);
    wait_readers(&switch, 1.0);
    let _sockets: Vec<_> = (0..3).map(|_| switch.open()).collect();
    assert!(piped.stdout.next("an event").contains("port-added    port 1"));
    assert_eq!(piped.stdout.next("the status"), "0");
    wait_no_reader(&switch);
    // So has its user.
    let mut interrupted = monitor(&switch, &[]);
    interrupted.signal(Signal::SIGINT);
    assert_eq!(interrupted.wait_exit().code(), Some(0));
    // The switch goes, and no reader holds it up.
    wait_no_reader(&switch);
    let mut left = monitor(&switch, &[]);
    switch.process.signal(Signal::SIGTERM);
    assert_eq!(switch.process.wait_exit().code(), Some(0));
    assert_eq!(left.wait_exit().code(), Some(1));
    assert!(left.stderr.contains("the switch is gone"), "{}", left.stderr.text());
}
