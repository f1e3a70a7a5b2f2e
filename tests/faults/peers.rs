//! Peers that are slow, stopped or gone: what they cost is bounded, what they miss is
//! counted, and nobody else notices.

use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    frame, http,
    lab::Namespace,
    need,
    process::usage,
    switch::Switch,
    wait_until, wait_within,
    ws::{BINARY, WebSocket, encode},
};

/// Storm control would keep the load away.
const UNGUARDED: [&str; 4] = ["--storm-broadcast", "off", "--storm-octets", "off"];

/// Peers that do not keep up.
const PEERS: u64 = 8;

/// Memory that one of them may cost under this load: its queue of 1.4 MiB and a quarter of
/// that for flooded frames, a batch of 256 KiB that is being written, and the rest of the read blocks at their ends. What
/// the load offers is a hundred times as much.
const KIB_EACH: u64 = 2048 + 360;

/// What the load costs whoever reads: blocks that are read into, the batches between.
const KIB_LOAD: u64 = 4 * 1024;

/// More than the kernel's buffers and the queues of all peers hold.
const ROUNDS: u16 = 1000;

/// How long the load lasts at least: for what grows slowly to be seen.
const LASTS: Duration = Duration::from_secs(4);

/// And at most: then those who take nothing are given up, and nobody knows their addresses.
const GIVEN_UP: Duration = Duration::from_secs(7);

/// Broadcasts to all, and unicasts to the peers, while two others talk: each frame
/// between those arrives, in order.
fn load(switch: &Switch, peers: &[u64]) {
    let (mut sender, _) = switch.open();
    let (mut reader, _) = switch.open();
    let before = usage(switch.process.pid()).resident_kib;
    let payload = vec![7; 60_000];
    let mut worst = Duration::ZERO;
    let begin = Instant::now();
    let mut rounds = 0..ROUNDS;
    while begin.elapsed() < GIVEN_UP && (rounds.next().is_some() || begin.elapsed() < LASTS) {
        let start = Instant::now();
        let broadcast = frame(255, 1, &payload);
        sender.send_frame(&broadcast);
        let [.., number] = rounds.start.to_be_bytes();
        sender.send_frame(&frame(100 + number % 8, 1, &payload));
        reader.expect_frame(&broadcast);
        let answer = frame(1, 2, &[number; 100]);
        reader.send_frame(&answer);
        sender.expect_frame(&answer);
        worst = worst.max(start.elapsed());
    }
    let grown = usage(switch.process.pid()).resident_kib.saturating_sub(before);
    println!("{grown} KiB for {} peers, longest round {worst:?}", peers.len());
    assert!(grown <= KIB_LOAD + KIB_EACH * peers.len() as u64, "{grown} KiB");
    assert!(worst < Duration::from_secs(5), "{worst:?}");
}

/// Opens peers that say one frame each, so that there are unicasts to them.
fn open(switch: &Switch) -> (Vec<WebSocket>, Vec<u64>) {
    (0..PEERS)
        .map(|number| {
            let (mut peer, port) = switch.open();
            peer.send_frame(&frame(255, 100 + u8::try_from(number).unwrap(), b"here"));
            wait_until("its address", || {
                switch.json(&["listfdb"]).iter().any(|entry| entry["port"] == port)
            });
            (peer, port)
        })
        .unzip()
}

/// Whether each port that is still there has counted what it missed.
fn assert_counted(switch: &Switch, ports: &[u64]) {
    for port in switch.ports().iter().filter(|port| ports.contains(&port["port"].as_u64().unwrap()))
    {
        let missed = port["discards"]["lack-of-buffers"].as_u64();
        assert!(missed > Some(0), "{port}");
    }
}

#[test]
fn peers_that_never_read_cost_a_bounded_memory_and_delay_nobody() {
    let switch = Switch::start(&UNGUARDED);
    let (peers, ports) = open(&switch);
    load(&switch, &ports);
    assert_counted(&switch, &ports);
    drop(peers);
    wait_until("their end", || switch.ports().is_empty());
}

#[test]
fn peers_that_read_an_octet_a_second_cost_a_bounded_memory_and_delay_nobody() {
    let switch = Switch::start(&UNGUARDED);
    let (peers, ports) = open(&switch);
    for peer in peers {
        let mut stream = peer.into_tcp();
        thread::spawn(move || {
            #[expect(clippy::disallowed_methods, reason = "what a slow peer does")]
            while stream.read(&mut [0]).is_ok_and(|octets| octets > 0) {
                thread::sleep(Duration::from_secs(1));
            }
        });
    }
    load(&switch, &ports);
    assert_counted(&switch, &ports);
}

#[test]
fn a_peer_that_takes_nothing_for_ten_seconds_is_given_up() {
    let switch = Switch::start(&UNGUARDED);
    let (deaf, number) = switch.open();
    let (mut sender, _) = switch.open();
    let payload = vec![7; 60_000];
    let gone = || {
        for _ in 0..10 {
            sender.send_frame(&frame(255, 1, &payload));
        }
        switch.ports().iter().all(|port| port["port"] != number).then_some(())
    };
    wait_within(Duration::from_secs(25), "its end", gone);
    drop(deaf);
}

