//! Client ports of several links, over ways that a test can cut.

use serde_json::Value;

use crate::support::{frame, relay::Relay, switch::Switch, wait_until};

/// Two switches, and a way to the server for each link of a client port.
struct Site {
    server: Switch,
    client: Switch,
    ways: [Relay; 2],
    port: u64,
}

impl Site {
    fn new(listen: &[&str], options: &[&str]) -> Self {
        let (server, client) = (Switch::start(listen), Switch::start(&[]));
        let ways = [(); 2].map(|()| Relay::start(server.tunnel, None));
        let urls = ways.each_ref().map(Relay::url);
        let args = [&["client", "--links", "2"], options, &[&urls[0], &urls[1]]].concat();
        let port = client.add(&args);
        Self { server, client, ways, port }
    }

    fn wait_states(&self, wanted: [&str; 2]) {
        wait_until(&format!("links that are {wanted:?}"), || {
            states(&self.client.port(self.port)) == wanted
                && self.server.ports().iter().any(|port| states(port).len() == 2)
        });
    }

    /// What `showport` says of the client port's links.
    fn shown(&self) -> Value {
        self.client.json(&["showport", &self.port.to_string()])[0]["details"]["links"].clone()
    }
}

fn states(port: &Value) -> Vec<String> {
    let links = port["links"].as_array().cloned().unwrap_or_default();
    links.iter().map(|link| link["state"].as_str().expect("a state").to_owned()).collect()
}

#[test]
fn several_links_are_one_port_at_both_ends_which_stays_up_while_one_of_them_is() {
    let site = Site::new(&[], &[]);
    site.wait_states(["up", "up"]);
    let before = [site.client.port(site.port), site.server.ports()[0].clone()];
    let targets: Vec<_> = (0..2).map(|link| before[0]["links"][link]["target"].clone()).collect();
    assert_eq!(targets, site.ways.each_ref().map(Relay::url), "each by its own way");
    assert_eq!(site.shown(), "2");
    let (mut here, _) = site.client.open();
    let (mut there, _) = site.server.open();
    let hello = frame(255, 1, b"hello");
    here.send_frame(&hello);
    there.expect_frame(&hello);

    for way in [1, 0] {
        site.ways[way].reset();
        wait_until("another connection", || site.ways[way].count() == 1);
        site.wait_states(["up", "up"]);
        // What was learned is still there, so this is not flooded and gets nowhere else.
        let answer = frame(1, 2, &[7; 9]);
        there.send_frame(&answer);
        here.expect_frame(&answer);
        for (switch, before) in [(&site.client, &before[0]), (&site.server, &before[1])] {
            let after = switch.port(before["port"].as_u64().expect("a number"));
            assert_eq!((&after["state"], &after["since"]), (&before["state"], &before["since"]));
        }
    }
    let kinds = site.client.json(&["events"]);
    let count = |kind: &str| kinds.iter().filter(|event| event["event"] == kind).count();
    assert_eq!([count("link-up"), count("link-down"), count("port-down")], [4, 2, 0]);
    site.client.ctl(&["delport", &site.port.to_string()]).ok();
    wait_until("the end of all links", || site.server.ports().len() == 1);
}

#[test]
fn a_server_that_knows_no_links_or_wants_none_has_one_connection() {
    for listen in [["--max-links", "1"], ["--wire", "plain"]] {
        let site = Site::new(&listen, &[]);
        site.client.wait_state(site.port, "up");
        assert_eq!(site.shown(), "1 of 2: the server does not know links", "{listen:?}");
        let ports = site.server.ports();
        assert_eq!((ports.len(), states(&ports[0]).len()), (1, 0));
        site.ways[0].reset();
        wait_until("another connection", || {
            site.ways.iter().map(Relay::count).sum::<usize>() == 1
                && site.client.port(site.port)["state"] == "up"
        });
    }
    let server = Switch::start(&["--max-links", "2"]);
    let client = Switch::start(&[]);
    let port = client.add(&["client", "--links", "4", &server.url()]);
    wait_until("two links", || server.ports().iter().any(|port| states(port) == ["up", "up"]));
    let shown = client.json(&["showport", &port.to_string()])[0]["details"]["links"].clone();
    assert_eq!(shown, "2 of 4: the server takes no more");
}

#[test]
fn with_failover_the_first_link_carries_all_and_is_preferred_when_it_is_back() {
    let site = Site::new(&[], &["--failover"]);
    site.wait_states(["up", "standby"]);
    let (mut here, _) = site.client.open();
    let (mut there, _) = site.server.open();
    let hello = frame(255, 1, b"hello");
    here.send_frame(&hello);
    there.expect_frame(&hello);
    site.ways[0].reset();
    let answer = frame(1, 2, b"by the other one");
    wait_until("the loss there", || {
        site.server.ports().iter().all(|port| states(port) != ["up", "standby"])
            || site.ways[0].count() == 1
    });
    there.send_frame(&answer);
    here.expect_frame(&answer);
    site.wait_states(["up", "standby"]);
}

#[test]
fn links_of_one_port_lead_to_one_switch() {
    let servers = [(); 2].map(|()| Switch::start(&[]));
    let client = Switch::start(&[]);
    let urls = servers.each_ref().map(Switch::url);
    let port = client.add(&["client", "--links", "2", &urls[0], &urls[1]]);
    wait_until("both links", || states(&client.port(port)) == ["up", "up"]);
    let targets = |port: &Value| {
        let links = port["links"].as_array().expect("links");
        links.iter().map(|link| link["target"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(targets(&client.port(port)), [&*urls[0], &*urls[0]]);
    wait_until("the end of what was tried", || servers[1].ports().is_empty());
}
