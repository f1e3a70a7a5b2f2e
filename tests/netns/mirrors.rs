//! Mirrors with real frames: what a tcpdump sees behind the port that copies leave by, on the
//! same switch, and behind another one.

use super::transfer::transfer;
use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    peers::{self, python, tool},
    process::{Process, Site, run_with},
    switch::Switch,
    wait_for, wait_until,
};

/// A host that says nothing by itself, at the end of a cable to `device` of `site`.
fn host(site: &Namespace, device: &str) -> Namespace {
    let host = site.sibling();
    for namespace in [site, &host] {
        namespace.run("sysctl", &["-qw", "net.ipv6.conf.default.disable_ipv6=1"]).ok();
    }
    host.cable("eth0", site, device);
    host
}

/// What comes to a host, for a tcpdump.
struct Probe {
    file: String,
    _capture: Process,
    _dir: TempDir,
}

impl Probe {
    fn start(host: &Namespace) -> Self {
        let dir = TempDir::new();
        let file = dir.at("frames");
        let capture = peers::start(&host.site, "frames.py", &["capture", "eth0", &file]);
        let capture = capture.expect("asked for before");
        assert_eq!(capture.stdout.next("the capture"), "ready");
        Self { file, _capture: capture, _dir: dir }
    }

    /// What a tcpdump shows of it, once it shows so much.
    fn seen(&self, filter: &str, count: usize) -> Vec<String> {
        wait_for("packets", || {
            let mut tcpdump = Site::here().command("tcpdump");
            tcpdump.args(["-entr", "-", filter]);
            let shown = run_with(tcpdump, &std::fs::read(&self.file).unwrap()).stdout;
            let lines: Vec<_> = shown.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
    }
}

fn mirror(switch: &Switch) -> serde_json::Value {
    switch.json(&["listmirror"]).remove(0)
}

#[test]
fn a_tcpdump_behind_a_mirror_sees_exactly_what_its_filter_takes() {
    need!(tool("tcpdump"));
    need!(python());
    let site = need!(Namespace::new());
    let [a, b, probe] = ["ha", "hb", "hp"].map(|device| host(&site, device));
    a.ip("addr add 198.51.100.1/24 dev eth0");
    b.ip("addr add 198.51.100.2/24 dev eth0");
    let switch = Switch::start_at(&site.site, &[]);
    for (device, name) in [("ha", "a"), ("hb", "b"), ("hp", "probe")] {
        switch.add(&["netdev", device, "--name", name]);
    }
    wait_until("a ping", || a.pings("198.51.100.2", 56));
    switch.ctl(&["addmirror", "--from", "a", "b", "--to", "probe", "--filter", "icmp"]).ok();
    let dump = Probe::start(&probe);
    let pings = a.run("ping", &["-n", "-c", "3", "-i", "0.2", "-s", "1000", "198.51.100.2"]);
    pings.ok();
    transfer(&a.site, &b.site, "198.51.100.2", 1_000_000);
    assert_eq!(mirror(&switch)["copied"], 6, "requests and answers, each once");
    let lines = dump.seen("", 6);
    let of = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    let counts =
        (lines.len(), of("198.51.100.1 > 198.51.100.2: ICMP echo request"), of("echo reply"));
    assert_eq!(counts, (6, 3, 3), "{lines:?}");
    switch.ctl(&["delmirror", "1"]).ok();

    // Super-frames: copies are cut where the port does not take them, and slow nobody down.
    switch.ctl(&["setport", "probe", "--offload", "off"]).ok();
    switch.ctl(&["addmirror", "--from", "a", "--direction", "rx", "--to", "probe"]).ok();
    let dump = Probe::start(&probe);
    transfer(&a.site, &b.site, "198.51.100.2", 20_000_000);
    // What comes last.
    assert!(a.pings("198.51.100.2", 56));
    let (of_a, copies) = (switch.port(1), mirror(&switch));
    let number = |of: &serde_json::Value, name: &str| of[name].as_u64().expect("a number");
    let all = number(&copies, "copied") + number(&copies, "lost");
    assert!(all > 20_000_000 / 1460, "{copies}");
    assert!(of_a["discards"].as_object().unwrap().values().all(|count| *count == 0), "{of_a}");
    let lines = dump.seen("icmp or greater 1515", 1);
    assert!(lines.len() == 1 && lines[0].contains("ICMP echo request"), "{lines:?}");
}

#[test]
fn copies_reach_a_tcpdump_behind_another_switch_in_their_vlan() {
    need!(tool("tcpdump"));
    need!(python());
    let (left, right) = need!(Namespace::pair());
    let [a, b] = ["ha", "hb"].map(|device| host(&left, device));
    let probe = host(&right, "hp");
    a.ip("addr add 198.51.100.1/24 dev eth0");
    b.ip("addr add 198.51.100.2/24 dev eth0");
    let hub = Switch::start_at(&right.site, &["--host", "192.0.2.2", "--port", "8080"]);
    hub.add(&["netdev", "hp", "--name", "probe"]);
    let site = Switch::start_at(&left.site, &[]);
    site.add(&["netdev", "ha", "--name", "a"]);
    site.add(&["netdev", "hb"]);
    let uplink = site.add(&["client", "ws://192.0.2.2:8080/", "--name", "uplink"]);
    site.wait_state(uplink, "up");
    wait_until("a ping", || a.pings("198.51.100.2", 56));
    let words = ["addmirror", "--from", "a", "--to", "uplink", "--to-vlan", "900"];
    site.ctl(&words).ok();
    let words = ["addmirror", "--from", "2", "--direction", "rx", "--vlan", "900", "--to", "probe"];
    hub.ctl(&words).ok();
    let dump = Probe::start(&probe);
    a.run("ping", &["-n", "-c", "3", "-i", "0.2", "198.51.100.2"]).ok();
    let lines = dump.seen("icmp", 6);
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert_eq!((&mirror(&site)["lost"], &mirror(&hub)["lost"]), (&0.into(), &0.into()));
    super::assert_none_lost(&[&site, &hub]);
}
