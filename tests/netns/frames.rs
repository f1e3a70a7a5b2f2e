//! What goes through a tunnel between two TAPs: ARP, IPv4, IPv6, tags, full size;
//! over ws and wss, with passwords and through a proxy.

use super::{A, B, Pair};
use crate::support::{
    TempDir,
    certs::Certificates,
    lab::Namespace,
    need,
    peers::{self, tool},
    process::{Site, run_with},
    switch::{Switch, command},
    wait_for, wait_until,
};

/// Pings of all kinds, in both directions.
fn reaches(pair: &Pair) {
    pair.wait_ping();
    for octets in [0, 56, 1472] {
        assert!(pair.b.pings(A, octets), "{octets} octets");
        assert!(pair.a.pings(B, octets), "{octets} octets");
    }
    // Larger ones in fragments.
    assert!(pair.b.pings(A, 20_000));
    let all = pair.b.run("ping", &["-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1472", A]).ok();
    assert!(all.stdout.contains("1 received"), "{}", all.stdout);
}

#[test]
fn pings_and_arp_over_ws() {
    let pair = need!(Pair::new(&[], &[]));
    reaches(&pair);
    let neighbours = pair.b.ip("neigh show dev ewp0");
    assert!(neighbours.contains(A) && neighbours.contains("lladdr"), "{neighbours}");
    for switch in [&pair.left, &pair.right] {
        let fdb = switch.json(&["listfdb"]);
        assert!(fdb.iter().any(|entry| entry["port"] == 1), "{fdb:?}");
        assert!(fdb.iter().any(|entry| entry["port"] == 2), "{fdb:?}");
        assert!(switch.ports().iter().all(|port| port["discards"]["on-error"] == 0));
    }
}

#[test]
fn pings_over_wss() {
    let certs = need!(Certificates::new());
    let listen = ["--sslkey", &certs.key, "--sslcert", &certs.cert];
    let pair = need!(Pair::new(&listen, &["--cacerts", &certs.ca]));
    reaches(&pair);
}