#[test]
fn a_peer_that_vanishes_under_load_disturbs_nobody() {
    let (a, b) = need!(Namespace::pair());
    let c = a.sibling();
    a.cable("eth1", &c, "eth0");
    a.ip("addr add 203.0.113.1/24 dev eth1");
    c.ip("addr add 203.0.113.3/24 dev eth0");
    let server = Switch::start_at(&a.site, &["--host", "", "--port", "8080"]);
    let gone = Switch::start_at(&b.site, &[]);
    let stays = Switch::start_at(&c.site, &[]);
    let sites = [(&server, "", 1), (&gone, "192.0.2.1", 2), (&stays, "203.0.113.1", 3)];
    for (switch, url, host) in sites {
        switch.add(&["tap", "ewp0"]);
        switch.ctl(&["setif", "--address", &format!("198.51.100.{host}/24"), "1"]).ok();
        if !url.is_empty() {
            switch.add(&["client", &format!("ws://{url}:8080/")]);
        }
    }
    wait_until("all to reach all", || {
        ["198.51.100.1", "198.51.100.2"].iter().all(|host| c.pings(host, 56))
    });
    let flood = c.start("ping", &["-n", "-f", "-s", "1400", "198.51.100.2"]);
    let before = server.ports().len();
    let mut watch = c.start("ping", &["-n", "-i", "0.02", "-c", "600", "198.51.100.1"]);
    b.ip("link set eth0 down");
    wait_within(Duration::from_secs(12), "the loss", || {
        (server.ports().len() < before).then_some(())
    });
    wait_within(Duration::from_secs(60), "the last ping", || watch.exited());
    wait_until("its summary", || watch.stdout.contains("packets transmitted"));
    assert!(watch.stdout.contains(" 0% packet loss"), "{}", watch.stdout.text());
    drop(flood);
}

#[test]
fn all_queues_together_keep_to_queue_memory_and_leave_room_for_others() {
    const LIMIT: u64 = 4 * 1024 * 1024;
    let options = [&UNGUARDED[..], &["--queue-memory", "4M"]].concat();
    let switch = Switch::start(&options);
    let value = |name: &str| {
        let metrics = http::ask(switch.control, "GET", "/metrics", &[], "").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.expect("it is measured").trim().parse::<u64>().unwrap()
    };
    let (peers, ports) = open(&switch);
    let (mut sender, mut other) = (
        WebSocket::open_from([127, 0, 0, 7], switch.tunnel),
        WebSocket::open_from([127, 0, 0, 8], switch.tunnel),
    );
    let mut round = |round: u32, reader: Option<&mut WebSocket>| {
        let broadcast = frame(255, 1, &[&round.to_be_bytes()[..], &[7; 20_000]].concat());
        sender.send_frame(&broadcast);
        sender.send_frame(&frame(100 + u8::try_from(round % 8).unwrap(), 1, &[7; 60_000]));
        reader.into_iter().for_each(|reader| reader.expect_frame(&broadcast));
        other.expect_frame(&broadcast);
        assert!(!round.is_multiple_of(20) || value("etherws_queue_memory_bytes ") <= LIMIT);
    };
    // Until nobody's kernel takes any more: before that all of them are as one that reads.
    let queued = |port: &u64| {
        let report = &switch.json(&["showport", &port.to_string()])[0];
        report["limits"]["queue-octets"]["value"].as_u64() > Some(LIMIT / 32)
    };
    let mut rounds = 0..1000_u32;
    while !rounds.start.is_multiple_of(20) || !ports.iter().all(queued) {
        round(rounds.next().expect("all of them to be stuck"), None);
    }
    // One that reads, of the same holder as those that do not.
    let (mut reader, _) = switch.open();
    for number in rounds.take(100) {
        round(number, Some(&mut reader));
    }
    assert_eq!(value("etherws_queue_memory_limit_bytes "), LIMIT);
    assert!(value("etherws_queue_memory_bytes ") > LIMIT / 2);
    let refused = |port: &u64| switch.port(*port)["discards"]["queue-memory"].as_u64() > Some(0);
    assert!(ports.iter().all(refused));
    assert!(switch.process.stderr.contains("queues have reached queue-memory"));
    // What a message's beginning takes is of the same memory: who has most loses his tunnel.
    let mut beginnings: Vec<_> = (0..40).map(|_| switch.open().0).collect();
    for socket in &mut beginnings {
        socket.send_raw(&encode(BINARY, &[7; 60_000]));
    }
    wait_until("the end of some", || {
        switch.process.stderr.contains("closed with code 1013: the memory of all queues")
    });
    drop((peers, beginnings));
    wait_until("all of it given back", || value("etherws_queue_memory_bytes ") == 0);
}
