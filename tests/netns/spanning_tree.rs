//! Bridges with rapid spanning tree around a switch that takes no part in it: Open vSwitch in
//! user space.

use std::time::Duration;

use super::longest_gap;
use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    peers::tool,
    process::{Output, Process},
    switch::Switch,
    wait_until,
};

/// Open vSwitch in a namespace, with a database of its own.
struct OpenVSwitch {
    _database: Process,
    _daemon: Process,
    dir: TempDir,
    site: Namespace,
}

impl OpenVSwitch {
    fn start(site: &Namespace) -> Result<Self, String> {
        for program in ["ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl"] {
            tool(program)?;
        }
        let dir = TempDir::new();
        let (file, socket) = (dir.at("conf.db"), format!("unix:{}", dir.at("db.sock")));
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        site.run("ovsdb-tool", &["create", &file, schema]).ok();
        let start = |program: &str, args: &[&str]| {
            let mut command = site.site.command(program);
            command.args(args).env("OVS_RUNDIR", dir.at("")).env("OVS_LOGDIR", dir.at(""));
            Process::start(command)
        };
        let database = start("ovsdb-server", &[&file, &format!("--remote=p{socket}")]);
        let this = Self {
            _daemon: start("ovs-vswitchd", &[&socket]),
            _database: database,
            dir,
            site: site.clone(),
        };
        wait_until("the database", || this.try_ctl(&["--no-wait", "init"]));
        Ok(this)
    }

    fn run(&self, words: &[&str]) -> Output {
        let database = format!("--db=unix:{}", self.dir.at("db.sock"));
        self.site.run("ovs-vsctl", &[&[&*database, "--timeout=10"], words].concat())
    }

    fn try_ctl(&self, words: &[&str]) -> bool {
        self.run(words).code == Some(0)
    }

    /// What `get` gives; nothing where there is nothing yet.
    fn ask(&self, words: &[&str]) -> String {
        self.run(words).stdout
    }

    fn ctl(&self, words: &str) {
        let words: Vec<_> = words.split_whitespace().collect();
        assert!(self.try_ctl(&words), "{words:?}");
    }
}

#[test]
fn a_path_through_the_switch_stands_in_for_a_cable_in_a_second() {
    let middle = need!(Namespace::new());
    let bridges = need!(OpenVSwitch::start(&middle));
    let (left, right) = (middle.sibling(), middle.sibling());
    left.cable("eth0", &middle, "ha");
    right.cable("eth0", &middle, "hb");
    for (host, address) in [(&left, 1), (&right, 2)] {
        host.ip(&format!("addr add 198.51.100.{address}/24 dev eth0"));
    }
    for (one, other) in [("o1", "o2"), ("ea", "e1"), ("eb", "e2")] {
        middle.ip(&format!("link add name {one} type veth peer name {other}"));
        middle.ip(&format!("link set {one} up"));
        middle.ip(&format!("link set {other} up"));
    }
    for (bridge, ports) in [("bra", ["ha", "o1", "ea"]), ("brb", ["hb", "o2", "eb"])] {
        bridges.ctl(&format!("--no-wait add-br {bridge}"));
        bridges
            .ctl(&format!("--no-wait set bridge {bridge} datapath_type=netdev rstp_enable=true"));
        for port in ports {
            bridges.ctl(&format!("--no-wait add-port {bridge} {port}"));
        }
    }
    for port in ["ea", "eb"] {
        bridges.ctl(&format!("--no-wait set port {port} other_config:rstp-path-cost=200000"));
    }
    let switch = Switch::start_at(&middle.site, &[]);
    for device in ["e1", "e2"] {
        switch.add(&["netdev", device]);
    }
    wait_until("pings", || left.pings("198.51.100.2", 56));
    // The bridges know of both ways, and have closed the longer one: the loop guard finds none.
    wait_until("a tree", || {
        let state = |port| bridges.ask(&["get", "port", port, "rstp_status:rstp_port_state"]);
        ["ea", "eb"].iter().filter(|port| state(port).contains("Discarding")).count() == 1
            && ["o1", "o2"].iter().all(|port| state(port).contains("Forwarding"))
    });
    assert!(switch.ports().iter().all(|port| port["state"] == "up"));
    let mut ping = left.start("ping", &["-n", "-D", "-i", "0.02", "-w", "8", "198.51.100.2"]);
    wait_until("answers", || ping.stdout.text().lines().count() > 50);
    // The far host is learned on the near side of the switch, too.
    right.run("ping", &["-n", "-c", "1", "-W", "1", "-b", "198.51.100.255"]);
    middle.ip("link set o1 down");
    ping.wait_exit();
    let gap = longest_gap(&ping.stdout.text());
    println!("gap of {gap:?}");
    assert!(gap <= Duration::from_secs(1), "{gap:?}");
}
