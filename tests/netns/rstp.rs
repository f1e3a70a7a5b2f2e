//! Our spanning tree among others: each part in it beside Open vSwitch (RSTP), the kernel's bridge
//! (legacy STP) and ourselves, what happens when the way in use is cut or falls silent, and for how
//! long two hosts notice. The loop guard is on in all of these.

use std::time::{Duration, Instant};

use super::bridges::{Bridge, Lab, Make, SLOW, TIMES, wait_parts};
use crate::support::{
    TempDir, need,
    peers::tool,
    process::{Process, run},
    switch::Switch,
    wait_until, wait_within,
};

/// In which a way stands in for another, where both sides speak RSTP: a twentieth of this, on a
/// machine that has time. Legacy STP takes ten times as long.
const FAST: Duration = Duration::from_secs(3);

/// Three hello times, a turn of the clocks, and the same room.
const SILENT: Duration = Duration::from_secs(10);

/// In which bridges of these makes open a way that was closed.
fn limit(makes: &[Make]) -> Duration {
    if makes.contains(&Make::Linux) { SLOW } else { FAST }
}

/// Two bridges and two wires between them. The one that is not the root keeps the second wire in
/// reserve.
fn two_wires(root: Make, leaf: Make) -> Result<(), String> {
    let lab = Lab::new(format!("{root:?} is the root, {leaf:?} has two ways to it"))?;
    let (opens, closes) = (limit(&[leaf]), limit(&[root, leaf]));
    let (root, other) = (lab.bridge(root, "one", 4096)?, lab.bridge(leaf, "two", 61_440)?);
    let wires = [lab.wire(&root, &other), lab.wire(&root, &other)];
    lab.hosts(&root, &other);
    let [first, second] = wires.each_ref().map(|wire| wire.ends.each_ref().map(String::as_str));
    let whole = || {
        wait_parts(&[
            (&root, first[0], "designated forwarding"),
            (&root, second[0], "designated forwarding"),
            (&other, first[1], "root forwarding"),
            (&other, second[1], "alternate discarding"),
        ]);
    };
    whole();
    lab.reach();
    let gap = lab.gap("cut", || {
        wires[0].cut();
        wait_parts(&[(&other, second[1], "root forwarding")]);
    });
    assert!(gap <= opens, "{gap:?}");
    // The leaf goes back to the cheaper way as soon as it hears of it: a root with legacy STP does
    // not forward there yet.
    let gap = lab.gap("whole again", || {
        wires[0].join();
        whole();
    });
    assert!(gap <= closes, "{gap:?}");
    // What is not in use may be cut as well.
    let gap = lab.gap("reserve cut", || wires[1].cut());
    assert!(gap <= FAST, "{gap:?}");
    Ok(())
}

/// Three bridges in a ring, and ours is between the root and the one that keeps its wire to us in
/// reserve.
fn between(make: Make, ours: Make) -> Result<(), String> {
    let lab = Lab::new(format!("{ours:?} between two of {make:?}"))?;
    let root = lab.bridge(make, "one", 4096)?;
    let middle = lab.bridge(ours, "two", 8192)?;
    let leaf = lab.bridge(make, "three", 61_440)?;
    let [up, direct, down] =
        [lab.wire(&root, &middle), lab.wire(&root, &leaf), lab.wire(&middle, &leaf)];
    lab.hosts(&root, &leaf);
    wait_parts(&[
        (&middle, &up.ends[1], "root forwarding"),
        (&middle, &down.ends[0], "designated forwarding"),
        (&leaf, &direct.ends[1], "root forwarding"),
        (&leaf, &down.ends[1], "alternate discarding"),
    ]);
    lab.reach();
    let gap = lab.gap("cut", || {
        direct.cut();
        wait_parts(&[(&leaf, &down.ends[1], "root forwarding")]);
    });
    assert!(gap <= limit(&[make]), "{gap:?}");
    Ok(())
}

