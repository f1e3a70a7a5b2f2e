//! Who this host is on the LAN: its device's address stays, neighbours are told of it, and
//! nobody else has it.

use serde_json::Value;

use super::{A, B, Pair};
use crate::support::{lab::Namespace, need, switch::Switch, wait_until};

/// The MAC address of a device.
fn mac(namespace: &Namespace, device: &str) -> String {
    let link = namespace.ip(&format!("-o link show dev {device}"));
    link.split_whitespace().skip_while(|&word| word != "link/ether").nth(1).unwrap().to_owned()
}

/// What a host takes for the MAC address of `address`.
fn neighbour(namespace: &Namespace, address: &str) -> String {
    let shown = namespace.ip(&format!("neigh show {address}"));
    let mut words = shown.split_whitespace().skip_while(|&word| word != "lladdr");
    words.nth(1).unwrap_or_default().to_owned()
}

fn counter(switch: &Switch, port: &str, name: &str) -> u64 {
    switch.json(&["showport", port])[0]["counters"][name].as_u64().unwrap()
}

#[test]
fn a_restarted_switch_has_its_address_and_is_reached_with_its_tunnel() {
    let mut pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let [one, other] = [mac(&pair.a, "ewp0"), mac(&pair.b, "ewp0")];
    assert_ne!(one, other, "two machines");
    pair.left.process.kill();
    wait_until("the loss", || pair.right.port(2)["state"] != "up");
    pair.restart_left();
    pair.right.wait_state(2, "up");
    assert!(pair.b.pings(A, 56), "the first ping is answered");
    assert_eq!(mac(&pair.a, "ewp0"), one);
}

#[test]
fn neighbours_are_told_of_addresses_that_are_new_or_elsewhere() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    // Known before: who does not know a host has no need to hear of it.
    pair.a.ip("link set ewp0 address 02:00:00:00:00:aa");
    wait_until("the new MAC address", || neighbour(&pair.b, A) == "02:00:00:00:00:aa");
    let fdb = pair.left.json(&["listfdb"]);
    let own: Vec<_> = fdb.iter().filter(|line| line["permanent"] == true).collect();
    assert_eq!((own.len(), &own[0]["mac"]), (1, &Value::from("02:00:00:00:00:aa")));

    // An address moves to another machine.
    pair.b.ip("neigh replace 198.51.100.9 lladdr 02:00:00:00:00:99 nud stale dev ewp0");
    pair.a.ip("addr add 198.51.100.9/24 dev ewp0");
    wait_until("the new IP address", || neighbour(&pair.b, "198.51.100.9").ends_with(":aa"));

    // Who was away hears of it when it is back.
    pair.b.ip("neigh replace 198.51.100.9 lladdr 02:00:00:00:00:99 nud stale dev ewp0");
    let number = pair.left.ports().last().unwrap()["port"].to_string();
    pair.left.ctl(&["delport", &number]).ok();
    wait_until("the address of who is back", || {
        neighbour(&pair.b, "198.51.100.9").ends_with(":aa")
    });
}

#[test]
fn one_address_on_two_machines_is_told_on_both() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    for switch in [&pair.left, &pair.right] {
        switch.ctl(&["setport", "--mac", "02:00:00:00:00:77", "1"]).ok();
        switch.wait_state(1, "up");
    }
    wait_until("the address of both", || {
        [&pair.a, &pair.b].iter().all(|namespace| mac(namespace, "ewp0").ends_with(":77"))
    });
    let left = pair.left.ports().last().unwrap()["port"].to_string();
    wait_until("both to see it", || {
        pair.a.pings(B, 56);
        pair.b.pings(A, 56);
        counter(&pair.left, &left, "own-address") > 0
            && counter(&pair.right, "2", "own-address") > 0
    });
    for switch in [&pair.left, &pair.right] {
        let line = |line: &str| line.contains("own address comes in as a source").then_some(());
        assert!(switch.process.stderr.find(line).is_some(), "{}", switch.process.stderr.text());
        let fdb = switch.json(&["listfdb", "--mac", "02:00:00:00:00:77"]);
        assert_eq!((fdb.len(), &fdb[0]["port"]), (1, &Value::from(1)), "it stays where it is");
    }
    pair.right.ctl(&["setport", "--mac", "random", "1"]).ok();
    pair.wait_ping();
}

