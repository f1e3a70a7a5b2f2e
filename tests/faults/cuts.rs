//! Tunnels that are cut, and come back by themselves.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    netns::{A, B, Pair},
    support::{
        frame, need, peers::Peer, process::usage, relay::Relay, switch::Switch, wait_until,
        wait_within, ws::WebSocket,
    },
};

/// A dead peer is found within ten seconds; one more for a busy machine's tests.
const FOUND: Duration = Duration::from_secs(11);

#[test]
fn a_client_port_goes_to_the_next_of_its_servers_and_stays_there() {
    let [mut first, mut second] = [(); 2].map(|()| Switch::start(&[]));
    let urls = [first.url(), second.url()];
    let switch = Switch::start(&[]);
    // Nobody listens on the discard port of loopback.
    let number = switch.add(&["client", "ws://127.0.0.1:9/", &urls[0], &urls[1]]);
    assert_eq!(switch.port(number)["target"], urls[0]);
    assert_eq!(first.ports().len(), 1);

    first.process.kill();
    switch.wait_state(number, "backoff");
    switch.wait_state(number, "up");
    assert_eq!(switch.port(number)["target"], urls[1]);
    assert_eq!(second.ports().len(), 1);

    second.process.kill();
    switch.wait_state(number, "backoff");
    let none = switch.ctl(&["addport", "client", &urls[0], &urls[1]]).failed();
    for part in ["none of the 2 servers", &urls[0][5..14], &second.tunnel.to_string()] {
        assert!(none.stderr.contains(part), "{}", none.stderr);
    }
}

#[test]
fn a_reset_connection_is_opened_again_and_what_is_behind_it_announced() {
    let server = Switch::start(&[]);
    let relay = Relay::start(server.tunnel, None);
    let switch = Switch::start(&[]);
    let number = switch.add(&["client", &relay.url()]);
    let (mut here, _) = switch.open();
    let (mut there, _) = server.open();
    let hello = frame(255, 1, b"hello");
    here.send_frame(&hello);
    there.expect_frame(&hello);

    relay.reset();
    // Nobody speaks, and yet the other side learns where the address is: from the
    // first frame after the reconnect.
    let announced = there.receive().expect("an announcement").payload;
    assert_eq!(announced[..6], [0xff; 6]);
    assert_eq!((&announced[6..12], &announced[12..14]), (&hello[6..12], &[0x80, 0x35][..]));
    // Some octets longer than the last one, which it is no reflection of.
    assert!((60..76).contains(&announced.len()), "{}", announced.len());
    switch.wait_state(number, "up");
    let port = server.ports().last().unwrap()["port"].clone();
    let fdb = server.json(&["listfdb"]);
    assert!(fdb.iter().any(|entry| entry["port"] == port), "{fdb:?}");
    let answer = frame(1, 2, b"answer");
    there.send_frame(&answer);
    here.expect_frame(&answer);
}

#[test]
fn a_client_that_comes_again_ends_its_session_that_hangs_and_nobody_elses() {
    let server = Switch::start(&[]);
    let [relay, other] = [(); 2].map(|()| Relay::start(server.tunnel, None));
    // Not two ports of one switch, which would be a loop.
    let [switch, another] = [(); 2].map(|()| Switch::start(&[]));
    let number = switch.add(&["client", &relay.url()]);
    another.add(&["client", &other.url()]);
    let before: Vec<_> = server.ports().iter().map(|port| port["port"].clone()).collect();
    assert_eq!(before.len(), 2);
    let (mut there, station) = server.open();
    let behind = frame(255, 7, b"learned behind the server");
    there.send_frame(&behind);

    relay.lose_clients();
    let lost = Instant::now();
    wait_until("the former port's end", || {
        let ports = server.ports();
        ports.len() == 3 && ports[0]["port"] == before[1]
    });
    assert!(lost.elapsed() < FOUND / 2, "not for its silence: {:?}", lost.elapsed());
    assert!(server.process.stderr.contains("port replaced"));
    switch.wait_state(number, "up");
    let ports = server.ports();
    assert_eq!((&ports[0]["port"], &ports[1]["port"]), (&before[1], &station.into()));
    // The new one is told what was behind the old one's other side.
    let told = || switch.json(&["listfdb"]).iter().any(|entry| entry["port"] == number);
    wait_until("the announcement", told);
}

#[test]
fn a_tunnel_outlives_a_proxy_that_forgets_the_silent() {
    let server = Switch::start(&[]);
    let relay = Relay::start(server.tunnel, Some(Duration::from_secs(5)));
    let switch = Switch::start(&[]);
    let number = switch.add(&["client", &relay.url()]);
    // The original's client must not be pinged, and is forgotten twice meanwhile.
    for _ in 0..2 {
        let mut silent = WebSocket::open(relay.address, "/");
        assert!(silent.receive().is_none(), "no ping");
    }
    assert_eq!(switch.port(number)["state"], "up");
    assert_eq!(relay.count(), 3);
    wait_until("the ends of those", || server.ports().len() == 1);
}