#[test]
fn pings_with_a_password() {
    let dir = TempDir::new();
    let users = dir.file("users", "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let login = ["--user", "alice", "--passwd", "password"];
    let pair = need!(Pair::new(&["--htpasswd", &users], &login));
    reaches(&pair);
}

#[test]
fn pings_through_a_proxy() {
    need!(tool("tinyproxy"));
    let (a, b) = need!(Namespace::pair());
    // The proxy stands between: the right one reaches the left one through it alone.
    let middle = a.sibling();
    middle.cable("eth1", &b, "eth1");
    middle.cable("eth2", &a, "eth2");
    b.ip("link del eth0");
    middle.ip("addr add 203.0.113.1/25 dev eth1");
    b.ip("addr add 203.0.113.2/25 dev eth1");
    middle.ip("addr add 203.0.113.129/25 dev eth2");
    a.ip("addr add 203.0.113.130/25 dev eth2");
    let dir = TempDir::new();
    let conf = dir.file("conf", "Port 8888\nListen 203.0.113.1\nAllow 203.0.113.0/25\n");
    let _proxy = middle.start("tinyproxy", &["-d", "-c", &conf]);
    wait_until("tinyproxy", || middle.run("ss", &["-Hltn"]).stdout.contains(":8888"));
    let left = Switch::start_at(&a.site, &["--host", "203.0.113.130", "--port", "80"]);
    let right = Switch::start_at(&b.site, &[]);
    left.add(&["tap", "ewp0"]);
    right.add(&["tap", "ewp0"]);
    left.ctl(&["setif", "--address", &format!("{A}/24"), "1"]).ok();
    right.ctl(&["setif", "--address", &format!("{B}/24"), "1"]).ok();
    right.add(&["client", "--proxy", "http://203.0.113.1:8888", "ws://203.0.113.130/"]);
    wait_until("a ping", || b.pings(A, 1472));
}

#[test]
fn ipv6_between_link_local_and_global_addresses() {
    let pair = need!(Pair::new(&[], &[]));
    for (switch, address) in [(&pair.left, "2001:db8::1/64"), (&pair.right, "2001:db8::2/64")] {
        let set = switch.json(&["setif", "--address", address, "1"]);
        let addresses = set[0]["addresses"].as_array().unwrap();
        assert!(addresses.iter().any(|one| one == address), "{addresses:?}");
    }
    wait_until("a ping", || pair.b.pings("2001:db8::1", 1452));
    assert!(pair.a.pings("2001:db8::2", 8000));
    // IPv4 is still there.
    assert!(pair.b.pings(A, 56));
}

#[test]
fn tags_and_foreign_protocols_arrive_as_they_were_sent() {
    let pair = need!(Pair::new(&[], &[]));
    need!(peers::python());
    pair.wait_ping();
    let broadcast = "ffffffffffff";
    let from = "020000000001";
    let frames = [
        // VLAN 10 with priority 5; VLAN 0; VLAN 4095; two tags; LLDP; no padding.
        format!("{broadcast}{from}8100a00a88b5{}", "11".repeat(46)),
        format!("{broadcast}{from}8100000088b5{}", "22".repeat(46)),
        format!("{broadcast}{from}81000fff88b5{}", "33".repeat(46)),
        format!("{broadcast}{from}88a80014810000 0a88b5{}", "44".repeat(1492)).replace(' ', ""),
        format!("0180c200000e{from}88cc{}", "55".repeat(46)),
        format!("{broadcast}{from}88b5"),
    ];
    let send: Vec<_> =
        ["send", "ewp0"].into_iter().chain(frames.iter().map(String::as_str)).collect();
    let mut listen = need!(peers::start(&pair.b.site, "frames.py", &["receive", "ewp0", from]));
    assert_eq!(listen.stdout.next("the listener"), "ready");
    assert!(need!(peers::start(&pair.a.site, "frames.py", &send)).wait_exit().success());
    for frame in &frames {
        assert_eq!(&listen.stdout.next("a frame"), frame);
    }
    listen.kill();
}

#[test]
fn tcpdump_sees_the_same_packet_at_both_ends() {
    need!(tool("tcpdump"));
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    // tcpdump reads what Python has captured: it refuses to run as a namespace's root.
    let dir = TempDir::new();
    let files = ["a", "b"].map(|name| dir.at(name));
    let captures = [(&pair.a, &files[0]), (&pair.b, &files[1])].map(|(end, file)| {
        let args = ["capture", "ewp0", file];
        peers::start(&end.site, "frames.py", &args)
    });
    let [a, b] = captures;
    let captures = [need!(a), need!(b)];
    for capture in &captures {
        assert_eq!(capture.stdout.next("the capture"), "ready");
    }
    assert!(pair.b.pings(A, 1472));
    let filter = ["-n", "-e", "-v", "-t", "-r", "-", "icmp"];
    let [there, here] = files.map(|file| {
        wait_for("both packets at both ends", || {
            let mut tcpdump = Site::here().command("tcpdump");
            tcpdump.args(filter);
            let text = run_with(tcpdump, &std::fs::read(&file).unwrap()).stdout;
            (text.contains("echo request") && text.contains("echo reply")).then_some(text)
        })
    });
    assert_eq!(there, here);
    assert!(there.contains("length 1514"), "{there}");
    assert!(!there.contains("bad cksum") && !there.contains("wrong"), "{there}");
}

#[test]
fn the_readmes_commands_join_two_hosts() {
    let (a, b) = need!(Namespace::pair());
    for (host, commands) in [
        (
            &a,
            &[
                "sw",
                "ctl addport tap ethws0",
                "ctl setif --address 192.0.2.10 --netmask 255.255.255.0 1",
            ][..],
        ),
        (
            &b,
            &[
                "sw",
                "ctl addport tap ethws0",
                "ctl setif --address 192.0.2.5/24 1",
                "ctl addport client ws://10.0.0.10/",
            ],
        ),
    ] {
        host.ip("addr flush dev eth0");
        let address = if std::ptr::eq(host, &a) { "10.0.0.10/24" } else { "10.0.0.5/24" };
        host.ip(&format!("addr add {address} dev eth0"));
        for words in commands {
            let args: Vec<_> = words.split(' ').collect();
            run_with(command(&host.daemons, &args), b"").ok();
        }
    }
    wait_until("a ping", || b.pings("192.0.2.10", 1472));
}