/// The way in use is there and carries nothing. Legacy STP forgets it after the max age.
fn silent(above: Make, leaf: Make) -> Result<(), String> {
    let lab = Lab::new(format!("{above:?} is the root, {leaf:?} has two ways to it"))?;
    let (root, other) = (lab.bridge(above, "one", 4096)?, lab.bridge(leaf, "two", 61_440)?);
    let wires = [lab.long_wire(&root, &other), lab.long_wire(&root, &other)];
    lab.hosts(&root, &other);
    wait_parts(&[
        (&other, &wires[0].ends[1], "root forwarding"),
        (&other, &wires[1].ends[1], "alternate discarding"),
    ]);
    lab.reach();
    // The tree's beginning is over: what the root knows lasts again.
    wait_within(SLOW, "the topology to be stable", || root.is_stable().then_some(()));
    let gap = lab.gap("silent", || {
        wires[0].silence();
        wait_parts(&[(&other, &wires[1].ends[1], "root forwarding")]);
    });
    assert!(gap <= if leaf == Make::Linux { SLOW } else { SILENT }, "{gap:?}");
    Ok(())
}

#[test]
fn the_root_beside_open_vswitch() {
    need!(two_wires(Make::Etherws, Make::OpenVSwitch));
}

#[test]
fn the_root_beside_linux() {
    need!(two_wires(Make::Etherws, Make::Linux));
}

#[test]
fn two_ways_to_open_vswitch() {
    need!(two_wires(Make::OpenVSwitch, Make::Etherws));
}

#[test]
fn two_ways_to_linux() {
    need!(two_wires(Make::Linux, Make::Etherws));
}

#[test]
fn two_ways_to_another_of_us() {
    need!(two_wires(Make::Etherws, Make::Etherws));
}

#[test]
fn between_two_of_open_vswitch() {
    need!(between(Make::OpenVSwitch, Make::Etherws));
}

#[test]
fn between_two_of_linux() {
    need!(between(Make::Linux, Make::Etherws));
}

#[test]
fn between_two_of_us() {
    need!(between(Make::Etherws, Make::Etherws));
}

#[test]
fn a_silent_way_to_open_vswitch_is_left_after_three_hello_times() {
    need!(silent(Make::OpenVSwitch, Make::Etherws));
}

#[test]
fn a_silent_way_to_linux_is_left_after_three_hello_times() {
    need!(silent(Make::Linux, Make::Etherws));
}

#[test]
fn a_silent_way_to_us_is_left_after_three_hello_times() {
    need!(silent(Make::Etherws, Make::OpenVSwitch));
    need!(silent(Make::Etherws, Make::Etherws));
}

#[test]
fn a_silent_way_to_us_is_left_by_linux() {
    need!(silent(Make::Etherws, Make::Linux));
}

#[test]
fn one_that_speaks_only_legacy_stp_is_understood() {
    let lab = need!(Lab::new("legacy STP".to_owned()));
    let root = need!(lab.bridge(Make::OpenVSwitch, "one", 4096));
    let [age, delay] = TIMES;
    let times = ["--stp-max-age", age, "--stp-forward-delay", delay];
    let ours = Switch::start_at(&lab.middle.site, &[&["--stp", "stp"], &times[..]].concat());
    let ours = Bridge::Etherws(ours);
    let wires = [lab.wire(&root, &ours), lab.wire(&root, &ours)];
    wait_parts(&[
        (&ours, &wires[0].ends[1], "root forwarding"),
        (&ours, &wires[1].ends[1], "alternate discarding"),
    ]);
    assert_eq!(bpdus(&ours, &wires[0].ends[1]).0, "stp");
    wires[0].cut();
    wait_parts(&[(&ours, &wires[1].ends[1], "root forwarding")]);
}

#[test]
fn two_ports_on_one_segment() {
    let lab = need!(Lab::new("two ports on one segment".to_owned()));
    let ours = need!(lab.bridge(Make::Etherws, "one", 4096));
    let [first, second] = lab.twice(&ours);
    wait_parts(&[(&ours, &first, "designated forwarding"), (&ours, &second, "backup discarding")]);
}

