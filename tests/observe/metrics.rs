//! Metrics: the same numbers as control shows, in a form that Prometheus takes.

use serde_json::Value;

use super::scrape;
use crate::{
    documents,
    support::{
        certs::Authority,
        frame, http, need,
        peers::tool,
        process::{Site, run, run_with},
        switch::Switch,
        wait_until,
        ws::WebSocket,
    },
};

/// A switch with a storm, discards, a peer that is pinged, and somebody who was refused.
fn busy() -> (Switch, Switch, Vec<WebSocket>) {
    let switch = Switch::start(&["--storm-broadcast", "1/2"]);
    let peer = Switch::start(&[]);
    let (mut one, _) = switch.open();
    let (mut other, _) = switch.open();
    for number in 0..9 {
        one.send_frame(&frame(255, 1, &[number; 60]));
        other.send_frame(&frame(1, 2, &[number; 600]));
    }
    one.send(1, b"text");
    other.send_frame(b"short");
    switch.add(&["client", &peer.url()]);
    switch.ctl(&["addfdb", "02:00:00:00:00:09", "2"]).ok();
    switch.ctl(&["setport", "--name", "second", "2"]).ok();
    assert_eq!(http::ask(switch.tunnel, "GET", "/none", &[], "").status, 404);
    wait_until("all frames", || {
        let [one, other] = [1, 2].map(|number| switch.port(number));
        one["rx"] == 9 && one["text"] == 1 && other["rx"] == 10 && one["tx"] == 9
    });
    wait_until("a round trip", || {
        let details = &switch.json(&["showport", "3"])[0]["details"];
        details["rtt"].is_string()
    });
    (switch, peer, vec![one, other])
}

#[test]
fn each_number_is_that_of_control() {
    let (switch, _peer, _sockets) = busy();
    let metrics = scrape(&switch);
    let metric =
        |name: &str| *metrics.get(name).unwrap_or_else(|| panic!("no {name} among {metrics:#?}"));
    let number = |value: &Value| value.as_u64().expect("a number") as f64;
    for port in switch.ports() {
        let report = &switch.json(&["showport", &port["port"].to_string()])[0];
        let (kind, target) = (port["type"].as_str().unwrap(), port["target"].as_str().unwrap());
        let labels = format!("port=\"{}\"", port["port"]);
        let value = |name: &str| metric(&format!("etherws_port_{name}{{{labels}}}"));
        let labelled = |name: &str, label: &str, of: &str| {
            metric(&format!("etherws_port_{name}{{{labels},{label}=\"{of}\"}}"))
        };
        assert_eq!(value("receive_frames_total"), number(&port["rx"]));
        assert_eq!(value("transmit_frames_total"), number(&port["tx"]));
        for (name, count) in report["counters"].as_object().expect("counters") {
            let shown = match name.as_str() {
                "frame-rx" => value("receive_frames_total"),
                "frame-tx" => value("transmit_frames_total"),
                "octets-rx" => value("receive_bytes_total"),
                "octets-tx" => value("transmit_bytes_total"),
                name => match name.strip_prefix("discard-") {
                    Some(reason) => labelled("discarded_frames_total", "reason", reason),
                    None => labelled("incidents_total", "incident", name),
                },
            };
            assert_eq!(shown, number(count), "{name} of {labels}");
        }
        let name = port["name"].as_str().unwrap_or_default();
        let info = format!(
            "etherws_port_info{{{labels},name=\"{name}\",type=\"{kind}\",target=\"{target}\",user=\"\"}}"
        );
        assert_eq!(metric(&info), 1.0);
        assert_eq!(labelled("state", "state", "up"), 1.0);
        assert_eq!(labelled("state", "state", "failed"), 0.0);
        assert_eq!(value("shut"), 0.0);
        for (name, used, limit) in [
            ("queue-octets", "queue_bytes", "queue_limit_bytes"),
            ("macs", "learned_addresses", "learned_addresses_limit"),
        ] {
            let shown = &report["limits"][name];
            assert_eq!(value(used), number(&shown["value"]), "{name}");
            assert_eq!(value(limit).to_string(), shown["limit"].as_str().unwrap(), "{name}");
        }
    }
    let discards = "etherws_port_discarded_frames_total";
    let sum = |reason: &str| -> f64 {
        let is = |name: &&String| name.starts_with(discards) && name.contains(reason);
        metrics.keys().filter(is).map(|name| metrics[name]).sum()
    };
    assert!(sum("storm-broadcast") >= 6.0 && sum("on-error") == 1.0, "there is something to see");

    let servers = switch.json(&["showserver"]);
    let tunnel = servers.iter().find(|server| server["service"] == "tunnel").expect("a tunnel");
    for (name, count) in tunnel["counters"].as_object().expect("counters") {
        let of = |name: &str| metric(&format!("etherws_listener_{name}{{service=\"tunnel\"}}"));
        let shown = match name.as_str() {
            "connections" => of("connections"),
            "sessions" => metric("etherws_sessions"),
            "accepted" => of("accepted_connections_total"),
            "sessions-begun" => of("sessions_total"),
            "tls-failures" => of("tls_failures_total"),
            refused => {
                let reason = refused.strip_prefix("refused-").expect("a reason");
                metric(&format!(
                    "etherws_listener_refused_total{{service=\"tunnel\",reason=\"{reason}\"}}"
                ))
            }
        };
        assert_eq!(shown, number(count), "{name}");
    }
    assert_eq!(
        metric("etherws_listener_refused_total{service=\"tunnel\",reason=\"request\"}"),
        1.0
    );
    let fdb = switch.json(&["listfdb"]);
    assert_eq!(metric("etherws_fdb_entries{status=\"learned\"}"), fdb.len() as f64 - 1.0);
    assert_eq!(metric("etherws_fdb_entries{status=\"static\"}"), 1.0);
    let round_trip = metrics.iter().find(|(name, _)| name.contains("round_trip_seconds"));
    assert!(round_trip.is_some_and(|(_, value)| (0.0..10.0).contains(value)), "{round_trip:?}");
}

