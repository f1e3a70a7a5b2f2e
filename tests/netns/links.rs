//! A client port of two links, each by a cable of its own: one is closed, one is cut without a
//! word, both come back. Sixteen flows go on meanwhile, and none is reordered.

use std::time::Duration;

use serde_json::Value;

use super::{A, B};
use crate::support::{
    lab::Namespace,
    need,
    peers::{self, python},
    process::Process,
    switch::Switch,
    wait_until, wait_within,
};

const FLOWS: u64 = 16;

/// What receives the flows.
struct Flows {
    receiver: Process,
    _sender: Process,
}

impl Flows {
    fn start(from: &Namespace, to: &Namespace, address: &str) -> Self {
        let started = |at: &Namespace, args: &[&str]| {
            let process = peers::start(&at.site, "flows.py", args).expect("asked for before");
            assert_eq!(process.stdout.next("its sockets"), "ready");
            process
        };
        let receiver = started(to, &["receive"]);
        Self { receiver, _sender: started(from, &["send", address, &FLOWS.to_string()]) }
    }

    /// The longest gap in a flow since the last call, if there was anything of all of them. None
    /// was reordered.
    fn gap(&mut self) -> Option<Duration> {
        self.receiver.tell("report");
        let said: Value =
            serde_json::from_str(&self.receiver.stdout.next("a report")).expect("JSON");
        println!("{said}");
        assert_eq!(said["reordered"], 0, "{said}");
        let gap = Duration::from_secs_f64(said["gap"].as_f64().expect("seconds"));
        (said["flows"] == FLOWS).then_some(gap)
    }
}

fn states(switch: &Switch, port: u64) -> Vec<String> {
    let port = switch.port(port);
    assert_eq!(port["state"], "up", "{port:#}");
    let links = port["links"].as_array().expect("links");
    links.iter().map(|link| link["state"].as_str().expect("a state").to_owned()).collect()
}

#[test]
fn flows_go_on_in_order_when_a_link_is_closed_or_cut_and_when_it_comes_back() {
    need!(python());
    let (a, b) = need!(Namespace::pair());
    a.cable("eth1", &b, "eth1");
    a.ip("addr add 203.0.113.1/24 dev eth1");
    b.ip("addr add 203.0.113.2/24 dev eth1");
    let left = Switch::start_at(&a.site, &["--host", "0.0.0.0", "--port", "8080"]);
    let right = Switch::start_at(&b.site, &[]);
    for (switch, address) in [(&left, A), (&right, B)] {
        assert_eq!(switch.add(&["tap", "ewp%d"]), 1);
        switch.ctl(&["setif", "--address", &format!("{address}/24"), "1"]).ok();
    }
    let urls = ["ws://192.0.2.1:8080/", "ws://203.0.113.1:8080/"];
    let via = ["--via", "eth0", "--via", "eth1"];
    let port = right.add(&[&["client", "--links", "2"][..], &via, &urls].concat());
    let both_up = || states(&right, port) == ["up", "up"] && states(&left, 2) == ["up", "up"];
    wait_until("both links", both_up);
    wait_until("the network", || a.pings(B, 56) && b.pings(A, 56));
    // ARP is one flow: where that waits, the kernel holds all of them back, and may let them go in
    // another order.
    for (near, far, address) in [(&a, &b, B), (&b, &a, A)] {
        let shown = far.ip("-o link show dev ewp0");
        let mac = shown.split_once("link/ether ").and_then(|(_, rest)| rest.split(' ').next());
        let mac = mac.expect("its address");
        near.ip(&format!("neigh replace {address} lladdr {mac} dev ewp0 nud permanent"));
    }
    let mut ways = [Flows::start(&b, &a, A), Flows::start(&a, &b, B)];
    wait_until("all flows", || {
        let links = right.port(port)["links"].clone();
        (0..2).all(|at| {
            ["octets-tx", "octets-rx"].iter().all(|of| links[at][of].as_u64() > Some(1 << 20))
        })
    });
    for flows in &mut ways {
        flows.gap();
    }

    // Closed, and back: reset by the kernel at one end.
    b.run("ss", &["-K", "dst", "203.0.113.1"]).ok();
    wait_until("the loss", || right.process.stderr.contains("link is down"));
    wait_until("both links", both_up);
    for flows in &mut ways {
        let gap = flows.gap().expect("all flows");
        assert!(gap < Duration::from_secs(1), "{gap:?}");
    }

    // Cut: only its silence tells.
    a.ip("link set eth1 down");
    wait_within(Duration::from_secs(20), "the loss", || {
        let ups = [&right, &left].map(|switch| {
            let number = if std::ptr::eq(switch, &right) { port } else { 2 };
            states(switch, number).iter().filter(|state| *state == "up").count()
        });
        (ups == [1, 1]).then_some(())
    });
    for flows in &mut ways {
        flows.gap();
    }
    wait_until("all flows by one link", || {
        ways.iter_mut().all(|flows| flows.gap().is_some_and(|gap| gap < Duration::from_secs(1)))
    });

    a.ip("link set eth1 up");
    wait_within(Duration::from_secs(40), "both links", || both_up().then_some(()));
    for flows in &mut ways {
        let gap = flows.gap().expect("all flows");
        assert!(gap < Duration::from_secs(5), "{gap:?}");
    }
}
