//! Checksums and segmentation that the hosts' kernels leave to the switches: the
//! hosts get and give super-frames, and no kernel counts a wrong checksum.

use serde_json::Value;

use super::{A, B, Pair, transfer::transfer};
use crate::support::{
    lab::Namespace,
    need,
    peers::{self, python, script},
    process::run,
    switch::Switch,
    wait_for, wait_until,
};

/// Enough for windows to open and for some thousand segments.
const OCTETS: u64 = 50_000_000;

/// UDP datagrams, in super-frames of 20.
const DATAGRAMS: &str = "2000";

/// Octets of an ordinary frame: more on average means super-frames.
const ORDINARY: u64 = 1514;

/// What the kernel has counted as wrong checksums, of all protocols.
fn checksum_errors(host: &Namespace) -> u64 {
    let read = |file: &str| host.run("cat", &[file]).ok().stdout;
    let mut errors = Vec::new();
    for file in ["/proc/net/snmp", "/proc/net/netstat"] {
        let text = read(file);
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split(' ').collect()).collect();
        for pair in lines.chunks_exact(2) {
            let fields = pair[0].iter().zip(&pair[1]);
            errors.extend(
                fields
                    .filter(|(name, _)| name.ends_with("CsumErrors"))
                    .map(|f| *f.1)
                    .map(|value| value.parse::<u64>().expect("a number")),
            );
        }
    }
    for line in read("/proc/net/snmp6").lines() {
        if let Some((name, value)) = line.split_once(char::is_whitespace)
            && name.ends_with("CsumErrors")
        {
            errors.push(value.trim().parse().expect("a number"));
        }
    }
    assert!(errors.len() >= 4, "IPv4, IPv6, TCP and UDP");
    errors.iter().sum()
}

/// Octets of a packet on average since the interface is there.
fn octets_a_packet(host: &Namespace, interface: &str, direction: &str) -> u64 {
    let links: Value =
        serde_json::from_str(&host.ip(&format!("-s -j link show dev {interface}"))).expect("JSON");
    let counted = |what: &str| links[0]["stats64"][direction][what].as_u64().expect("a number");
    counted("bytes") / counted("packets").max(1)
}

/// UDP super-frames from one host to an address of another.
fn datagrams(from: &Namespace, to: &Namespace, address: &str) {
    let python = python().expect("asked for before");
    let mut receiver =
        peers::start(&to.site, "datagrams.py", &["receive", address]).expect("there is Python");
    let port = receiver.stdout.next("the receiver's port");
    let mut send = from.site.command(&python);
    send.args([&script("datagrams.py"), "send", address, &port, DATAGRAMS]);
    run(send).ok();
    assert_eq!(receiver.stdout.next("the receiver's count"), DATAGRAMS);
    wait_for("the receiver's end", || receiver.exited());
}

fn assert_no_errors(hosts: &[&Namespace], switches: &[&Switch]) {
    for host in hosts {
        assert_eq!(checksum_errors(host), 0);
    }
    for switch in switches {
        assert!(switch.ports().iter().all(|port| port["discards"]["on-error"] == 0));
    }
}

#[test]
fn super_frames_pass_between_taps_without_a_checksum_error() {
    need!(python());
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    transfer(&pair.b.site, &pair.a.site, A, OCTETS);
    transfer(&pair.a.site, &pair.b.site, B, OCTETS);
    for host in [&pair.a, &pair.b] {
        for direction in ["rx", "tx"] {
            let octets = octets_a_packet(host, "ewp0", direction);
            assert!(octets > 2 * ORDINARY, "{octets} octets a packet, {direction}");
        }
    }
    datagrams(&pair.b, &pair.a, A);
    for (switch, address) in [(&pair.left, "2001:db8::1/64"), (&pair.right, "2001:db8::2/64")] {
        switch.ctl(&["setif", "--address", address, "1"]).ok();
    }
    wait_until("a ping", || pair.b.pings("2001:db8::1", 1452));
    transfer(&pair.b.site, &pair.a.site, "2001:db8::1", OCTETS / 5);
    transfer(&pair.a.site, &pair.b.site, "2001:db8::2", OCTETS / 5);
    datagrams(&pair.a, &pair.b, "2001:db8::2");
    assert_no_errors(&[&pair.a, &pair.b], &[&pair.left, &pair.right]);
}

#[test]
fn super_frames_pass_a_linux_bridge_and_a_netdev_without_a_checksum_error() {
    need!(python());
    let (a, b) = need!(Namespace::pair());
    // One host behind a bridge with a TAP, the other behind a cable to a netdev port.
    let (near, far) = (a.sibling(), a.sibling());
    a.ip("link add name br0 type bridge");
    a.ip("link set br0 up");
    near.cable("eth0", &a, "host0");
    a.ip("link set host0 master br0");
    far.cable("eth0", &b, "host0");
    near.ip("addr add 198.51.100.1/24 dev eth0");
    far.ip("addr add 198.51.100.2/24 dev eth0");
    let left = Switch::start_at(&a.site, &["--host", "192.0.2.1", "--port", "80"]);
    let right = Switch::start_at(&b.site, &[]);
    left.add(&["tap", "ewp0"]);
    a.ip("link set ewp0 master br0");
    right.add(&["netdev", "host0"]);
    right.add(&["client", "ws://192.0.2.1/"]);
    wait_until("pings", || far.pings("198.51.100.1", 56) & near.pings("198.51.100.2", 56));
    transfer(&far.site, &near.site, "198.51.100.1", OCTETS);
    transfer(&near.site, &far.site, "198.51.100.2", OCTETS);
    let octets = octets_a_packet(&near, "eth0", "rx");
    assert!(octets > 2 * ORDINARY, "{octets} octets a packet to the host behind the bridge");
    let octets = octets_a_packet(&far, "eth0", "rx");
    assert!(octets > 2 * ORDINARY, "{octets} octets a packet to the host behind the netdev");
    datagrams(&far, &near, "198.51.100.1");
    datagrams(&near, &far, "198.51.100.2");
    assert_no_errors(&[&a, &b, &near, &far], &[&left, &right]);
}