#[test]
fn a_device_is_made_again_as_it_was_asked_for() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let switch = Switch::start_at(&namespace.site, &[]);
    let refused = switch.ctl(&["addport", "tap", "--bridge", "br0", "ewp0"]).failed();
    assert!(refused.stderr.contains("no bridge \"br0\""), "{}", refused.stderr);
    assert!(!namespace.has_link("ewp0") && switch.ports().is_empty());
    namespace.ip("link add br0 type bridge");
    switch.ctl(&["addport", "tap", "--bridge", "br0", "ewp0"]).ok();
    switch.ctl(&["setif", "--address", "198.51.100.1/24", "--mtu", "1400", "1"]).ok();
    let shown = || {
        let link = namespace.ip("-o link show dev ewp0");
        let words: Vec<_> = link.split_whitespace().map(str::to_owned).collect();
        let after = |name: &str| words.iter().skip_while(|word| *word != name).nth(1).cloned();
        let addresses = namespace.ip("-o -4 addr show dev ewp0");
        (after("master"), after("link/ether"), after("mtu"), addresses.contains("198.51.100.1/24"))
    };
    let before = shown();
    assert_eq!((&before.0, &before.2, before.3), (&Some("br0".into()), &Some("1400".into()), true));
    namespace.ip("link del ewp0");
    wait_until("the device", || namespace.has_link("ewp0") && shown() == before);

    // Another address is another device, with all that it had.
    switch.ctl(&["setport", "--mac", "02:00:00:00:00:05", "1"]).ok();
    let wanted = (before.0.clone(), Some("02:00:00:00:00:05".to_owned()), before.2.clone(), true);
    wait_until("the address", || namespace.has_link("ewp0") && shown() == wanted);
    switch.ctl(&["setport", "--default", "mac", "1"]).ok();
    wait_until("its own again", || namespace.has_link("ewp0") && shown() == before);
    switch.ctl(&["setport", "--default", "bridge", "1"]).ok();
    wait_until("no bridge", || namespace.has_link("ewp0") && shown().0.is_none());
    assert_eq!(switch.ports().len(), 1);
    let refused = switch.ctl(&["setport", "--mac", "ff:ff:ff:ff:ff:ff", "1"]).failed();
    assert!(refused.stderr.contains("ff:ff:ff:ff:ff:ff"), "{}", refused.stderr);
}

#[test]
fn a_device_has_the_carrier_of_the_port_that_it_follows() {
    let mut pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let is_lower_up = |pair: &Pair| pair.b.ip("-o link show dev ewp0").contains("LOWER_UP");
    let foreign = pair.right.ctl(&["setport", "--carrier-from", "1", "2"]).failed();
    assert!(foreign.stderr.contains("carrier-from is only for tap ports"), "{}", foreign.stderr);
    pair.right.ctl(&["setport", "--name", "uplink", "2"]).ok();
    pair.right.ctl(&["setport", "--carrier-from", "uplink", "1"]).ok();
    assert!(is_lower_up(&pair), "the tunnel is up");
    pair.left.process.kill();
    wait_until("no carrier", || !is_lower_up(&pair));
    pair.right.wait_state(1, "down");
    let port = pair.right.port(1);
    assert!(
        port["error"].as_str().unwrap().contains("port uplink (carrier-from) is not up"),
        "{port}"
    );
    // Who moves meanwhile is not told of it; once the tunnel is back, all are.
    pair.restart_left();
    wait_until("a carrier", || is_lower_up(&pair));
    pair.right.wait_state(1, "up");
    pair.wait_ping();
    for (port, is_up) in [("9", false), ("2", true), ("nobody", false)] {
        let set = pair.right.ctl(&["setport", "--carrier-from", port, "1"]).ok();
        let is_missing = set.stderr.contains("there is no such port");
        assert_eq!(is_missing, !is_up, "{port}: {}", set.stderr);
        wait_until(port, || is_lower_up(&pair) == is_up);
    }
    let found = pair.right.json(&["doctor", "1"]);
    let names_it = |finding: &Value| finding.to_string().contains("(carrier-from)");
    assert!(found.iter().any(names_it), "{found:?}");
    for own in ["1", "ewp0"] {
        let refused = pair.right.ctl(&["setport", "--carrier-from", own, "1"]).failed();
        assert!(refused.stderr.contains("is the port itself"), "{}", refused.stderr);
    }
    pair.right.ctl(&["setport", "--default", "carrier-from", "1"]).ok();
    wait_until("its own carrier", || is_lower_up(&pair));
    pair.wait_ping();
}

