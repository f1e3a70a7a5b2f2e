//! Rates of ports, felt by TCP through two switches.

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
