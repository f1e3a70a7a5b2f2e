//! Where a Linux bridge was, the same octets come out: frames of every kind of header, with
//! every kind of work left on them, go in at one interface and are looked at behind another.
//!
//! `tests/peers/carry.py` has the frames, and a model that says what comes of each. The
//! bridge is held against the same model. More random ones: `CARRY_SEED`, `CARRY_COUNT`.

use std::env;

use serde_json::Value;

use super::assert_none_lost;
use crate::support::{
    lab::Namespace,
    need,
    peers::{self, python},
    process::Process,
    switch::Switch,
    wait_until,
};

/// Super-frames in a tunnel of their own: a bridge drops those whose kernel does not vouch
/// for them, and we need not.
const FOR_US_ONLY: [&str; 7] = ["vxlan", "geneve", "gtp", "gre", "mpls", "pppoe", "5555"];

/// A program with an interface on each side of what carries frames.
struct Hosts(Process);

impl Hosts {
    fn new(site: &Namespace, near: &str, far: &str, offload: &str, mtu: u32) -> Self {
        let seed = env::var("CARRY_SEED").unwrap_or_else(|_| "1".to_owned());
        Self::with(site, near, far, offload, mtu, &seed)
    }

    /// With the random cases of a seed, or those that are `unknown`.
    fn with(site: &Namespace, near: &str, far: &str, offload: &str, mtu: u32, seed: &str) -> Self {
        let mtu = mtu.to_string();
        let count = env::var("CARRY_COUNT").unwrap_or_else(|_| "100".to_owned());
        let args = [near, far, offload, &mtu, seed, &count];
        let process = peers::start(&site.site, "carry.py", &args).expect("asked for before");
        assert_eq!(process.stdout.next("both interfaces"), "ready");
        Self(process)
    }

    /// Sends all, and gives what the program says of what came out.
    fn run(mut self) -> Value {
        self.0.tell("go");
        let said = self.0.stdout.next("what came out");
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert!(said["sent"].as_u64() > Some(0), "{said:#}");
        assert_eq!(said["wrong"], Value::Array(Vec::new()), "{said:#}");
        said
    }
}

fn names<'a>(said: &'a Value, what: &str) -> Vec<&'a str> {
    let names = said[what].as_array().expect("a list");
    names.iter().map(|name| name.as_str().expect("a name")).collect()
}

/// That each frame has come out, and no switch has lost one.
fn assert_all(said: &Value, switches: &[&Switch]) {
    assert_eq!(names(said, "missing"), [""; 0], "{said:#}");
    assert_none_lost(switches);
}

#[test]
fn a_linux_bridge_agrees_with_the_model() {
    need!(python());
    let lab = need!(Namespace::new());
    need!(lab.can_make_taps());
    let hosts = Hosts::new(&lab, "ca0", "ca1", "on", 1500);
    lab.ip("link add br0 type bridge");
    lab.ip("link set br0 up");
    for name in ["ca0", "ca1"] {
        lab.ip(&format!("link set {name} master br0"));
    }
    wait_until("the bridge forwards", || {
        lab.ip("-d -o link show master br0").matches("state forwarding").count() == 2
    });
    let said = hosts.run();
    let lost = names(&said, "missing");
    let is_known = |name: &&&str| {
        FOR_US_ONLY.iter().any(|word| name.contains(word)) || name.matches("'ip").count() > 1
    };
    assert_eq!(lost.iter().filter(is_known).count(), lost.len(), "{lost:#?}");
}

/// Between two netdev ports of one switch.
fn between_netdevs(offload: &str, mtu: u32, settings: &[&str]) -> Result<Value, String> {
    let lab = Namespace::new()?;
    lab.can_make_taps()?;
    let hosts = Hosts::new(&lab, "ca0", "ca1", offload, mtu);
    let switch = Switch::start_at(&lab.site, &[]);
    switch.add(&["netdev", "ca0"]);
    let far = switch.add(&["netdev", "ca1"]).to_string();
    if !settings.is_empty() {
        switch.ctl(&[&["setport"], settings, &[&far]].concat()).ok();
    }
    let said = hosts.run();
    assert_all(&said, &[&switch]);
    Ok(said)
}

