//! `etherws ctl`: its tables byte by byte, JSON, errors and exit status.

use serde_json::{Value, json};

use crate::support::{
    TempDir,
    certs::Certificates,
    frame,
    lab::Namespace,
    need,
    process::run_with,
    switch::{Switch, etherws},
    wait_until,
};

#[test]
fn tables_are_the_originals_to_the_blank() {
    let switch = Switch::start(&[]);
    let ports = "  Port  Type  State  RX  TX  Target\n";
    assert_eq!(switch.ctl(&["listport"]).ok().stdout, ports);
    let interfaces = "  Port  Type  Address  Netmask  MTU  Target\n";
    assert_eq!(switch.ctl(&["listif"]).ok().stdout, interfaces);
    assert_eq!(switch.ctl(&["listfdb"]).ok().stdout, "  Port  VLAN  MAC  Age\n");

    let (mut one, _) = switch.open();
    let (mut other, _) = switch.open();
    one.send_frame(&frame(255, 1, b"x"));
    other.expect_frame(&frame(255, 1, b"x"));
    wait_until("the count", || switch.port(2)["tx"] == 1);
    let [first, second] = [&one, &other].map(|socket| socket.local_address().to_string());
    let width = first.len().max(second.len());
    let wanted = format!(
        "  Port  Type    State  RX  TX  {:width$}\n  1     server  up     1   0   {first:width$}\n  \
         2     server  up     0   1   {second:width$}\n",
        "Target",
    );
    assert_eq!(switch.ctl(&["listport"]).ok().stdout, wanted);
    let shut = format!(
        "  Port  Type    State  RX  TX  {:width$}\n  2     server  shut   0   1   {second:width$}\n",
        "Target",
        width = second.len(),
    );
    assert_eq!(switch.ctl(&["setport", "--shut", "1", "2"]).ok().stdout, shut);
    let age = &switch.json(&["listfdb"])[0]["age"];
    let table = switch.ctl(&["listfdb"]).ok().stdout;
    let line = |age: &Value| {
        let head = "  Port  VLAN  MAC                Age\n";
        format!("{head}  1     0     02:00:00:00:00:01  {age:<3}\n", age = age.to_string())
    };
    // A second may pass between the two.
    let later = json!(age.as_u64().unwrap() + 1);
    assert!(table == line(age) || table == line(&later), "{table}");
}

#[test]
fn the_table_of_interfaces_is_the_originals() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let switch = Switch::start_at(&namespace.site, &[]);
    let printed = switch.ctl(&["addport", "tap", "ewp%d"]).ok().stdout;
    // The TAP's own stack may have sent something already.
    let count = |at| printed.split_whitespace().nth(at).expect("a count").to_owned();
    let (rx, tx) = (count(9), count(10));
    let (rx_width, tx_width) = (rx.len().max(2), tx.len().max(2));
    let port = format!(
        "  Port  Type  State  {:rx_width$}  {:tx_width$}  Target\n  \
         1     tap   up     {rx:rx_width$}  {tx:tx_width$}  ewp0  \n",
        "RX", "TX",
    );
    assert_eq!(printed, port);
    let none = "  Port  Type  Address  Netmask  MTU   Target\n  \
                1     tap                     1500  ewp0  \n";
    assert_eq!(switch.ctl(&["listif"]).ok().stdout, none);
    let set = ["setif", "--address", "192.0.2.7", "--netmask", "255.255.255.0", "1"];
    let wanted = "  Port  Type  Address    Netmask        MTU   Target\n  \
                  1     tap   192.0.2.7  255.255.255.0  1500  ewp0  \n";
    assert_eq!(switch.ctl(&set).ok().stdout, wanted);
    let wanted = "  Port  Type  Address    Netmask        MTU   Target\n  \
                  1     tap   192.0.2.7  255.255.255.0  1400  ewp0  \n";
    assert_eq!(switch.ctl(&["setif", "--mtu", "1400", "1"]).ok().stdout, wanted);
}

#[test]
fn json_stands_before_or_after_the_command() {
    let switch = Switch::start(&[]);
    let (_socket, number) = switch.open();
    for args in [["--json", "listport"], ["listport", "--json"]] {
        let ports = switch.ctl(&args).ok().json();
        assert_eq!(ports[0]["port"], number);
        assert_eq!(ports[0]["type"], "server");
        assert_eq!(ports[0]["state"], "up");
        assert_eq!(ports[0]["shut"], false);
    }
    let output = switch.ctl(&["--json", "delport", "77"]).failed();
    let error: Value = serde_json::from_str(&output.stderr).expect("JSON");
    assert_eq!(error["code"], -32602);
}

