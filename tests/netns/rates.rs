//! Rates and impairments of ports, felt by TCP and by pings through two switches.

use super::{A, B, Pair, transfer::transfer};
use crate::support::{need, peers::python, switch::Switch};

/// What is sent, and a rate at which that takes a second.
const OCTETS: u64 = 4_000_000;
const RATE: &str = "32mbit";

impl Pair {
    /// Seconds of a transfer from the right host to the left one, or back, with these settings of
    /// a port.
    fn seconds(&self, to_left: bool, switch: &Switch, port: &str, settings: &[&str]) -> f64 {
        switch.ctl(&[&["setport"], settings, &[port]].concat()).ok();
        let (a, b) = (&self.a.site, &self.b.site);
        let seconds = if to_left { transfer(b, a, A, OCTETS) } else { transfer(a, b, B, OCTETS) };
        switch.ctl(&["setport", "--default", "rate-in", "--default", "rate-out", port]).ok();
        seconds
    }
}

#[test]
fn tcp_finds_a_rate_of_a_tap_and_of_a_tunnel_in_both_directions() {
    need!(python());
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let shape = format!("{RATE} shape");
    for (to_left, switch, port, setting) in [
        (true, &pair.left, "1", "--rate-out"),
        (false, &pair.left, "1", "--rate-in"),
        (true, &pair.right, "2", "--rate-out"),
        (false, &pair.right, "2", "--rate-in"),
    ] {
        let seconds = pair.seconds(to_left, switch, port, &[setting, &shape]);
        // A busy machine may take longer; nothing makes it faster but the burst.
        assert!((0.95..1.5).contains(&seconds), "{setting} {shape} of {port}: {seconds} s");
    }
}

#[test]
fn tcp_finds_most_of_a_rate_that_polices() {
    need!(python());
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let police = format!("{RATE} police");
    for (to_left, switch, setting) in
        [(true, &pair.left, "--rate-out"), (false, &pair.left, "--rate-in")]
    {
        let seconds = pair.seconds(to_left, switch, "1", &[setting, &police]);
        assert!((0.7..2.5).contains(&seconds), "{setting} {police}: {seconds} s");
        let port = &switch.ports()[0];
        let lost = &port["discards"][&setting[2..]];
        assert!(lost.as_u64() > Some(0), "{port:#}");
    }
}

/// The number that stands between these two in what `ping` has printed.
fn number(text: &str, before: &str, after: &str) -> f64 {
    let number = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    number.and_then(|(number, _)| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn pings_find_a_delay_each_way_and_losses_in_one() {
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    pair.left.ctl(&["setport", "--delay", "20ms", "1"]).ok();
    let text = pair.a.run("ping", &["-n", "-c", "20", "-i", "0.05", B]).ok().stdout;
    let fastest = number(&text, "mdev = ", "/");
    // Nothing but a busy machine makes it slower.
    assert!((38.0..50.0).contains(&fastest), "{text}");
    let loss = ["--loss", "in 10%", "--impair-seed", "7", "--delay", "off", "1"];
    pair.left.ctl(&[&["setport"], &loss[..]].concat()).ok();
    let text = pair.a.run("ping", &["-n", "-q", "-f", "-c", "1000", B]).stdout;
    let lost = number(&text, "received, ", "% packet loss");
    assert!((7.0..13.0).contains(&lost), "{text}");
    let ports = pair.left.ports();
    let counted = ports[0]["discards"]["impaired"].as_u64().expect("a counter");
    assert!((counted as f64 - lost * 10.0).abs() < 15.0, "{counted}: {text}");
}