#[test]
fn frames_pass_between_netdevs() {
    need!(python());
    need!(between_netdevs("on", 1500, &[]));
}

#[test]
fn frames_pass_to_a_netdev_that_takes_only_finished_ones() {
    need!(python());
    let said = need!(between_netdevs("off", 1500, &[]));
    assert_eq!(said["unfinished"], 0);
}

#[test]
fn a_port_without_offload_gives_only_finished_frames() {
    need!(python());
    let said = need!(between_netdevs("on", 1500, &["--offload", "off"]));
    assert_eq!(said["unfinished"], 0);
    // An MTU and two tags.
    assert!(said["longest"].as_u64() <= Some(1522), "{said:#}");
}

#[test]
fn super_frames_that_are_not_understood_are_counted_and_never_cut() {
    need!(python());
    let lab = need!(Namespace::new());
    need!(lab.can_make_taps());
    let hosts = Hosts::with(&lab, "ca0", "ca1", "on", 1500, "unknown");
    let switch = Switch::start_at(&lab.site, &[]);
    for name in ["ca0", "ca1"] {
        switch.add(&["netdev", name]);
    }
    let said = hosts.run();
    assert_eq!(said["sent"], 8);
    assert_eq!(names(&said, "missing").len(), 8, "{said:#}");
    let lost = |port| switch.port(port)["discards"]["unknown-offload"].as_u64().unwrap();
    // As frames on a wire, where one was to be cut.
    wait_until("all to be counted", || lost(1) + lost(2) >= 8);
    let is_said = |line: &str| line.contains("headers that are not known here").then_some(());
    assert!(switch.process.stderr.find(is_said).is_some());
}

#[test]
fn frames_pass_at_other_mtus() {
    need!(python());
    for mtu in [576, 9000, 65_521] {
        need!(between_netdevs("on", mtu, &[]));
    }
}

#[test]
fn frames_pass_between_taps() {
    need!(python());
    let lab = need!(Namespace::new());
    need!(lab.can_make_taps());
    let switch = Switch::start_at(&lab.site, &[]);
    for name in ["ewp0", "ewp1"] {
        switch.add(&["tap", name]);
        let key = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        lab.run("sh", &["-c", &format!("echo 1 >{key}")]).ok();
    }
    let said = Hosts::new(&lab, "=ewp0", "=ewp1", "on", 1500).run();
    assert_all(&said, &[&switch]);
}

#[test]
fn frames_pass_a_tunnel_between_netdevs() {
    need!(python());
    let (a, b) = need!(Namespace::pair());
    let left = Switch::start_at(&a.site, &["--host", "192.0.2.1", "--port", "80"]);
    let right = Switch::start_at(&b.site, &[]);
    let far = format!("ca1@{}", b.net_argument().trim_start_matches("--net="));
    let hosts = Hosts::new(&a, "ca0", &far, "on", 1500);
    left.add(&["netdev", "ca0"]);
    right.add(&["netdev", "ca1"]);
    right.add(&["client", "ws://192.0.2.1/"]);
    wait_until("a session", || left.ports().iter().any(|port| port["type"] == "server"));
    assert_all(&hosts.run(), &[&left, &right]);
}

#[test]
fn frames_pass_a_tunnel_to_a_program_that_takes_only_finished_ones() {
    need!(python());
    let lab = need!(Namespace::new());
    need!(lab.can_make_taps());
    let switch = Switch::start_at(&lab.site, &[]);
    let far = format!("ws:{}", switch.tunnel);
    let hosts = Hosts::new(&lab, "ca0", &far, "off", 1500);
    switch.add(&["netdev", "ca0"]);
    let said = hosts.run();
    assert_all(&said, &[&switch]);
    assert_eq!(said["unfinished"], 0);
}
