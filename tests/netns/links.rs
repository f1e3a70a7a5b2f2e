//! A client port of two links, each by a cable and an interface of its own: one is closed, one is
//! cut without a word, both come back. Sixteen flows go on meanwhile, and none is reordered.

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

const SECOND: Duration = Duration::from_secs(1);

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

/// Two switches that are joined by two links, and flows both ways.
struct Joined {
    a: Namespace,
    b: Namespace,
    left: Switch,
    right: Switch,
    /// The client port of `right`.
    port: u64,
    ways: [Flows; 2],
}

impl Joined {
    fn new(options: &[&str]) -> Result<Self, String> {
        python()?;
        let (a, b) = Namespace::pair()?;
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
        let port = right.add(&[&["client", "--links", "2"], options, &via, &urls].concat());
        wait_until("both links", || states(&right, port).len() == 2 && is_up(&left, 2));
        wait_until("the network", || a.pings(B, 56) && b.pings(A, 56));
        // ARP is one flow: where that waits, the kernel holds all of them back, and may let them
        // go in another order.
        for (near, far, address) in [(&a, &b, B), (&b, &a, A)] {
            let shown = far.ip("-o link show dev ewp0");
            let mac = shown.split_once("link/ether ").and_then(|(_, rest)| rest.split(' ').next());
            let mac = mac.expect("its address");
            near.ip(&format!("neigh replace {address} lladdr {mac} dev ewp0 nud permanent"));
        }
        let ways = [Flows::start(&b, &a, A), Flows::start(&a, &b, B)];
        Ok(Self { a, b, left, right, port, ways })
    }

    /// Waits until each end has two links in these states.
    fn wait_states(&self, wanted: [&str; 2], limit: Duration) {
        wait_within(limit, &format!("links that are {wanted:?}"), || {
            let ends = [(&self.left, 2), (&self.right, self.port)];
            ends.iter().all(|(switch, port)| states(switch, *port) == wanted).then_some(())
        });
    }

    /// Waits until as much has passed by each of these links.
    fn wait_octets(&self, links: &[usize]) {
        let octets = |link: usize| {
            let links = self.right.port(self.port)["links"].clone();
            ["octets-tx", "octets-rx"].map(|of| links[link][of].as_u64().expect("octets"))
        };
        for &link in links {
            let before = octets(link);
            wait_until(&format!("octets by link {link}"), || {
                before.iter().zip(octets(link)).all(|(before, now)| now > before + (1 << 18))
            });
        }
    }

    /// Ends the connection to this address: the kernel resets it at one end.
    fn close(&self, address: &str) {
        let losses = || self.right.process.stderr.text().matches("link is down").count();
        let before = losses();
        self.b.run("ss", &["-K", "dst", address]).ok();
        wait_until("the loss", || losses() > before);
    }

    fn assert_gaps(&mut self, limit: Duration) {
        for flows in &mut self.ways {
            let gap = flows.gap().expect("all flows");
            assert!(gap < limit, "{gap:?}");
        }
    }
}

fn is_up(switch: &Switch, port: u64) -> bool {
    switch.ports().iter().any(|one| one["port"] == port && one["state"] == "up")
}

fn states(switch: &Switch, port: u64) -> Vec<String> {
    let port = switch.port(port);
    assert_eq!(port["state"], "up", "{port:#}");
    let links = port["links"].as_array().expect("links");
    links.iter().map(|link| link["state"].as_str().expect("a state").to_owned()).collect()
}

#[test]
fn flows_go_on_in_order_when_a_link_is_closed_or_cut_and_when_it_comes_back() {
    let mut joined = need!(Joined::new(&[]));
    joined.wait_states(["up", "up"], SECOND * 20);
    joined.wait_octets(&[0, 1]);
    for flows in &mut joined.ways {
        flows.gap();
    }

    joined.close("203.0.113.1");
    joined.wait_states(["up", "up"], SECOND * 20);
    joined.assert_gaps(SECOND);

    // Cut: only its silence tells.
    joined.a.ip("link set eth1 down");
    wait_within(SECOND * 20, "the loss", || {
        let ups = [(&joined.right, joined.port), (&joined.left, 2)].map(|(switch, number)| {
            states(switch, number).iter().filter(|state| *state == "up").count()
        });
        (ups == [1, 1]).then_some(())
    });
    for flows in &mut joined.ways {
        flows.gap();
    }
    wait_until("all flows by one link", || {
        joined.ways.iter_mut().all(|flows| flows.gap().is_some_and(|gap| gap < SECOND))
    });

    joined.a.ip("link set eth1 up");
    joined.wait_states(["up", "up"], SECOND * 40);
    joined.assert_gaps(SECOND * 5);
}

#[test]
fn with_failover_flows_go_by_the_other_link_within_a_second_and_return_in_order() {
    let mut joined = need!(Joined::new(&["--failover"]));
    joined.wait_states(["up", "standby"], SECOND * 20);
    joined.wait_octets(&[0]);
    for flows in &mut joined.ways {
        flows.gap();
    }
    // Closed at one end, and not back for a while: the other end hears of it by the other link.
    joined.b.ip("link set eth0 down");
    joined.close("192.0.2.1");
    joined.wait_octets(&[1]);
    joined.assert_gaps(SECOND);

    joined.b.ip("link set eth0 up");
    joined.wait_states(["up", "standby"], SECOND * 20);
    joined.wait_octets(&[0]);
    joined.assert_gaps(SECOND);
}
