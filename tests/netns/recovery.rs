//! What is lost and comes back: a killed switch, a deleted TAP, a cut cable; and what
//! is deleted on purpose and does not.

use std::time::{Duration, Instant};

use super::{A, Pair};
use crate::support::{lab::Namespace, need, switch::Switch, wait_until, wait_within};

#[test]
fn a_killed_server_that_starts_again_needs_no_command_on_the_other_side() {
    let mut pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    pair.left.process.kill();
    wait_until("the loss", || pair.right.port(2)["state"] != "up");
    let fdb = pair.right.json(&["listfdb"]);
    assert!(fdb.iter().all(|entry| entry["port"] != 2), "{fdb:?}");
    assert!(!pair.a.has_link("ewp0"), "its TAP went with it");

    pair.restart_left();
    pair.right.wait_state(2, "up");
    pair.wait_ping();
    assert_eq!(pair.right.ports().len(), 2, "the same ports as before");
}

#[test]
fn a_killed_client_that_starts_again_joins_by_its_own_commands_alone() {
    let mut pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    pair.right.process.kill();
    wait_until("the port's end", || pair.left.ports().len() == 1);
    pair.restart_right();
    pair.wait_ping();
}

#[test]
fn a_deleted_tap_comes_back_under_its_number_and_name() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let index = |text: String| text.split(':').next().map(str::to_owned);
    let before = index(pair.b.ip("-o link show dev ewp0"));
    pair.b.ip("link del ewp0");
    wait_until("another TAP", || {
        pair.b.has_link("ewp0") && index(pair.b.ip("-o link show dev ewp0")) != before
    });
    pair.right.wait_state(1, "up");
    assert_eq!(pair.right.port(1)["target"], "ewp0");
    // With the address that it had been given.
    pair.wait_ping();
}

#[test]
fn a_cut_cable_is_noticed_and_mended() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    pair.a.ip("link set eth0 down");
    // TCP has to find out, and only with something to send does it soon.
    let limit = Duration::from_secs(40);
    wait_within(limit, "the loss", || {
        pair.b.pings(A, 56);
        (pair.right.port(2)["state"] != "up").then_some(())
    });
    pair.a.ip("link set eth0 up");
    wait_within(limit, "the tunnel", || pair.b.pings(A, 56).then_some(()));
}

#[test]
fn delport_while_traffic_runs_harms_nobody() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let flood = pair.b.start("ping", &["-n", "-f", "-s", "1400", A]);
    for round in 0..5 {
        let number = pair.right.ports().last().unwrap()["port"].as_u64().unwrap();
        assert_eq!(number, round + 2);
        let rx = pair.right.port(number)["rx"].as_u64();
        wait_until("traffic", || pair.right.port(number)["rx"].as_u64() > rx);
        pair.right.ctl(&["delport", &number.to_string()]).ok();
        wait_until("the port's end there", || pair.left.ports().len() == 1);
        pair.right.add(&["client", "ws://192.0.2.1:8080/"]);
    }
    wait_until("traffic", || pair.right.ports().last().unwrap()["rx"].as_u64() > Some(10));
    // The TAP too, from under the traffic.
    pair.right.ctl(&["delport", "1"]).ok();
    wait_until("the TAP's end", || !pair.b.has_link("ewp0"));
    drop(flood);
    for switch in [&pair.left, &pair.right] {
        assert!(!switch.process.stderr.contains("panic"), "{}", switch.process.stderr.text());
        assert_eq!(switch.ports().len(), if std::ptr::eq(switch, &pair.left) { 2 } else { 1 });
    }
}

#[test]
fn a_switch_with_nothing_to_do_uses_no_cpu() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    // A port whose server is gone must not spin, nor an interface that is down.
    pair.right.ctl(&["setport", "--shut", "1", "1"]).ok();
    pair.b.ip("link set ewp0 down");
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pair.right.process.pid()));
        let stat = stat.unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (before, start) = (ticks(), Instant::now());
    wait_until("two seconds", || start.elapsed() > Duration::from_secs(2));
    // 100 ticks a second and core.
    assert!(ticks() - before < 20, "{} ticks in two seconds", ticks() - before);
}

#[test]
fn one_client_port_lost_leaves_the_others_alone() {
    let (a, b) = need!(Namespace::pair());
    let mut lost = Switch::start_at(&a.site, &["--host", "192.0.2.1", "--port", "81"]);
    let stays = Switch::start_at(&a.site, &["--host", "192.0.2.1", "--port", "82"]);
    let switch = Switch::start_at(&b.site, &[]);
    let numbers = [81, 82].map(|port| switch.add(&["client", &format!("ws://192.0.2.1:{port}/")]));
    lost.process.kill();
    wait_until("the loss", || switch.port(numbers[0])["state"] != "up");
    assert_eq!(switch.port(numbers[1])["state"], "up");
    assert_eq!(stays.ports().len(), 1);
    let port = switch.port(numbers[0]);
    let why = port["error"].as_str().expect("why");
    assert!(!why.contains('\n') && !why.is_empty(), "{why}");
    // `delport` ends the attempts for good.
    switch.ctl(&["delport", &numbers[0].to_string()]).ok();
    assert_eq!(switch.ports().len(), 1);
}