#[test]
fn a_port_that_is_deleted_takes_its_series_along() {
    let switch = Switch::start(&[]);
    let (_one, _) = switch.open();
    let (_other, _) = switch.open();
    let series = |port: u32| {
        let label = format!("port=\"{port}\"");
        scrape(&switch).keys().filter(|name| name.contains(&label)).count()
    };
    assert!(series(1) > 20 && series(1) == series(2));
    switch.ctl(&["delport", "1"]).ok();
    assert_eq!(series(1), 0);
    assert!(series(2) > 20);
}

#[test]
fn promtool_finds_nothing_wrong_with_a_scrape() {
    need!(tool("promtool"));
    let (switch, _peer, _sockets) = busy();
    let plain = http::ask(switch.control, "GET", "/metrics", &[], "");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut promtool = Site::here().command("promtool");
    promtool.args(["check", "metrics"]);
    let output = run_with(promtool, plain.body.as_bytes()).ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
}

#[test]
fn who_asks_for_open_metrics_gets_it() {
    let switch = Switch::start(&[]);
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let open = http::ask(switch.control, "GET", "/metrics", &[("Accept", accept)], "");
    let kind = open.header("content-type").expect("a type");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    assert!(open.body.contains("# TYPE etherws_port_receive_bytes counter\n# UNIT "));
    assert_eq!(http::ask(switch.control, "DELETE", "/metrics", &[], "").status, 405);
}

#[test]
fn the_table_is_made_from_a_scrape() {
    let (switch, _peer, _sockets) = busy();
    let text = http::ask(switch.control, "GET", "/metrics", &[], "").body;
    let authority = Authority::new();
    let pair = authority.server("server");
    let with_tls = Switch::start(&["--sslkey", &pair.key, "--sslcert", &pair.cert]);
    wait_until("its certificate", || !with_tls.json(&["listcertificate"]).is_empty());
    let more = http::ask(with_tls.control, "GET", "/metrics", &[], "").body;
    let labels = |sample: &str| {
        let (_, inside) = sample.split_once('{')?;
        let names = inside.split_once('}')?.0.split(',').filter_map(|label| label.split_once('='));
        Some(names.map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", "))
    };
    // Help, type and samples of each, in this order.
    let rows = text.split("# HELP ").skip(1).map(|family| {
        let mut lines = family.lines();
        let (name, help) = lines.next().unwrap().split_once(' ').unwrap();
        let (_, kind) = lines.next().unwrap().rsplit_once(' ').unwrap();
        let here = lines.next().filter(|line| line.starts_with(name));
        let sample = here.or_else(|| more.lines().find(|line| line.starts_with(name)));
        let labels = sample.and_then(labels).unwrap_or_else(|| "none".to_owned());
        format!("| `{name}` | {kind} | {labels} | {help} |")
    });
    documents::table("docs/metrics.md", "| name | type | labels | what |", rows);
}

/// The names of metrics in expressions.
fn names(text: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_name(c));
    words.filter(|word| word.starts_with("etherws_") || word.starts_with("process_")).collect()
}

#[test]
fn dashboard_and_alerts_ask_for_nothing_that_is_not_there() {
    let (switch, _peer, _sockets) = busy();
    let scraped = scrape(&switch);
    let known =
        |name: &str| scraped.keys().any(|key| key == name || key.starts_with(&format!("{name}{{")));
    let dashboard = include_str!("../../packaging/grafana/etherws.json");
    let json: Value = serde_json::from_str(dashboard).expect("JSON");
    let variables = json["templating"]["list"].as_array().expect("variables");
    assert!(variables.iter().any(|variable| variable["type"] == "datasource"), "any datasource");
    let panels = json["panels"].as_array().expect("panels");
    let expressions: Vec<_> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
        .map(|target| target["expr"].as_str().expect("an expression"))
        .collect();
    assert!(expressions.len() >= panels.len() && panels.len() > 7);
    let alerts = include_str!("../../packaging/prometheus/alerts.yml");
    for text in expressions.iter().copied().chain([alerts]) {
        let names = names(text);
        assert!(!names.is_empty(), "{text}");
        for name in names {
            assert!(known(name), "{name} in {text}");
        }
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_alerts() {
    need!(tool("promtool"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus/alerts.yml");
    let mut promtool = Site::here().command("promtool");
    promtool.args(["check", "rules", file]);
    run(promtool).ok();
    // They say what they should of series as there are.
    let mut promtool = Site::here().command("promtool");
    promtool.args([
        "test",
        "rules",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/observe/alerts.yml"),
    ]);
    run(promtool).ok();
}
