//! What an operator asks every day: the switch on one screen, what happened, how far away
//! somebody is, and its end.

use serde_json::Value;

use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    process::Process,
    switch::{Switch, command},
    wait_until,
};

/// A server, and a switch with a tunnel to it and one to nobody.
fn pair() -> (Switch, Switch) {
    let server = Switch::start(&[]);
    let switch = Switch::start(&[]);
    assert_eq!(switch.add(&["client", &server.url(), "--name", "uplink"]), 1);
    (server, switch)
}

#[test]
fn status_shows_the_switch_on_one_screen() {
    let (_server, switch) = pair();
    let status = switch.ctl(&["status"]).ok().stdout;
    for wanted in
        ["host  ", "version        etherws ", "uptime  ", "configuration  none", "1, 1 up"]
    {
        assert!(status.contains(wanted), "{wanted}: {status}");
    }
    let line = |begin: &str| {
        let lines = status.lines().map(str::trim_start);
        lines.map(str::to_owned).find(|line| line.starts_with(begin)).unwrap_or_default()
    };
    assert!(line("tunnel ").contains(&switch.tunnel.to_string()), "{status}");
    assert!(line("tunnel ").trim_end().ends_with("no   none"), "{status}");
    assert!(line("control ").trim_end().ends_with("local"), "{status}");
    let port = line("1 ");
    assert!(port.contains("uplink") && port.contains(" ms "), "{status}");
    assert_eq!(status.lines().filter(|line| line.is_empty()).count(), 2, "three tables");
    let json = &switch.json(&["status"])[0];
    assert_eq!(json["ports"], Value::from(switch.ports()), "{json}");
}

#[test]
fn a_port_is_found_by_number_name_and_device_and_what_is_wrong_stands_below_it() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let switch = Switch::start_at(&namespace.site, &[]);
    switch.add(&["tap", "ewp7", "--name", "lan"]);
    for port in ["1", "lan", "ewp7"] {
        assert_eq!(switch.json(&["showport", port])[0]["port"], 1, "{port}");
        assert_eq!(switch.json(&["ls", "--port", port])[0]["port"], 1, "{port}");
    }
    assert_eq!(switch.json(&["show", "lan"])[0]["mtu"], 1500);
    let missing = switch.ctl(&["showport", "ewp8"]).failed();
    assert!(missing.stderr.contains("ewp8: no such port; listport shows"), "{missing:?}");
    namespace.ip("link set ewp7 down");
    wait_until("the port to be down", || switch.port(1)["state"] == "down");
    let list = switch.ctl(&["listport"]).ok();
    let lines: Vec<_> = list.stdout.lines().collect();
    assert!(lines[1].contains(" down ") && lines[2].contains("interface ewp7 is down"), "{list:?}");
    assert_eq!(list.stderr, "", "it was there before");
    // Its columns are 1.3's; the long form has the others.
    assert!(lines[0].starts_with("  Port  Type  State  RX  TX  Target  Name"), "{list:?}");
    let long = switch.ctl(&["listport", "--long"]).ok().stdout;
    let [titles, port, ..] = &long.lines().collect::<Vec<_>>()[..] else { panic!("{long}") };
    for title in ["Name", "User", "Since", "RX octets", "TX octets", "RTT", "MTU"] {
        assert!(titles.contains(title), "{titles}");
    }
    assert!(port.contains("lan") && port.contains("  1500  "), "{port}");
    let since = switch.port(1)["since"].clone();
    assert_eq!(switch.port(1)["since"], since, "nothing has changed");
    switch.ctl(&["addfdb", "02:00:00:00:00:09", "lan"]).ok();
    assert_eq!(switch.json(&["ls", "--mac", "02:00:00:00:00:09"])[0]["port"], 1);
    assert_eq!(switch.json(&["ls", "--mac", "02:00:00:00:00:08"]).len(), 0);
}

