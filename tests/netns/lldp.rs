//! LLDP beside lldpd, and as Wireshark reads it.

use std::fs;

use nix::{sys::signal::Signal, unistd::geteuid};
use serde_json::Value;

use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    peers::tool,
    process::{Process, Site, run},
    switch::Switch,
    wait_for, wait_until,
};

/// lldpd on an interface of a namespace, with a socket of its own.
struct Lldpd {
    process: Process,
    site: Site,
    dir: TempDir,
}

impl Lldpd {
    fn start(namespace: &Namespace, interface: &str) -> Result<Self, String> {
        for program in ["lldpd", "lldpcli"] {
            tool(program)?;
        }
        if !geteuid().is_root() {
            return Err("lldpd works as an account of its own: only root may start it".to_owned());
        }
        let dir = TempDir::new();
        // Not as the user namespace's root, which has no other account.
        let site = Site::behind(["nsenter".to_owned(), namespace.net_argument()]);
        let mut command = site.command("lldpd");
        command.args(["-d", "-u", &dir.at("socket"), "-O", &dir.at("none")]);
        command.args(["-I", interface, "-C", interface, "-S", "a host", "-m", "198.51.100.7"]);
        let this = Self { process: Process::start(command), site, dir };
        wait_until("lldpd", || !this.ask(&["show", "interfaces"]).is_null());
        // It tells a new neighbor nothing before its time.
        this.ask(&["configure", "lldp", "tx-interval", "1"]);
        Ok(this)
    }

    /// What lldpcli says; nothing while nobody answers.
    fn ask(&self, words: &[&str]) -> Value {
        let mut command = self.site.command("lldpcli");
        command.args(["-u", &self.dir.at("socket"), "-f", "json0"]).args(words);
        serde_json::from_str(&run(command).stdout).unwrap_or_default()
    }

    /// Its only neighbor.
    fn neighbor(&self) -> Option<Value> {
        let all = self.ask(&["show", "neighbors", "details"])["lldp"][0]["interface"].take();
        Some(all.as_array()?.first()?.clone())
    }
}

/// The only value of this name in one of lldpd's lists.
fn value<'a>(of: &'a Value, name: &str) -> &'a str {
    of[0][name][0]["value"].as_str().unwrap_or_default()
}

const CONFIG: &str = r#"
[switch]
lldp = true
mac = "fe:00:00:00:00:07"
[tunnel]
host = "127.0.0.1"
port = 8080
[control]
[vlan-names]
10 = "office"
20 = "guests"
"#;

#[test]
fn a_switch_and_lldpd_know_each_other_until_one_of_them_goes() {
    let site = need!(Namespace::new());
    need!(site.can_make_taps());
    let host = site.sibling();
    host.cable("eth0", &site, "h0");
    let dir = TempDir::new();
    let lldpd = need!(Lldpd::start(&host, "eth0"));
    // What it tells of devices for VLANs, which not every kernel has.
    for (subtype, info) in [("1", "00,0a"), ("3", "00,0a,06,6f,66,66,69,63,65")] {
        let words = "configure lldp custom-tlv oui 00,80,c2 subtype";
        let words = words.split(' ').chain([subtype, "oui-info", info]);
        lldpd.ask(&words.collect::<Vec<_>>());
    }
    let config = dir.file("etherws.toml", CONFIG);
    let mut switch = Switch::start_at(&site.site, &["--config", &config]);
    switch.add(&["tap", "ewp0"]);
    switch.ctl(&["setif", "--address", "198.51.100.1/24", "1"]).ok();
    let vlans = ["--vlan-mode", "native-untagged", "--tag", "10", "--trunks", "20"];
    switch.add(&[&["netdev", "h0", "--description", "to the host"], &vlans[..]].concat());

    let seen = wait_for("the switch at lldpd", || {
        lldpd.neighbor().filter(|one| value(&one["chassis"], "mgmt-ip") == "198.51.100.1")
    });
    let chassis = &seen["chassis"];
    assert_eq!(chassis[0]["id"][0]["type"], "mac", "{seen:#}");
    assert_eq!(value(chassis, "id"), "fe:00:00:00:00:07");
    let name = host.run("hostname", &[]).ok().stdout;
    assert_eq!(value(chassis, "name"), name.trim());
    assert_eq!(value(chassis, "descr"), concat!("etherws ", env!("CARGO_PKG_VERSION")));
    let bridge = &chassis[0]["capability"][0];
    assert_eq!((&bridge["type"], &bridge["enabled"]), (&"Bridge".into(), &true.into()));
    let port = &seen["port"];
    assert_eq!(port[0]["id"][0]["type"], "ifname");
    assert_eq!((value(port, "id"), value(port, "descr")), ("h0", "to the host"));
    assert_eq!(value(port, "ttl"), "121");
    let vlans: Vec<_> =
        seen["vlan"].as_array().expect("VLANs").iter().map(Value::to_string).collect();
    assert_eq!(vlans.len(), 2, "{vlans:?}");
    for (vlan, name, is_pvid) in [("10", "office", true), ("20", "guests", false)] {
        let wanted =
            |one: &&Value| one["vlan-id"] == vlan && one["value"] == name && one["pvid"] == is_pvid;
        assert!(
            seen["vlan"].as_array().expect("VLANs").iter().any(|one| wanted(&one)),
            "{vlans:?}"
        );
    }

    let heard = || switch.json(&["listneighbor"]);
    let known = wait_for("lldpd at the switch", || {
        heard().into_iter().find(|one| one["port"] == 2 && one["pvid"] == 10)
    });
    let link = host.ip("-o link show dev eth0");
    let mac = link.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
    assert_eq!(known["chassis"]["value"].as_str(), mac);
    assert_eq!((&known["id"]["type"], &known["id"]["value"]), (&"mac".into(), &mac.into()));
    assert_eq!((&known["name"], &known["description"]), (&name.trim().into(), &"a host".into()));
    assert_eq!(known["port-description"], "eth0");
    assert_eq!(known["addresses"], serde_json::json!(["198.51.100.7"]));
    assert_eq!(known["vlans"], serde_json::json!([{"vid": 10, "name": "office"}]));
    assert!(known["capabilities"].as_array().is_some_and(|all| all.contains(&"station".into())));
    let table = switch.ctl(&["listneighbor", "--port", "2"]).ok().stdout;
    assert!(table.contains("198.51.100.7") && table.contains(name.trim()), "{table}");

    // It takes leave.
    lldpd.process.signal(Signal::SIGTERM);
    wait_until("its leave", || heard().iter().all(|one| one["port"] != 2));
    drop(lldpd);
    let lldpd = need!(Lldpd::start(&host, "eth0"));
    wait_until("the switch again", || lldpd.neighbor().is_some());
    for (on, off) in [("true", "false"), ("false", "true")] {
        let text = fs::read_to_string(&config).expect("the file");
        let text = text.replace(&format!("lldp = {on}"), &format!("lldp = {off}"));
        fs::write(&config, text).expect("the file");
        let changed = switch.json(&["reload"]);
        assert!(changed.iter().any(|one| one["item"] == "switch.lldp"), "{changed:?}");
        wait_until("what the file says", || lldpd.neighbor().is_some() == (off == "true"));
    }
    switch.process.signal(Signal::SIGTERM);
    assert!(switch.process.wait_exit().success());
    wait_until("the switch's leave", || lldpd.neighbor().is_none());
}

