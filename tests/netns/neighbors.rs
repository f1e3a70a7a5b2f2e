//! Neighbor suppression between kernels: what counts is what they make of the answers, and what a
//! bystander hears.

use std::time::{Duration, Instant};

use crate::support::{
    lab::Namespace, need, peers::tool, process::Process, switch::Switch, wait_until,
};

/// A switch with four hosts, `eth0` of each at a port: the first three have 198.51.100.1 to 3.
struct Lan {
    switch: Switch,
    hosts: [Namespace; 4],
    // After the switch, which ends first.
    _hub: Namespace,
}

impl Lan {
    fn new() -> Result<Self, String> {
        let hub = Namespace::new()?;
        let hosts = [(); 4].map(|()| hub.sibling());
        let switch = Switch::start_at(&hub.site, &["--no-loopguard", "--neigh-suppress", "on"]);
        for (number, host) in (1..).zip(&hosts) {
            let port = format!("p{number}");
            host.cable("eth0", &hub, &port);
            // The hub's own stack says nothing.
            hub.run("sysctl", &["-qw", &format!("net.ipv6.conf.{port}.disable_ipv6=1")]).ok();
            if number < 4 {
                host.ip(&format!("addr add 198.51.100.{number}/24 dev eth0"));
            }
            switch.add(&["netdev", &port, "--name", &port]);
        }
        for host in &hosts {
            wait_until("an address", || {
                let addresses = host.ip("-6 addr show dev eth0 scope link");
                addresses.contains("inet6") && !addresses.contains("tentative")
            });
        }
        Ok(Self { switch, hosts, _hub: hub })
    }

    fn answered(&self) -> u64 {
        let report = self.switch.json(&["showport", "p1"]);
        report[0]["counters"]["suppressed-requests"].as_u64().expect("a number")
    }

    fn knows(&self, ip: &str, mac: &str) -> bool {
        let all = self.switch.json(&["listbinding", "--ip", ip]);
        all.iter().any(|one| one["mac"] == mac && one["type"] == "heard")
    }
}

/// The MAC address of a host, and its link-local one.
fn addresses(host: &Namespace) -> [String; 2] {
    [("-o link show dev eth0", "link/ether "), ("-6 -o addr show dev eth0 scope link", "inet6 ")]
        .map(|(what, before)| {
            let shown = host.ip(what);
            let rest = shown.split(before).nth(1).expect("an address");
            rest.split([' ', '/']).next().expect("an address").to_owned()
        })
}

/// Has `host` forget whom it has asked for.
fn forget(host: &Namespace) {
    host.ip("neigh flush dev eth0");
    host.ip("-6 neigh flush dev eth0");
}

/// Whether a host has heard something that ends so: a question for an address.
fn heard(bystander: &Process, end: &str) -> bool {
    bystander.stdout.find(|frame| frame.contains(end).then_some(())).is_some()
}

#[test]
fn a_host_finds_another_and_no_third_is_asked() {
    need!(tool("busybox"));
    let lan = need!(Lan::new());
    let [a, b, c, d] = &lan.hosts;
    let ([mac_a, _], [mac_b, local]) = (addresses(a), addresses(b));
    let local_at = format!("{local}%eth0");
    for address in ["198.51.100.2", &local_at] {
        wait_until("pings", || a.pings(address, 56));
    }
    wait_until("it is known", || lan.knows("198.51.100.2", &mac_b) && lan.knows(&local, &mac_b));
    let source = mac_a.replace(':', "");
    let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/frames.py");
    let bystander = c.start("python3", &[peer, "receive", "eth0", &source]);
    wait_until("a bystander", || bystander.stdout.contains("ready"));
    let before = lan.answered();
    forget(a);
    for address in ["198.51.100.2", &local_at] {
        assert!(a.pings(address, 56), "{address}");
    }
    assert!(lan.answered() >= before + 2, "the switch has answered both");
    assert!(a.ip("neigh show 198.51.100.2 dev eth0").contains(&mac_b));
    // Who is not known all are asked for, behind whatever was asked before.
    a.pings("198.51.100.77", 56);
    a.pings("fe80::77%eth0", 56);
    let target = |last: u8| format!("000000000000c63364{last:02x}");
    wait_until("questions to all", || {
        heard(&bystander, &target(77)) && heard(&bystander, "fe800000000000000000000000000077")
    });
    let local: std::net::Ipv6Addr = local.parse().expect("an address");
    let local: String = local.octets().iter().map(|octet| format!("{octet:02x}")).collect();
    assert!(!heard(&bystander, &target(2)), "{}", bystander.stdout.text());
    assert!(!heard(&bystander, &format!("00000000{local}")));
    // Whoever is about to have an address hears from its owner.
    for (ip, is_free) in [("198.51.100.2", false), ("198.51.100.99", true)] {
        let probe =
            d.run("busybox", &["arping", "-D", "-q", "-c", "2", "-w", "2", "-I", "eth0", ip]);
        assert_eq!(probe.code == Some(0), is_free, "{ip}: {probe:?}");
    }
    // The station moves to another port, and says so.
    d.run("sysctl", &["-qw", "net.ipv4.conf.eth0.arp_notify=1"]).ok();
    d.ip("addr add 198.51.100.2/24 dev eth0");
    b.ip("addr flush dev eth0");
    b.ip("link set eth0 address 02:00:00:00:00:99");
    let begin = Instant::now();
    d.ip(&format!("link set eth0 address {mac_b}"));
    forget(a);
    wait_until("pings to where it is now", || a.pings("198.51.100.2", 56));
    let gap = begin.elapsed();
    println!("followed in {gap:?}");
    assert!(gap < Duration::from_secs(1), "{gap:?}");
}