/// Has both ends of a cable send to nobody. Silently: the links stay up.
fn drop_all(pair: &Pair) {
    for (end, other) in [(&pair.a, "192.0.2.2"), (&pair.b, "192.0.2.1")] {
        end.ip(&format!("neigh replace {other} lladdr 02:00:00:00:99:99 dev eth0 nud permanent"));
    }
}

fn wait_found(pair: &Pair) {
    let start = Instant::now();
    let found = || pair.right.port(2)["state"] != "up" && pair.left.ports().len() == 1;
    wait_within(FOUND, "both ends to find out", || found().then_some(()));
    println!("found after {:?}", start.elapsed());
}

#[test]
fn a_dropped_connection_is_found_by_both_ends_when_it_is_idle() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    drop_all(&pair);
    wait_found(&pair);
}

#[test]
fn a_dropped_connection_is_found_by_both_ends_when_it_is_busy_and_then_mended() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let _flood = pair.b.start("ping", &["-n", "-f", "-s", "1400", A]);
    let _back = pair.a.start("ping", &["-n", "-f", "-s", "1400", B]);
    drop_all(&pair);
    wait_found(&pair);
    for (end, other) in [(&pair.a, "192.0.2.2"), (&pair.b, "192.0.2.1")] {
        end.ip(&format!("neigh del {other} dev eth0"));
    }
    wait_within(3 * FOUND, "the tunnel", || (pair.right.port(2)["state"] == "up").then_some(()));
    pair.wait_ping();
}

#[test]
fn a_peer_that_must_not_be_pinged_is_found_dead_by_tcp() {
    let pair = need!(Pair::new(&[], &[]));
    // This library sends no User-Agent, as the original.
    let url = "ws://192.0.2.1:8080/";
    let client = need!(Peer::launch(&pair.b.site, &["client", "websocket-client", url]));
    wait_until("its port", || pair.left.ports().len() == 3);
    drop_all(&pair);
    let found = || pair.left.ports().iter().all(|port| port["type"] != "server");
    wait_within(FOUND, "both to be found dead", || found().then_some(()));
    drop(client);
}

#[test]
fn a_side_killed_in_a_transfer_comes_back_into_it() {
    let mut pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let floods = [
        pair.b.start("ping", &["-n", "-f", "-s", "1400", A]),
        pair.a.start("ping", &["-n", "-f", "-s", "1400", B]),
    ];
    pair.left.process.kill();
    wait_until("the loss", || pair.right.port(2)["state"] != "up");
    pair.restart_left();
    pair.right.wait_state(2, "up");
    pair.wait_ping();

    pair.right.process.kill();
    wait_until("the port's end", || pair.left.ports().len() == 1);
    pair.restart_right();
    pair.wait_ping();
    drop(floods);
    for switch in [&pair.left, &pair.right] {
        assert!(!switch.process.stderr.contains("panic"), "{}", switch.process.stderr.text());
    }
}

#[test]
fn two_hundred_reconnects_leave_nothing_behind() {
    const ID: (&str, &str) = ("Etherws-Instance", "0123456789abcdef0123456789ABCDEF");
    let server = Switch::start(&[]);
    let switch = Switch::start(&[]);
    let (mut stays, _) = server.open();
    let mut before = None;
    let mut former = None;
    for round in 0..240_u8 {
        // As a client does whose session hangs: the former one is still open.
        let again = WebSocket::open_with(server.tunnel, "/", &[("User-Agent", "x"), ID]);
        let mut again = again.expect("101");
        let hello = frame(255, round, &[round; 1000]);
        again.send_frame(&hello);
        stays.expect_frame(&hello);
        former = Some(again);
        // And as one that is told to.
        let new = switch.rpc("addPort", &json!({"type": "client", "target": server.url()}));
        let number = &new["result"]["entries"][0]["port"];
        let gone = switch.rpc("delPort", &json!({"port": number}));
        assert!(gone["error"].is_null(), "{gone}");
        if round == 40 {
            wait_until("all but two to end", || server.ports().len() == 2);
            before = Some([&server, &switch].map(|switch| usage(switch.process.pid())));
        }
    }
    let Some(before) = before else { panic!("not counted") };
    wait_until("all but two to end", || server.ports().len() == 2);
    for (switch, before) in [&server, &switch].into_iter().zip(before) {
        let back = || {
            let now = usage(switch.process.pid());
            now.descriptors <= before.descriptors
                && now.threads <= before.threads
                && now.resident_kib <= before.resident_kib * 11 / 10
        };
        wait_until(&format!("{before:?} again"), back);
    }
    drop(former);
}
