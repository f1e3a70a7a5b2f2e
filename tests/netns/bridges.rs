//! Bridges of several makes that take part in one spanning tree, with wires between them that can
//! be cut or fall silent, and two hosts.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use serde_json::Value;

use super::{longest_gap, openvswitch::OpenVSwitch};
use crate::support::{LIMIT, lab::Namespace, switch::Switch, wait_until, wait_within};

/// Of which make a bridge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    /// RSTP.
    OpenVSwitch,
    /// The kernel's bridge, which speaks legacy STP only.
    Linux,
    /// Ours.
    Etherws,
}

/// Times of the root, in seconds, as short as they may be: max age and forward delay.
pub(super) const TIMES: [&str; 2] = ["6", "4"];

/// What a way by any port costs. Each make has another default.
const COST: u16 = 20_000;

/// Longest time that legacy STP needs.
pub(super) const SLOW: Duration = Duration::from_secs(50);

/// A bridge.
pub(super) enum Bridge {
    OpenVSwitch { name: &'static str, switches: Rc<OpenVSwitch> },
    Linux { name: &'static str, site: Namespace },
    Etherws(Switch),
}

/// What a port is to the tree, and what it does: `root forwarding`.
type Part = String;

fn ip(site: &Namespace, device: &str) -> Value {
    site.run("ip", &["-j", "-d", "link", "show", "dev", device]).json()[0]["linkinfo"].clone()
}

impl Bridge {
    /// Adds a port.
    pub(super) fn add(&self, device: &str) {
        self.add_at(device, COST);
    }

    fn add_at(&self, device: &str, cost: u16) {
        match self {
            Self::OpenVSwitch { name, switches } => {
                switches.ctl(&format!("--no-wait add-port {name} {device}"));
                let cost = format!("other_config:rstp-path-cost={cost}");
                switches.ctl(&format!("--no-wait set port {device} {cost}"));
            }
            Self::Linux { name, site } => {
                site.ip(&format!("link set {device} master {name} up"));
                site.ip(&format!("link set {device} type bridge_slave cost {cost}"));
            }
            Self::Etherws(switch) => {
                switch.add(&["netdev", device, "--stp-cost", &cost.to_string()]);
            }
        }
    }

    /// The switch, if it is one of ours.
    pub(super) fn ours(&self) -> &Switch {
        match self {
            Self::Etherws(switch) => switch,
            _ => panic!("of another make"),
        }
    }

    /// Whether the last change of the topology is over, as far as it says so.
    pub(super) fn is_stable(&self) -> bool {
        match self {
            Self::Linux { name, site } => ip(site, name)["info_data"]["topology_change"] == 0,
            _ => true,
        }
    }

    /// What it says of a port.
    pub(super) fn part(&self, device: &str) -> Part {
        match self {
            Self::OpenVSwitch { switches, .. } => {
                let of = |what: &str| {
                    let key = format!("rstp_status:rstp_port_{what}");
                    let told = switches.ask(&["--if-exists", "get", "port", device, &key]);
                    told.trim().trim_matches('"').to_lowercase()
                };
                format!("{} {}", of("role"), of("state"))
            }
            Self::Linux { name, site } => {
                let port = ip(site, device)["info_slave_data"].clone();
                let bridge = ip(site, name)["info_data"].clone();
                let number = port["no"].as_str().unwrap_or_default().trim_start_matches("0x");
                let number = u64::from_str_radix(number, 16).ok();
                let state = match port["state"].as_str() {
                    Some("forwarding") => "forwarding",
                    Some("learning") => "learning",
                    _ => "discarding",
                };
                let role = match port["state"].as_str() {
                    Some("disabled") | None => "disabled",
                    _ if number.is_some() && bridge["root_port"].as_u64() == number => "root",
                    Some("blocking") => "alternate",
                    _ => "designated",
                };
                format!("{role} {state}")
            }
            Self::Etherws(switch) => {
                let ports = switch.ports();
                let port = ports.iter().find(|port| port["target"] == device).expect("a port");
                // With loop guard and spanning tree at once.
                assert_ne!(port["state"], "loop", "{port}");
                let of = |what| port[what].as_str().unwrap_or("none");
                format!("{} {}", of("stp-role"), of("stp-state"))
            }
        }
    }
}

/// What joins two bridges.
pub(super) struct Wire {
    /// Its ends.
    pub(super) ends: [String; 2],
    site: Namespace,
}

impl Wire {
    /// Pulls it out at its second end: both notice.
    pub(super) fn cut(&self) {
        self.site.ip(&format!("link set {} down", self.ends[1]));
    }

    /// Puts it in again.
    pub(super) fn join(&self) {
        self.site.ip(&format!("link set {} up", self.ends[1]));
    }

    /// Loses all that it carries: nobody notices. For those that [`Lab::long_wire`] makes.
    pub(super) fn silence(&self) {
        self.site.ip(&format!("link set {}x nomaster", self.ends[1]));
    }
}

/// Bridges and wires in one network, and two hosts in networks of their own.
pub(super) struct Lab {
    pub(super) left: Namespace,
    _right: Namespace,
    pub(super) middle: Namespace,
    switches: RefCell<Option<Rc<OpenVSwitch>>>,
    wires: Cell<u8>,
    /// For what is shown.
    name: String,
}

/// The right host's address.
const RIGHT: &str = "198.51.100.2";

impl Lab {
    pub(super) fn new(name: String) -> Result<Self, String> {
        let middle = Namespace::new()?;
        let (left, right) = (middle.sibling(), middle.sibling());
        for (host, device, address) in [(&left, "hl", 1), (&right, "hr", 2)] {
            host.cable("eth0", &middle, device);
            host.ip(&format!("addr add 198.51.100.{address}/24 dev eth0"));
        }
        let (switches, wires) = (RefCell::default(), Cell::default());
        Ok(Self { left, _right: right, middle, switches, wires, name })
    }

    /// A bridge with a priority.
    pub(super) fn bridge(
        &self,
        make: Make,
        name: &'static str,
        priority: u16,
    ) -> Result<Bridge, String> {
        let [age, delay] = TIMES;
        Ok(match make {
            Make::OpenVSwitch => {
                let known = self.switches.borrow().clone();
                let switches = match known {
                    Some(known) => known,
                    None => Rc::new(OpenVSwitch::start(&self.middle)?),
                };
                *self.switches.borrow_mut() = Some(Rc::clone(&switches));
                switches.ctl(&format!("--no-wait add-br {name}"));
                let set = format!("--no-wait set bridge {name} datapath_type=netdev");
                let of = |key: &str, value: &str| format!("other_config:rstp-{key}={value}");
                let priority = of("priority", &priority.to_string());
                let times = [of("max-age", age), of("forward-delay", delay)].join(" ");
                switches.ctl(&format!("{set} rstp_enable=true {priority} {times}"));
                Bridge::OpenVSwitch { name, switches }
            }
            Make::Linux => {
                self.middle.ip(&format!(
                    "link add name {name} type bridge stp_state 1 priority {priority} max_age \
                     {age}00 forward_delay {delay}00 hello_time 200 mcast_snooping 0"
                ));
                self.middle.ip(&format!("link set {name} up"));
                Bridge::Linux { name, site: self.middle.clone() }
            }
            Make::Etherws => {
                let priority = priority.to_string();
                let args = ["--stp", "rstp", "--stp-priority", &priority];
                let times = ["--stp-max-age", age, "--stp-forward-delay", delay];
                Bridge::Etherws(Switch::start_at(&self.middle.site, &[&args[..], &times].concat()))
            }
        })
    }

    fn ends(&self) -> [String; 2] {
        let number = self.wires.get();
        self.wires.set(number + 1);
        [format!("w{number}a"), format!("w{number}b")]
    }

    fn veth(&self, one: &str, other: &str) {
        self.middle.ip(&format!("link add name {one} type veth peer name {other}"));
        for end in [one, other] {
            self.middle.ip(&format!("link set {end} up"));
        }
    }

    /// A wire between two bridges.
    pub(super) fn wire(&self, one: &Bridge, other: &Bridge) -> Wire {
        let ends = self.ends();
        self.veth(&ends[0], &ends[1]);
        self.join(ends, one, other)
    }

    /// One of two pieces, with a bridge without spanning tree between, which may lose all.
    pub(super) fn long_wire(&self, one: &Bridge, other: &Bridge) -> Wire {
        let ends = self.ends();
        let between = format!("{}h", ends[0]);
        self.hub(&between);
        for end in &ends {
            self.veth(end, &format!("{end}x"));
            self.middle.ip(&format!("link set {end}x master {between}"));
        }
        self.join(ends, one, other)
    }

    /// Adds the ends of a wire. One that came first is cheaper.
    fn join(&self, ends: [String; 2], one: &Bridge, other: &Bridge) -> Wire {
        let cost = COST + u16::from(self.wires.get() - 1);
        one.add_at(&ends[0], cost);
        other.add_at(&ends[1], cost);
        Wire { ends, site: self.middle.clone() }
    }

    /// A hub: it takes part in no spanning tree, passes BPDUs on, and learns no addresses, which it
    /// would keep however the tree changes.
    fn hub(&self, name: &str) {
        self.middle.ip(&format!("link add name {name} type bridge mcast_snooping 0 ageing_time 0"));
        self.middle.ip(&format!("link set {name} up"));
    }

    /// Joins a bridge to one segment by two ports, and gives them.
    pub(super) fn twice(&self, bridge: &Bridge) -> [String; 2] {
        let ends = self.ends();
        self.hub("hub");
        for end in &ends {
            self.veth(end, &format!("{end}x"));
            self.middle.ip(&format!("link set {end}x master hub"));
            bridge.add(end);
        }
        ends
    }

    /// The hosts are behind these bridges from now on.
    pub(super) fn hosts(&self, left: &Bridge, right: &Bridge) {
        left.add("hl");
        right.add("hr");
    }

    /// Waits until the hosts reach each other.
    pub(super) fn reach(&self) {
        wait_until("pings", || self.left.pings(RIGHT, 56));
    }

    /// The longest time for which the left host does not reach the right one while `change` is made,
    /// and for three seconds behind it.
    pub(super) fn gap(&self, what: &str, change: impl FnOnce()) -> Duration {
        let ping = self.left.start("ping", &["-n", "-D", "-i", "0.02", RIGHT]);
        let answers = || ping.stdout.text().lines().count();
        wait_until("answers", || answers() > 50);
        change();
        let before = answers();
        wait_within(LIMIT.max(SLOW), "answers again", || (answers() > before + 150).then_some(()));
        let gap = longest_gap(&ping.stdout.text());
        println!("{}: {what}: {} ms", self.name, gap.as_millis());
        gap
    }
}

/// Waits until each of these ports has its part in the tree.
pub(super) fn wait_parts(parts: &[(&Bridge, &str, &str)]) {
    let wanted: Vec<_> = parts.iter().map(|(.., wanted)| *wanted).collect();
    let mut last = Vec::new();
    wait_within(SLOW, &format!("ports to be {wanted:?}"), || {
        let now: Vec<_> = parts.iter().map(|(bridge, device, _)| bridge.part(device)).collect();
        if now != last {
            println!("{now:?}");
            last = now;
        }
        (last == wanted).then_some(())
    });
}