#[test]
fn an_error_is_on_standard_error_and_in_the_exit_status() {
    let switch = Switch::start(&[]);
    for (args, named) in [
        (&["delport", "77"][..], &["77: no such port"][..]),
        (&["delport", "one"], &["one: no such port"]),
        (&["setport", "--shut", "1", "9"], &["9: no such port"]),
        (&["setif", "--mtu", "1400", "9"], &["9: no such port"]),
        (&["delport", "0"], &["Invalid port: 0"]),
        (&["setif", "--address", "192.0.2", "1"], &["192.0.2"]),
        (&["setif", "--netmask", "255.0.255.0", "1"], &["255.0.255.0"]),
        (&["setif", "--mtu", "575", "1"], &["575"]),
        (&["addport", "client", "http://127.0.0.1/"], &["http", "ws://"]),
        (&["addport", "client", "--passwd", "x", "ws://127.0.0.1/"], &["user"]),
        (&["addport", "client", "--cacerts", "/missing", "wss://127.0.0.1/"], &["/missing"]),
        (&["addport", "netdev", "none0"], &["none0"]),
        (&["addport", "tap", "a-name-too-long-for-linux"], &["a-name-too-long-for-linux"]),
        (&["addport", "tap", "a/b"], &["a/b"]),
    ] {
        let output = switch.ctl(args).failed();
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{args:?}");
        for word in named {
            assert!(output.stderr.contains(word), "{args:?}: {word} not in {}", output.stderr);
        }
        let line = output.stderr.strip_suffix('\n').expect("a line");
        assert!(line.starts_with("etherws: ") && !line.contains('\n'), "{line}");
        // Codes and names of exceptions are for programs.
        assert!(!line.contains("Error: ") && !line.contains("-326"), "{line}");
    }
    assert!(switch.ports().is_empty(), "nothing is left behind");
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["ctl"][..],
        &["ctl", "listports"],
        &["ctl", "addport", "tun", "x"],
        &["ctl", "delport"],
        &["ctl", "setport", "--shut", "2", "1"],
        &["ctl", "--foreground", "listport"],
        &["client"],
    ] {
        assert_eq!(etherws(args).failed().code, Some(2), "{args:?}");
    }
}

#[test]
fn a_refused_connection_names_the_url() {
    // A port that was free a moment ago: nobody gets it while we hold its neighbour.
    let held = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let url = format!("http://127.0.0.4:{}/ctl", held.local_addr().unwrap().port());
    let output = etherws(&["ctl", "--ctlurl", &url, "listport"]).failed();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains(&url), "{}", output.stderr);
}

#[test]
fn a_refused_client_port_leaves_nothing_behind() {
    let switch = Switch::start(&[]);
    let held = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let output = switch.ctl(&["addport", "client", &format!("ws://127.0.0.4:{port}/")]).failed();
    assert!(output.stderr.contains("127.0.0.4"), "{}", output.stderr);
    assert!(switch.ports().is_empty());
    // The control service of another switch is there and is no WebSocket.
    let other = Switch::start(&[]);
    let url = format!("ws://{}/ctl", other.control);
    let output = switch.ctl(&["addport", "client", &url]).failed();
    assert!(output.stderr.contains(&url), "{}", output.stderr);
    assert!(switch.ports().is_empty());
}

#[test]
fn shut_drops_frames_and_keeps_the_connection() {
    let switch = Switch::start(&[]);
    let (mut one, number) = switch.open();
    let (mut other, _) = switch.open();
    assert_eq!(switch.json(&["setport", "--shut", "1", &number.to_string()])[0]["shut"], true);
    one.send_frame(&frame(255, 1, b"lost"));
    wait_until("the discard", || switch.port(number)["discards"]["port-down"] == 1);
    switch.ctl(&["setport", "--shut", "0", &number.to_string()]).ok();
    one.send_frame(&frame(255, 1, b"passes"));
    other.expect_frame(&frame(255, 1, b"passes"));
    assert_eq!(switch.port(number)["rx"], 1, "what was dropped is not counted");
}

#[test]
fn delport_closes_a_tunnel_and_its_number_is_not_used_again() {
    let switch = Switch::start(&[]);
    let (mut one, number) = switch.open();
    let (_other, _) = switch.open();
    let gone = switch.json(&["delport", &number.to_string()]);
    assert_eq!(gone[0]["port"], number);
    one.expect_close(1000);
    wait_until("the port's end", || switch.ports().len() == 1);
    let (_, next) = switch.open();
    assert_eq!(next, 3);
}

#[test]
fn control_over_tls_wants_the_right_certificate() {
    let certs = need!(Certificates::new());
    let tls = ["--ctlsslkey", &certs.key, "--ctlsslcert", &certs.cert, "--ctlhost", "127.0.0.1"];
    let host = [&tls[..], &["--host", "127.0.0.2"]].concat();
    let switch = Switch::start(&host);
    switch.ctl(&["--ctlsslcert", &certs.ca, "listport"]).ok();
    switch.ctl(&["--ctlinsecure", "listport"]).ok();
    let output = switch.ctl(&["listport"]).failed();
    assert!(output.stderr.contains("certificate"), "{}", output.stderr);
}

#[test]
fn a_closed_reader_is_no_error() {
    let switch = Switch::start(&[]);
    let dir = TempDir::new();
    let script = "exec 3>&1; { \"$@\"; echo $? >&3; } | :";
    let mut command = switch.site.command("sh");
    command.args(["-c", script, "sh", crate::support::switch::ETHERWS, "ctl"]);
    command.args(["--ctlurl", switch.control_url(), "listport"]).current_dir(dir.path());
    assert_eq!(run_with(command, b"").ok().stdout.trim(), "0");
}