#[test]
fn who_comes_late_sees_what_has_happened() {
    let (server, switch) = pair();
    let events = |more: &[&str]| switch.json(&[&["events"], more].concat());
    assert_eq!(events(&[])[0]["event"], "port-added");
    drop(server);
    wait_until("the tunnel's end", || {
        events(&["--event", "port-down", "--port", "uplink", "--since", "1h"]).len() == 1
    });
    assert_eq!(events(&["--since", "2001-01-01T00:00:00Z", "--limit", "1"]).len(), 1);
    assert_eq!(events(&["--since", "2999-01-01T00:00:00Z"]).len(), 0);
    let shown = switch.ctl(&["events"]).ok().stdout;
    assert!(shown.contains("port-down") && shown.contains("reason "), "{shown}");
    let wrong = switch.ctl(&["events", "--since", "yesterday"]).failed();
    assert!(wrong.stderr.contains("10m, 2h, 1d"), "{wrong:?}");
    for (line, why) in [
        ("events --event x", "unknown event x; there are port-added, "),
        ("events --event port-dwn", "did you mean port-down?"),
        ("events --port 99", "99: no such port"),
        ("ls --state foo", "unknown state foo; there are up, loop, "),
        ("ls --type foo", "unknown type foo; there are tap, netdev, client, server"),
        ("ls --port 99", "99: no such port"),
    ] {
        let refused = switch.ctl(&line.split(' ').collect::<Vec<_>>()).failed();
        assert!(refused.stderr.contains(why), "{line}: {refused:?}");
    }
    let none = Switch::start(&["--events", "0"]);
    none.open();
    assert_eq!(none.json(&["events"]).len(), 0);
}

#[test]
fn ping_measures_a_tunnel_and_finds_a_host_by_any_of_its_addresses() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let switch = Switch::start_at(&namespace.site, &[]);
    switch.add(&["tap", "ewp0"]);
    switch.ctl(&["setif", "--address", "198.51.100.1/24", "1"]).ok();
    switch.ctl(&["setif", "--address", "2001:db8::1/64", "1"]).ok();
    let pongs = |target: &str| switch.json(&["ping", target, "--count", "2"]);
    let by_address = pongs("198.51.100.1");
    assert_eq!((by_address.len(), &by_address[0]["port"]), (2, &1.into()), "{by_address:?}");
    let mac = by_address[0]["mac"].as_str().unwrap().to_owned();
    wait_until("the IPv6 address to be in use", || {
        switch.ctl(&["ping", "2001:db8::1", "-c", "1"]).code == Some(0)
    });
    assert_eq!(pongs("2001:db8::1")[0]["mac"], *mac);
    assert_eq!(pongs(&mac)[0]["mac"], *mac);
    for (target, why) in [
        ("198.51.100.9", "did not answer 1 ping;"),
        ("02:00:00:00:00:99", "no IP address of this host is known"),
        ("ewp0", "it is an interface; give an address"),
        ("nobody", "no such port"),
    ] {
        let failed = switch.ctl(&["ping", target, "-c", "1"]).failed();
        assert!(failed.stderr.contains(why), "{target}: {failed:?}");
    }
    let (_server, switch) = pair();
    let pongs = switch.json(&["ping", "uplink"]);
    assert_eq!(pongs.len(), 3);
    assert!(pongs.iter().all(|pong| pong["rtt"].as_f64().is_some_and(|rtt| rtt > 0.0)));
    // Only what changes something is recorded, and people are shown commands.
    switch.ctl(&["doctor", "uplink"]).ok();
    let recorded = switch.json(&["events", "--event", "control"]);
    assert!(recorded.iter().all(|event| event["method"] == "addPort"), "{recorded:?}");
    let shown = switch.ctl(&["events", "--event", "control"]).ok().stdout;
    assert!(shown.contains("command addport  "), "{shown}");
    assert!(!shown.contains(['{', '\\']) && !shown.contains("addPort"), "{shown}");
}