/// The protocol of a port's BPDUs, and how many came in and went out.
fn bpdus(bridge: &Bridge, device: &str) -> (String, u64, u64) {
    let switch = bridge.ours();
    let ports = switch.ports();
    let number = ports.iter().find(|port| port["target"] == device).expect("a port");
    let tree = switch.json(&["showstp"]).remove(0);
    let ports = tree["ports"].as_array().expect("ports");
    let port = ports.iter().find(|port| port["port"] == number["port"]).expect("a port");
    let sum = |what: &str| {
        let counts = port[what].as_object().expect("counts").values();
        counts.filter_map(serde_json::Value::as_u64).sum()
    };
    (port["protocol"].as_str().unwrap_or_default().to_owned(), sum("rx"), sum("tx"))
}

#[test]
fn each_neighbor_is_spoken_to_in_its_protocol() {
    for (make, protocol) in [(Make::OpenVSwitch, "rstp"), (Make::Linux, "stp")] {
        let lab = need!(Lab::new(format!("{make:?} beside us")));
        let root = need!(lab.bridge(make, "one", 4096));
        let ours = need!(lab.bridge(Make::Etherws, "two", 61_440));
        let wire = lab.wire(&root, &ours);
        wait_parts(&[(&ours, &wire.ends[1], "root forwarding")]);
        wait_until("its protocol", || bpdus(&ours, &wire.ends[1]).0 == protocol);
        let before = bpdus(&ours, &wire.ends[1]).1;
        wait_until("BPDUs", || bpdus(&ours, &wire.ends[1]).1 > before);
        let shown = ours.ours().ctl(&["showstp"]).ok().stdout;
        assert!(shown.contains("at cost 20000"), "{shown}");
        println!("{shown}");
    }
}

#[test]
fn a_station_is_let_in_at_once_or_after_three_seconds() {
    let lab = need!(Lab::new("a station".to_owned()));
    let ours = need!(lab.bridge(Make::Etherws, "one", 4096));
    let forwards = |device: &str| {
        let start = Instant::now();
        wait_parts(&[(&ours, device, "designated forwarding")]);
        println!("{device} forwards after {:?}", start.elapsed());
        start.elapsed()
    };
    ours.ours().add(&["netdev", "hl", "--stp-edge", "on"]);
    let at_once = forwards("hl");
    assert!(at_once < FAST, "{at_once:?}");
    ours.add("hr");
    let auto = forwards("hr");
    assert!(auto > Duration::from_secs(2) && auto < Duration::from_secs(10), "{auto:?}");
    lab.reach();
    let tree = ours.ours().json(&["showstp"]).remove(0);
    assert!(tree["ports"].as_array().expect("ports").iter().all(|port| port["edge"] == true));
}

#[test]
fn nobody_behind_root_guard_becomes_the_root() {
    let lab = need!(Lab::new("root guard".to_owned()));
    let ours = need!(lab.bridge(Make::Etherws, "one", 32_768));
    let rogue = need!(lab.bridge(Make::OpenVSwitch, "two", 0));
    let switch = ours.ours();
    lab.middle.ip("link add name g0 type veth peer name g1");
    for end in ["g0", "g1"] {
        lab.middle.ip(&format!("link set {end} up"));
    }
    let port = switch.add(&["netdev", "g0", "--stp-root-guard", "on"]);
    rogue.add("g1");
    let tree = || switch.json(&["showstp"]).remove(0);
    let is_guarded = || tree()["ports"][0]["root-guard"] == true;
    wait_until("root guard", is_guarded);
    assert!(ours.part("g0").ends_with(" discarding"));
    let shown = tree();
    assert_eq!(shown["root"], shown["bridge"], "{shown}");
    // Told once a second.
    let counters = || switch.json(&["showport", &port.to_string()])[0]["counters"].clone();
    wait_until("the count", || counters()["root-guards"].as_u64() >= Some(1));
    for command in [&["showstp"][..], &["doctor", "g0"]] {
        assert!(switch.ctl(command).ok().stdout.contains("root guard"));
    }
    // He gives it up.
    let Bridge::OpenVSwitch { switches, .. } = &rogue else { unreachable!("it is one") };
    switches.ctl("--no-wait set bridge two other_config:rstp-priority=61440");
    wait_within(SLOW, "the port to recover", || {
        (ours.part("g0") == "designated forwarding").then_some(())
    });
    assert!(!is_guarded());
}

