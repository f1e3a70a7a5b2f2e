//! VLANs with real frames: beside Open vSwitch with the same settings, and through a tunnel.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{openvswitch::OpenVSwitch, transfer::transfer};
use crate::support::{
    lab::Namespace,
    need,
    peers::{self, python},
    switch::Switch,
    wait_until,
};

/// A port by its name here, with its settings there and here.
type Both = (&'static str, &'static str, &'static str);

/// What frames leave by.
const EGRESS: [Both; 8] = [
    ("access", "vlan_mode=access tag=10", "--vlan-mode access --tag 10"),
    ("trunk", "vlan_mode=trunk trunks=10,20", "--vlan-mode trunk --trunks 10,20"),
    ("all", "vlan_mode=trunk", "--vlan-mode trunk"),
    (
        "untag",
        "vlan_mode=native-untagged tag=10 trunks=20",
        "--vlan-mode native-untagged --tag 10 --trunks 20",
    ),
    (
        "tagged",
        "vlan_mode=native-tagged tag=10 trunks=20",
        "--vlan-mode native-tagged --tag 10 --trunks 20",
    ),
    (
        "tunnel",
        "vlan_mode=dot1q-tunnel tag=20 other_config:qinq-ethtype=802.1q",
        "--vlan-mode dot1q-tunnel --tag 20",
    ),
    (
        "nonzero",
        "vlan_mode=access tag=10 other_config:priority-tags=if-nonzero",
        "--vlan-mode access --tag 10 --priority-tags if-nonzero",
    ),
    (
        "always",
        "vlan_mode=access tag=10 other_config:priority-tags=always",
        "--vlan-mode access --tag 10 --priority-tags always",
    ),
];

/// Ports and the tags by which a frame left them; other ports it did not leave by.
fn left(ports: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    ports.iter().map(|(port, tags)| ((*port).to_owned(), vec![(*tags).to_owned()])).collect()
}

/// Where we want something else than Open vSwitch does; `None`: the same. A tag of another type
/// than the port's is payload to us (IEEE 802.1Q, 9.5), and VLAN 4095 is none (9.6).
fn wanted(ingress: &str, frame: &str) -> Option<BTreeMap<String, Vec<String>>> {
    let (is_foreign, is_reserved) = (frame.starts_with("88a8"), frame == "8100:4095");
    // A tag of VLAN 0 before another: it takes the first one away. What is not of a VLAN of the
    // port stays as it is here.
    let is_behind_priority = frame == "8100:0+8100:20";
    match ingress {
        // A second tag behind one of VLAN 0 would be read by the next switch.
        "access" if is_behind_priority => Some(left(&[])),
        "all" if is_behind_priority => Some(left(&[("all", frame)])),
        "tunnel" if is_behind_priority => {
            let inside = format!("8100:20+{frame}");
            let tagged = ["trunk", "all", "untag", "tagged"].map(|port| (port, &*inside));
            Some(left(&[&tagged[..], &[("tunnel", frame)]].concat()))
        }
        "access" | "tunnel" => None,
        "trunk" if is_foreign => Some(left(&[])),
        "all" if is_reserved => Some(left(&[])),
        "all" if is_foreign => Some(left(&[("all", frame)])),
        "untag" | "tagged" if is_foreign => {
            let inside = format!("8100:10+{frame}");
            let tagged = ["trunk", "all", "untag", "tagged"].map(|port| (port, &*inside));
            let mut ports = left(&tagged);
            for port in ["access", "untag", "nonzero"] {
                ports.insert(port.to_owned(), vec![frame.to_owned()]);
            }
            ports.insert("always".to_owned(), vec![format!("8100:0+{frame}")]);
            Some(ports)
        }
        _ => None,
    }
}

#[test]
fn every_mode_gives_what_open_vswitch_gives_but_where_the_standard_says_otherwise() {
    need!(python());
    let site = need!(Namespace::new());
    // Hosts that say nothing by themselves.
    let quiet = site.run("sysctl", &["-w", "net.ipv6.conf.default.disable_ipv6=1"]);
    need!(if quiet.code == Some(0) { Ok(()) } else { Err(quiet.stderr) });
    let bridges = need!(OpenVSwitch::start(&site));
    let switch = Switch::start_at(&site.site, &["--no-loopguard"]);
    bridges.ctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    let ports = ["in"].into_iter().chain(EGRESS.map(|(port, ..)| port));
    for port in ports.clone() {
        for side in ["o", "e"] {
            site.ip(&format!("link add name {side}-{port} type veth peer name {side}.{port}"));
            for name in [format!("{side}-{port}"), format!("{side}.{port}")] {
                site.ip(&format!("link set {name} up"));
            }
        }
        bridges.ctl(&format!("add-port br0 o.{port}"));
        switch.add(&["netdev", &format!("e.{port}"), "--name", port]);
    }
    let set = |port: &str, (_, there, here): Both| {
        bridges.ctl(&format!("clear port o.{port} vlan_mode tag trunks other_config"));
        bridges.ctl(&format!("set port o.{port} {there}"));
        let mut words = vec!["setport", port];
        for setting in ["vlan-mode", "tag", "trunks", "priority-tags"] {
            if !here.contains(&format!("--{setting} ")) {
                words.extend(["--default", setting]);
            }
        }
        words.extend(here.split_whitespace());
        switch.ctl(&words).ok();
    };
    EGRESS.into_iter().for_each(|both| set(both.0, both));
    let names: Vec<_> = ports.collect();
    let mut hosts = peers::start(&site.site, "vlans.py", &names).expect("asked for before");
    assert_eq!(hosts.stdout.next("all interfaces"), "ready");
    let mut wrong = Vec::new();
    for both in &EGRESS[..6] {
        set("in", *both);
        hosts.tell("go");
        let said: Value = serde_json::from_str(&hosts.stdout.next("what has left")).expect("JSON");
        for (frame, sides) in said.as_object().expect("frames") {
            let [mut there, here] = ["o", "e"].map(|side| {
                serde_json::from_value::<BTreeMap<String, Vec<String>>>(sides[side].clone())
                    .expect("ports")
            });
            // It gives no priority tag to a frame of priority 0, whatever its documents say.
            if let Some(tags) =
                there.get_mut("always").filter(|tags| !tags[0].starts_with("8100:0"))
            {
                tags[0] = format!("8100:0+{}", tags[0]).replace("+untagged", "");
            }
            let wanted = wanted(both.0, frame).unwrap_or(there);
            if here != wanted {
                wrong.push(format!("{frame} into {}: {here:?}, and not {wanted:?}", both.0));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn hosts_of_a_vlan_have_each_other_through_a_tunnel_and_nobody_else() {
    need!(python());
    let (left, right) = need!(Namespace::pair());
    let (a, b, c) = (left.sibling(), right.sibling(), right.sibling());
    a.cable("eth0", &left, "ha");
    b.cable("eth0", &right, "hb");
    c.cable("eth0", &right, "hc");
    // One address twice: only the VLAN tells them apart.
    for (host, address) in [(&a, 1), (&b, 2), (&c, 2)] {
        host.ip(&format!("addr add 198.51.100.{address}/24 dev eth0"));
    }
    let hub = Switch::start_at(&left.site, &["--host", "192.0.2.1", "--port", "8080"]);
    let site = Switch::start_at(&right.site, &[]);
    let access = |switch: &Switch, device, vlan| {
        switch.add(&["netdev", device, "--vlan-mode", "access", "--tag", vlan])
    };
    access(&hub, "ha", "10");
    access(&site, "hb", "10");
    access(&site, "hc", "20");
    let tunnel = site.add(&["client", "ws://192.0.2.1:8080/", "--trunks", "10,20"]);
    site.wait_state(tunnel, "up");
    wait_until("a ping", || a.pings("198.51.100.2", 1400));
    // Super-frames pass with their tag, and without.
    transfer(&a.site, &b.site, "198.51.100.2", 50_000_000);
    transfer(&b.site, &a.site, "198.51.100.1", 50_000_000);
    assert!(!c.pings("198.51.100.1", 56));
    let vlans = site.json(&["listvlan"]);
    let of = |vid: u64| vlans.iter().find(|vlan| vlan["vid"] == vid).expect("it is listed");
    assert_eq!(
        (&of(10)["tagged"], &of(20)["untagged"][0]),
        (&serde_json::json!([tunnel]), &2.into())
    );
    assert!(of(10)["octets-rx"].as_u64() > Some(100_000_000), "{vlans:?}");
    super::assert_none_lost(&[&hub, &site]);
}