#[test]
fn wireshark_finds_nothing_wrong_in_what_the_switch_tells() {
    need!(tool("tshark"));
    let site = need!(Namespace::new());
    let host = site.sibling();
    host.cable("eth0", &site, "h0");
    let dir = TempDir::new();
    let config = dir.file("etherws.toml", CONFIG);
    let fields = [
        "eth.dst",
        "lldp.chassis.id.mac",
        "lldp.port.id",
        "lldp.time_to_live",
        "lldp.mgn.addr.ip4",
        "lldp.ieee.802_1.port_vlan.id",
        "lldp.ieee.802_1.vlan.name",
        "lldp.ieee.802_3.max_frame_size",
        "_ws.expert",
    ];
    let mut args =
        vec!["-l", "-n", "-i", "eth0", "-f", "ether proto 0x88cc", "-c", "1", "-T", "fields"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    let mut shark = host.start("tshark", &args);
    wait_until("tshark", || shark.stderr.contains("Capturing on"));
    let switch = Switch::start_at(&site.site, &["--config", &config]);
    switch.add(&["netdev", "h0", "--vlan-mode", "trunk", "--trunks", "10"]);
    let told = shark.stdout.next("an LLDPDU");
    let told: Vec<_> = told.split('\t').collect();
    assert_eq!(told[..4], ["01:80:c2:00:00:0e", "fe:00:00:00:00:07", "h0", "121"]);
    assert_eq!(told[5..], ["0", "office", "1518", ""]);
    shark.wait_exit();
}

#[test]
fn tunnels_tell_nothing_unless_they_are_to() {
    let (left, right) = need!(Namespace::pair());
    let host = right.sibling();
    host.cable("eth0", &right, "h0");
    let one = Switch::start_at(&left.site, &["--host", "192.0.2.1", "--port", "8080", "--lldp"]);
    let other = Switch::start_at(&right.site, &["--lldp"]);
    let tunnel = other.add(&["client", "ws://192.0.2.1:8080/"]);
    other.wait_state(tunnel, "up");
    let third = Switch::start_at(&host.site, &["--lldp"]);
    third.add(&["netdev", "eth0"]);
    other.add(&["netdev", "h0"]);
    wait_until("the cable's ends", || {
        [&third, &other].iter().all(|switch| switch.json(&["listneighbor"]).len() == 1)
    });
    assert!(one.json(&["listneighbor"]).is_empty());
    other.ctl(&["setport", &tunnel.to_string(), "--lldp-status", "tx-only"]).ok();
    one.ctl(&["setport", "1", "--lldp-status", "rx-only"]).ok();
    let known = wait_for("the other end of the tunnel", || one.json(&["listneighbor"]).pop());
    let own = other.json(&["status"])[0]["mac"].clone();
    assert_eq!((&known["port"], &known["chassis"]["value"]), (&1.into(), &own));
    assert_eq!(other.json(&["listneighbor"]).len(), 1, "it only tells");
}