#[test]
fn doctor_looks_at_a_port_with_its_own_settings() {
    let dir = TempDir::new();
    // The password is "password".
    let users = dir.file("users", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let server = Switch::start(&["--htpasswd", &users]);
    let switch = Switch::start(&[]);
    let login = ["--user", "a", "--passwd", "password"];
    switch.add(&[&["client", &server.url(), "--name", "uplink"][..], &login].concat());
    let good = switch.ctl(&["doctor", "uplink"]).ok().stdout;
    for wanted in ["is up", "accepted the connection", "accepted the tunnel after"] {
        assert!(good.contains(wanted), "{wanted}: {good}");
    }
    assert!(!good.contains("fail ") && !good.contains("password"), "{good}");
    // The server has seen one more session, which ended as it should, and nothing else.
    wait_until("its end", || server.ports().len() == 1);
    let servers = server.json(&["showserver"]);
    let tunnel = servers.iter().find(|one| one["service"] == "tunnel").expect("it");
    let counters = tunnel["counters"].as_object().expect("counters");
    let refused = counters.iter().filter(|(name, _)| name.starts_with("refused-"));
    assert_eq!(refused.map(|(_, count)| count.as_u64().unwrap()).sum::<u64>(), 0, "{tunnel}");
    assert_eq!(counters["sessions-begun"], 2);
    let log = server.process.stderr.text();
    assert!(!log.contains("refused") && !log.contains("without a close frame"), "{log}");
    let token = |user: &str| server.ctl(&["createtoken", "--user", user]).ok().stderr;
    assert_eq!(token("a"), "");
    assert!(token("b").contains("b is not a user of the tunnel"), "{}", token("b"));
    // The session's end of it has nothing to dial.
    assert!(server.ctl(&["doctor", "1"]).ok().stdout.contains("port 1 (server "));
    drop(server);
    switch.wait_state(1, "backoff");
    let bad = switch.ctl(&["doctor", "1"]).ok().stdout;
    assert!(bad.contains("fail ") && bad.contains("refused"), "{bad}");
}

#[test]
fn a_port_outside_of_the_spanning_tree_is_named_with_the_way_back() {
    let switch = Switch::start(&["--host", "127.0.0.1", "--stp", "rstp"]);
    let (_socket, port) = switch.open();
    let port = port.to_string();
    for is_in in [true, false] {
        switch.ctl(&["setport", "--stp", if is_in { "on" } else { "off" }, &port]).ok();
        for command in [&["showstp"][..], &["doctor", &port]] {
            let output = switch.ctl(command).ok();
            let shown = output.stdout + &output.stderr;
            let named =
                shown.contains(&format!("without spanning tree, which always forward: {port}"));
            assert_eq!(named, !is_in, "{shown}");
            assert_eq!(shown.contains("ctl setport --stp on"), !is_in, "{shown}");
        }
    }
    // It carries copies alone.
    let (_other, other) = switch.open();
    switch.ctl(&["addmirror", "--from", &other.to_string(), "--to", &port]).ok();
    let output = switch.ctl(&["showstp"]).ok();
    let shown = output.stdout + &output.stderr;
    assert!(shown.contains("designated") && !shown.contains("without"), "{shown}");
}

#[test]
fn doctor_makes_no_login_fail_that_fails_anyway() {
    let dir = TempDir::new();
    let users = dir.file("users", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let (server, switch) = (Switch::start(&["--htpasswd", &users]), Switch::start(&[]));
    switch.add(&["client", &server.url(), "--user", "a", "--passwd", "password"]);
    std::fs::write(&users, "b:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    wait_until("its refusal", || {
        let port = switch.port(1);
        port["state"] == "backoff" && port["error"].to_string().contains("401")
    });
    let told = switch.ctl(&["doctor", "1"]).ok().stdout;
    // Why it is down it knows; that there is a way it has seen; and it has not asked.
    assert!(
        told.contains("401 Unauthorized") && told.contains("accepted the connection"),
        "{told}"
    );
    assert!(!told.contains("full-size packets") && told.matches("401").count() == 1, "{told}");
}

#[test]
fn stop_ends_the_switch_and_returns_when_it_is_gone() {
    let mut switch = Switch::start(&[]);
    let pid = switch.process.pid();
    let said = switch.ctl(&["stop"]).ok().stdout;
    assert_eq!(said, format!("etherws is stopping, process {pid}\n"));
    // Ended, and waited for by nobody yet.
    assert!(switch.process.wait_exit().success(), "{pid}");
}

#[test]
fn a_daemon_is_stopped_by_control() {
    let dir = TempDir::new();
    let socket = dir.at("control");
    let site = crate::support::process::Site::here();
    let args = ["sw", "--host", "127.0.0.1", "--port", "0", "--ctlsock", &socket];
    assert!(Process::start(command(&site, &args)).wait_exit().success());
    let url = format!("unix:{socket}");
    let ctl = |words: &[&str]| {
        crate::support::process::run(command(&site, &[&["ctl", "--ctlurl", &url], words].concat()))
    };
    let status = ctl(&["--json", "status"]).ok().json();
    let process = format!("/proc/{}", status[0]["pid"]);
    ctl(&["stop"]).ok();
    // Where nobody waits for it, something of it is left.
    let stat = std::fs::read_to_string(process + "/stat");
    assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z")));
    ctl(&["listport"]).failed();
}