#[test]
fn a_renamed_device_is_followed() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let switch = Switch::start_at(&namespace.site, &[]);
    switch.add(&["tap", "ewp0"]);
    namespace.ip("link set ewp0 down");
    switch.wait_state(1, "down");
    namespace.ip("link set ewp0 name lan0");
    namespace.ip("link set lan0 up");
    switch.wait_state(1, "up");
    assert_eq!(switch.json(&["listif"])[0]["target"], "lan0");
    switch.ctl(&["setif", "--address", "198.51.100.1/24", "1"]).ok();
    assert!(namespace.ip("-o addr show dev lan0").contains("198.51.100.1/24"));
    switch.ctl(&["delport", "1"]).ok();
    wait_until("its end", || !namespace.has_link("lan0"));
}

#[test]
fn a_device_that_was_moved_away_carries_frames_there_and_is_not_made_again_here() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let container = pair.a.sibling();
    container.take(&pair.a, "ewp0");
    wait_until("the move", || pair.left.json(&["listif"])[0]["elsewhere"] == true);
    container.ip("addr add 198.51.100.1/24 dev ewp0");
    container.ip("link set ewp0 up");
    wait_until("frames", || container.pings(B, 56));
    assert_eq!(pair.left.port(1)["state"], "up");
    let refused = pair.left.ctl(&["setif", "--mtu", "1400", "1"]).failed();
    assert!(refused.stderr.contains("another network namespace"), "{}", refused.stderr);
    // It may come back.
    pair.a.take(&container, "ewp0");
    wait_until("its return", || pair.left.json(&["listif"])[0]["elsewhere"].is_null());
    container.take(&pair.a, "ewp0");
    container.ip("link del ewp0");
    pair.left.wait_state(1, "failed");
    let why = pair.left.port(1)["error"].as_str().unwrap().to_owned();
    assert!(why.contains("another network namespace"), "{why}");
    assert!(!pair.a.has_link("ewp0"));
}

#[test]
fn a_netdev_without_carrier_is_down_and_knows_nobody() {
    let (a, b) = need!(Namespace::pair());
    let switch = Switch::start_at(&a.site, &["--host", "127.0.0.1"]);
    let added = switch.ctl(&["addport", "netdev", "eth0"]).ok();
    assert!(added.stderr.contains("addresses of this host (192.0.2.1)"), "{}", added.stderr);
    wait_until("a station", || {
        b.run("ping", &["-n", "-c", "1", "-W", "1", "192.0.2.9"]);
        !switch.json(&["listfdb"]).is_empty()
    });
    b.ip("link set eth0 down");
    switch.wait_state(1, "down");
    let port = switch.port(1);
    assert!(port["error"].as_str().unwrap().contains("eth0 has no carrier"), "{port}");
    assert!(switch.json(&["listfdb"]).is_empty(), "nothing is behind it");
    a.ip("link set eth0 down");
    wait_until("another reason", || {
        switch.port(1)["error"].as_str().is_some_and(|why| why.contains("eth0 is down"))
    });
    a.ip("link set eth0 up");
    b.ip("link set eth0 up");
    switch.wait_state(1, "up");
    wait_until("the station", || {
        b.run("ping", &["-n", "-c", "1", "-W", "1", "192.0.2.9"]);
        !switch.json(&["listfdb"]).is_empty()
    });
}