#[test]
fn attacks_of_yersinia_on_a_guarded_port_are_noticed_by_nobody() {
    need!(tool("yersinia"));
    let lab = need!(Lab::new("yersinia".to_owned()));
    let ours = need!(lab.bridge(Make::Etherws, "one", 32_768));
    let switch = ours.ours();
    lab.hosts(&ours, &ours);
    let attacker = lab.middle.sibling();
    attacker.cable("eth0", &lab.middle, "ha");
    switch.add(&["netdev", "ha", "--stp-root-guard", "on"]);
    let forwards = "designated forwarding";
    wait_parts(&[(&ours, "hl", forwards), (&ours, "hr", forwards), (&ours, "ha", forwards)]);
    lab.reach();
    let dir = TempDir::new();
    // Floods of configuration BPDUs and of notifications, and the root's role.
    for attack in ["2", "3", "4"] {
        let gap = lab.gap(&format!("attack {attack}"), || {
            let mut command = attacker.site.command("yersinia");
            command.args(["stp", "-attack", attack, "-interface", "eth0"]);
            command.current_dir(dir.path());
            let _attack = Process::start(command);
            let before = bpdus(&ours, "ha").1;
            wait_until("BPDUs", || bpdus(&ours, "ha").1 > before + 2);
            let tree = switch.json(&["showstp"]).remove(0);
            assert_eq!(tree["root"], tree["bridge"], "{tree}");
        });
        assert!(gap <= FAST, "{gap:?}");
    }
    wait_parts(&[(&ours, "hl", forwards), (&ours, "hr", forwards)]);
}

#[test]
fn tshark_reads_what_is_sent() {
    need!(tool("tshark"));
    need!(tool("dumpcap"));
    for (make, wanted) in [(Make::OpenVSwitch, "2"), (Make::Linux, "0")] {
        let lab = need!(Lab::new(format!("BPDUs to {make:?}")));
        let ours = need!(lab.bridge(Make::Etherws, "one", 4096));
        let other = need!(lab.bridge(make, "two", 61_440));
        let wire = lab.wire(&ours, &other);
        wait_parts(&[(&other, &wire.ends[1], "root forwarding")]);
        let dir = TempDir::new();
        let file = dir.at("bpdus.pcap");
        let tree = ours.ours().json(&["showstp"]).remove(0);
        let (_, mac) = tree["bridge"].as_str().and_then(|id| id.split_once('.')).expect("an id");
        let filter = format!("stp and ether src {mac}");
        let mut dump = lab.middle.site.command("dumpcap");
        dump.args(["-q", "-i", &wire.ends[1], "-f", &filter, "-c", "3", "-w", &file]);
        run(dump).ok();
        let read = |more: &[&str]| {
            let args = [&["-n", "-r", &file][..], more].concat();
            lab.middle.run("tshark", &args).ok().stdout
        };
        let text = read(&["-V"]);
        assert!(!text.contains("Malformed") && !text.contains("Expert Info"), "{text}");
        let fields = ["frame.len", "stp.version", "stp.root.prio", "stp.max_age", "stp.forward"];
        let fields: Vec<_> = fields.iter().flat_map(|field| ["-e", field]).collect();
        let told = read(&[&["-T", "fields"][..], &fields].concat());
        for line in told.lines() {
            let [length, version, priority, age, delay] =
                line.split_whitespace().collect::<Vec<_>>()[..]
            else {
                panic!("{told}")
            };
            assert!(length.parse::<u16>().is_ok_and(|length| length >= 52), "{told}");
            assert_eq!(
                [version, priority, age, delay],
                [wanted, "4096", TIMES[0], TIMES[1]],
                "{told}"
            );
        }
        assert_eq!(told.lines().count(), 3, "{told}");
    }
}

