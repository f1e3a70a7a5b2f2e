//! Checksums and segmentation that the hosts' kernels leave to the switches: the
//! hosts get and give super-frames, and no kernel counts a wrong checksum.

use serde_json::Value;

use super::{A, B, Pair, assert_none_lost, transfer::transfer};
use crate::support::{
    lab::Namespace,
    need,
    peers::{self, python, script, tool},
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
    assert_none_lost(switches);
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

/// Two hosts behind netdev ports `p1` and `p2` of a switch, with IPv4 and IPv6 addresses.
struct Cabled {
    switch: Switch,
    lab: Namespace,
    near: Namespace,
    far: Namespace,
}

impl Cabled {
    fn new(mtus: [u32; 2]) -> Result<Self, String> {
        let lab = Namespace::new()?;
        let (near, far) = (lab.sibling(), lab.sibling());
        for (at, (host, mtu)) in [&near, &far].into_iter().zip(mtus).enumerate() {
            let (at, port) = (at + 1, format!("p{}", at + 1));
            host.cable("eth0", &lab, &port);
            lab.ip(&format!("link set {port} mtu {mtu}"));
            host.ip(&format!("link set eth0 mtu {}", mtus[0]));
            host.ip(&format!("addr add 192.0.2.{at}/24 dev eth0"));
            host.ip(&format!("addr add 2001:db8::{at}/64 dev eth0 nodad"));
        }
        let switch = Switch::start_at(&lab.site, &[]);
        switch.add(&["netdev", "p1"]);
        switch.add(&["netdev", "p2"]);
        wait_until("pings", || near.pings("192.0.2.2", 56) & far.pings("192.0.2.1", 56));
        Ok(Self { switch, lab, near, far })
    }
}

#[test]
fn tcp_inside_of_vxlan_passes_whatever_its_checksums_and_the_far_device_are() {
    need!(python());
    need!(tool("ethtool"));
    let net = need!(Cabled::new([1500, 1500]));
    let outer = [
        ("192.0.2.", "noudpcsum"),
        ("192.0.2.", "udpcsum"),
        ("2001:db8::", "udp6zerocsumtx udp6zerocsumrx"),
        ("2001:db8::", "noudp6zerocsumtx noudp6zerocsumrx"),
    ];
    for (at, (network, checksums)) in outer.into_iter().enumerate() {
        for (host, me, other) in [(&net.near, 1, 2), (&net.far, 2, 1)] {
            let port = 4789 + at;
            let link = format!(
                "link add vx{at} type vxlan id {at} local {network}{me} remote {network}{other} \
                 dstport {port} {checksums}"
            );
            let words: Vec<_> = link.split_whitespace().collect();
            if host.run("ip", &words).code != Some(0) {
                println!("SKIPPED: this kernel has no VXLAN");
                return;
            }
            host.ip(&format!("link set vx{at} up"));
            host.ip(&format!("addr add 198.51.{at}.{me}/24 dev vx{at}"));
            host.ip(&format!("addr add fd00:{at}::{me}/64 dev vx{at} nodad"));
        }
    }
    // What one host sends before the other has its end of the tunnel, without a checksum
    // over IPv6, counts as one with a wrong checksum.
    let before = [&net.near, &net.far].map(checksum_errors);
    // At 0.26 Mbit/s, as it was, these would take half an hour.
    let all = |octets| {
        for at in 0..outer.len() {
            transfer(&net.near.site, &net.far.site, &format!("198.51.{at}.2"), octets);
            transfer(&net.far.site, &net.near.site, &format!("fd00:{at}::1"), octets);
        }
    };
    all(OCTETS / 10);
    // Where the kernel can be told of all headers, none of it was cut.
    if net.lab.has_link("ewtx0") {
        for host in [&net.near, &net.far] {
            let octets = octets_a_packet(host, "eth0", "rx");
            assert!(octets > 2 * ORDINARY, "{octets} octets a packet");
        }
    }
    // Whoever deletes what these go by gets segments.
    for device in ["ewtx0", "ewtx1"] {
        net.lab.run("ip", &["link", "del", device]);
    }
    all(OCTETS / 50);
    for port in ["p1", "p2"] {
        net.lab.run("ethtool", &["-K", port, "tso", "off", "gso", "off"]).ok();
    }
    all(OCTETS / 50);
    assert_eq!([&net.near, &net.far].map(checksum_errors), before);
    assert_no_errors(&[], &[&net.switch]);
}

#[test]
fn tcp_inside_of_vxlan_passes_between_taps() {
    need!(python());
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    for (at, checksums) in ["noudpcsum", "udpcsum"].into_iter().enumerate() {
        for (host, me, local, remote) in [(&pair.a, 1, A, B), (&pair.b, 2, B, A)] {
            let port = 4789 + at;
            let link = format!(
                "link add vx{at} type vxlan id {at} local {local} remote {remote} dstport {port} \
                 {checksums}"
            );
            let words: Vec<_> = link.split_whitespace().collect();
            if host.run("ip", &words).code != Some(0) {
                println!("SKIPPED: this kernel has no VXLAN");
                return;
            }
            host.ip(&format!("link set vx{at} up"));
            host.ip(&format!("addr add 198.51.{at}.{me}/24 dev vx{at}"));
            host.ip(&format!("addr add fd00:{at}::{me}/64 dev vx{at} nodad"));
        }
        transfer(&pair.a.site, &pair.b.site, &format!("198.51.{at}.2"), OCTETS / 10);
        transfer(&pair.b.site, &pair.a.site, &format!("fd00:{at}::1"), OCTETS / 10);
    }
    assert_no_errors(&[&pair.a, &pair.b], &[&pair.left, &pair.right]);
}

#[test]
fn tcp_of_hosts_with_long_frames_passes() {
    need!(python());
    let net = need!(Cabled::new([9000, 9000]));
    assert!(net.near.run("ping", &["-c1", "-W2", "-Mdo", "-s8972", "192.0.2.2"]).code == Some(0));
    transfer(&net.near.site, &net.far.site, "192.0.2.2", OCTETS);
    transfer(&net.far.site, &net.near.site, "2001:db8::1", OCTETS);
    assert_no_errors(&[&net.near, &net.far], &[&net.switch]);
}

#[test]
fn frames_too_long_for_an_interface_are_counted_said_and_explained() {
    let net = need!(Cabled::new([9000, 1500]));
    for _ in 0..3 {
        assert!(!net.near.pings("192.0.2.2", 8000));
    }
    assert_eq!(net.switch.port(2)["discards"]["too-long"], 3);
    let said = net.switch.process.stderr.text();
    assert_eq!(said.matches("longer than p2 takes").count(), 1, "{said}");
    let mut doctor = crate::support::switch::command(&net.lab.site, &["doctor"]);
    doctor.args(["--ctlurl", net.switch.control_url()]);
    let found = run(doctor).stdout;
    assert!(found.contains("has discarded 3 frames: too-long"), "{found}");
    assert!(found.contains("p1 has 9000, p2 has 1500"), "{found}");
}