/// Three switches, each joined to both others by tunnels, and two hosts at two of them.
struct Ring {
    hub: Switch,
    second: Switch,
    third: Switch,
    lab: Lab,
}

/// Options of the hub, which others find again when it has started anew.
fn hub_options() -> Vec<&'static str> {
    let listen = ["--host", "127.0.0.1", "--port", "8080"];
    [&listen[..], &["--stp", "rstp", "--stp-priority", "4096"]].concat()
}

impl Ring {
    fn new(name: &str) -> Result<Self, String> {
        let lab = Lab::new(name.to_owned())?;
        let site = &lab.middle.site;
        let hub = Switch::start_at(site, &hub_options());
        let start =
            |priority| Switch::start_at(site, &["--stp", "rstp", "--stp-priority", priority]);
        let (second, third) = (start("8192"), start("61440"));
        second.add(&["netdev", "hl"]);
        third.add(&["netdev", "hr"]);
        second.add(&["client", &hub.url(), "--name", "up"]);
        third.add(&["client", &hub.url(), "--name", "up"]);
        third.add(&["client", &second.url(), "--name", "across"]);
        let ring = Self { hub, second, third, lab };
        ring.wait("alternate discarding");
        ring.lab.reach();
        Ok(ring)
    }

    /// Waits until the third switch has its tunnel to the second like this, and the others are as
    /// they must be then.
    fn wait(&self, across: &str) {
        wait_until(across, || {
            let ports = self.third.ports();
            assert!(ports.iter().all(|port| port["state"] != "loop"), "{ports:?}");
            let of = |name: &str| {
                let port = ports.iter().find(|port| port["name"] == name)?;
                Some(format!("{} {}", port["stp-role"].as_str()?, port["stp-state"].as_str()?))
            };
            of("across").as_deref() == Some(across)
                && (across.starts_with("root") || of("up").as_deref() == Some("root forwarding"))
        });
    }
}

#[test]
fn a_ring_of_tunnels_keeps_one_in_reserve() {
    let ring = need!(Ring::new("three of us by tunnels"));
    let gap = ring.lab.gap("tunnel shut", || {
        ring.third.ctl(&["setport", "up", "--shut", "on"]).ok();
        ring.wait("root forwarding");
    });
    assert!(gap <= FAST, "{gap:?}");
    let gap = ring.lab.gap("opened", || {
        ring.third.ctl(&["setport", "up", "--shut", "off"]).ok();
        ring.wait("alternate discarding");
    });
    assert!(gap <= FAST, "{gap:?}");
    let shown = ring.second.ctl(&["listport"]).ok().stdout;
    assert!(shown.contains("STP role") && shown.contains("designated"), "{shown}");
}

#[test]
fn a_hub_that_starts_anew_is_the_root_again() {
    let mut ring = need!(Ring::new("three of us by tunnels"));
    let (hub, lab) = (&mut ring.hub, &ring.lab);
    let gap = lab.gap("hub killed", || {
        hub.process.kill();
        wait_until("the other way", || {
            let ports = ring.third.ports();
            let across = ports.iter().find(|port| port["name"] == "across");
            across.is_some_and(|port| port["stp-state"] == "forwarding")
        });
    });
    assert!(gap <= FAST, "{gap:?}");
    let gap = lab.gap("hub back", || {
        *hub = Switch::start_at(&lab.middle.site, &hub_options());
    });
    ring.wait("alternate discarding");
    println!("back: {gap:?}");
    assert!(gap <= FAST, "{gap:?}");
}
