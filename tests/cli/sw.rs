//! `etherws sw`: defaults, wrong options, listeners shared or not, the end.

use std::{net::TcpListener, time::Duration};

use nix::sys::signal::Signal;

use crate::support::{
    TempDir,
    certs::Certificates,
    frame,
    lab::Namespace,
    need,
    peers::Peer,
    process::{Process, run},
    switch::{Switch, command, etherws, one_listener},
    wait_for, wait_until,
    ws::{self, WebSocket},
};

#[test]
fn defaults_are_the_originals() {
    let namespace = need!(Namespace::new());
    let switch = Process::start(command(&namespace.site, &["sw", "--foreground"]));
    wait_until("both listeners", || {
        ["tunnel", "control"].iter().all(|service| switch.stderr.contains(service))
    });
    assert!(switch.stderr.contains("can join the LAN"));
    let sockets = namespace.run("ss", &["-Hltn"]).ok().stdout;
    let listening: Vec<_> =
        sockets.lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert!(listening.contains(&"127.0.0.1:7867"), "{sockets}");
    assert!(listening.iter().any(|address| *address != "127.0.0.1:80" && address.ends_with(":80")));
    // Control at its default address and path, tunnel at its default path.
    run(command(&namespace.site, &["ctl", "listport"])).ok();
    let upgrade = ws::UPGRADE.map(|(name, value)| format!("-H{name}: {value}"));
    for url in ["http://127.0.0.1/", "http://[::1]/"] {
        let mut curl = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "1", url];
        curl.extend(upgrade.iter().map(String::as_str));
        assert_eq!(namespace.run("curl", &curl).stdout, "101", "{url}");
    }
}

#[test]
fn with_a_file_no_tunnel_listens_unless_it_is_asked_for() {
    let namespace = need!(Namespace::new());
    let dir = TempDir::new();
    let open = "can join the LAN";
    // What is asked for, whether somebody listens on port 80 or 8080, and is warned of.
    for (text, more, listens, warned) in [
        ("", &[][..], false, false),
        ("[tunnel]\n", &[], true, true),
        ("[tunnel]\nhost = \"127.0.0.1\"\n", &[], true, false),
        ("[tunnel]\nhtpasswd = \"users\"\n", &[], true, false),
        ("", &["--port", "8080"], true, true),
        ("", &["--port", "8080", "--host", "127.0.0.1"], true, false),
    ] {
        dir.file("users", "u:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n");
        let file = dir.file("etherws.toml", text);
        let args = [&["sw", "--foreground", "--config", &file], more].concat();
        let switch = Process::start(command(&namespace.site, &args));
        wait_until("control", || switch.stderr.contains("7867"));
        let sockets = namespace.run("ss", &["-Hltn"]).ok().stdout;
        let tunnel = sockets.contains(":80 ") || sockets.contains(":8080 ");
        assert_eq!(tunnel, listens, "{text} {more:?}: {sockets}");
        assert_eq!(switch.stderr.contains(open), warned, "{text} {more:?}");
    }
    // Options of a listener that is not there are no silent nothing.
    let file = dir.file("etherws.toml", "");
    let args = ["sw", "--foreground", "--config", &file, "--host", "127.0.0.1", "--path", "/x"];
    let refused = run(command(&namespace.site, &args)).failed();
    for option in ["--host", "--path"] {
        let text = format!("{option} is given without a tunnel listener; add --port");
        assert!(refused.stderr.contains(&text), "{}", refused.stderr);
    }
}

#[test]
fn tls_moves_the_tunnel_to_443_and_leaves_control() {
    let namespace = need!(Namespace::new());
    let certs = need!(Certificates::new());
    let args = ["sw", "--foreground", "--sslkey", &certs.key, "--sslcert", &certs.cert];
    let switch = Process::start(command(&namespace.site, &args));
    wait_until("control", || switch.stderr.contains("control"));
    let sockets = namespace.run("ss", &["-Hltn"]).ok().stdout;
    assert!(sockets.contains(":443 ") && sockets.contains("127.0.0.1:7867 "), "{sockets}");
    assert!(!sockets.contains(":80 "), "{sockets}");
}

#[test]
fn a_wrong_option_is_named_with_its_value() {
    let dir = TempDir::new();
    let file = dir.file("empty", "");
    let none = dir.at("missing");
    let table: &[(&[&str], &[&str])] = &[
        (&["--ageout", "0"], &["ageout", "0"]),
        (&["--ageout", "-1"], &["ageout", "-1"]),
        (&["--ageout", "soon"], &["ageout", "soon"]),
        (&["--path", "x"], &["path", "x", "/"]),
        (&["--ctlpath", "x"], &["ctlpath", "x", "/"]),
        (&["--port", "65536"], &["port", "65536"]),
        (&["--ctlport", "http"], &["ctlport", "http"]),
        (&["--sslkey", &file], &["sslkey", "sslcert"]),
        (&["--sslcert", &file], &["sslkey", "sslcert"]),
        (&["--ctlsslkey", &file], &["ctlsslkey", "ctlsslcert"]),
        (&["--ctlsslcert", &file], &["ctlsslkey", "ctlsslcert"]),
        (&["--sslkey", &file, "--sslcert", &file], &[&file]),
        (&["--sslkey", &none, "--sslcert", &file], &["sslkey", &none]),
        (&["--htpasswd", &none], &["htpasswd", &none]),
        (&["--ctlhtpasswd", &none], &["ctlhtpasswd", &none]),
        (&["--logconf", &none], &["logconf", &none]),
        (&["--host", "256.0.0.1"], &["256.0.0.1"]),
        (&["--colour"], &["--colour"]),
        (
            &[
                "--path",
                "/a",
                "--ctlpath",
                "/a",
                "--host",
                "127.0.0.1",
                "--port",
                "1",
                "--ctlport",
                "1",
            ],
            &["path", "ctlpath", "/a"],
        ),
    ];
    for (options, named) in table {
        // Port 0 for what might listen all the same; a daemon would hide the error.
        let given = |option: &str| options.contains(&option);
        let mut args = vec!["sw"];
        for option in ["--port", "--ctlport"] {
            if !given(option) {
                args.extend([option, "0"]);
            }
        }
        args.extend_from_slice(options);
        let output = etherws(&args).failed();
        assert_eq!(output.stdout, "", "{options:?}");
        for word in *named {
            assert!(output.stderr.contains(word), "{options:?}: {word} not in {}", output.stderr);
        }
        assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    }
}

#[test]
fn a_key_that_is_another_certificates_is_refused() {
    let [one, other] = [need!(Certificates::new()), need!(Certificates::new())];
    let args = ["sw", "--port", "0", "--ctlport", "0", "--sslkey", &one.key];
    let output = etherws(&[&args[..], &["--sslcert", &other.cert]].concat()).failed();
    assert!(output.stderr.contains(&one.key) || output.stderr.contains(&other.cert));
}

#[test]
fn a_port_in_use_is_an_error_with_the_address_in_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (services, mode) in [
        (["--host", "127.0.0.1", "--port", &port, "--ctlport", "0"], Some("--foreground")),
        (["--host", "127.0.0.1", "--port", &port, "--ctlport", "0"], None),
        (["--host", "127.0.0.1", "--port", "0", "--ctlport", &port], None),
    ] {
        let args = ["sw"].into_iter().chain(services).chain(mode);
        let output = etherws(&args.collect::<Vec<_>>()).failed();
        assert!(output.stderr.contains(&port), "{output:?}");
        assert!(output.stderr.to_lowercase().contains("in use"), "{output:?}");
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn options_may_be_short_or_repeated_as_with_argparse() {
    let args = ["--pa", "/a", "--path", "/b", "--age", "20"];
    let switch = Switch::start(&args);
    WebSocket::open(switch.tunnel, "/b");
    let refused = WebSocket::open_with(switch.tunnel, "/a", &[]).unwrap_err();
    assert_eq!(refused.status, 404);
}

#[test]
fn version_and_help_go_to_standard_output() {
    assert!(etherws(&["--version"]).ok().stdout.starts_with("etherws "));
    for command in [&["--help"][..], &["sw", "--help"], &["ctl", "--help"], &["help", "sw"]] {
        assert!(etherws(command).ok().stdout.contains("Usage: etherws"));
    }
    assert_eq!(etherws::<&str>(&[]).failed().code, Some(2));
}

#[test]
fn both_services_may_share_a_listener() {
    let dir = TempDir::new();
    // The password is "password".
    let tunnel = dir.file("tunnel", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let users = dir.file("control", "b:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let shared = one_listener();
    let switch = Switch::start(&[&shared[..], &["--ctlhtpasswd", &users]].concat());
    assert_eq!(switch.tunnel, switch.control);
    // Each path keeps its own passwords.
    let _port = WebSocket::open(switch.tunnel, "/");
    switch.ctl(&["listport"]).failed();
    let login = ["--ctluser", "b", "--ctlpasswd", "password"];
    let switch = switch.with_ctl(&login);
    wait_until("the port", || switch.ports().len() == 1);
    drop(switch);
    let switch = Switch::start(&[&one_listener()[..], &["--htpasswd", &tunnel]].concat());
    assert_eq!(WebSocket::open_with(switch.tunnel, "/", &[]).unwrap_err().status, 401);
    switch.ctl(&["listport"]).ok();
}

#[test]
fn a_shared_listener_wants_other_paths_and_the_same_tls() {
    let certs = need!(Certificates::new());
    let shared = [&["sw", "--foreground"][..], &one_listener()].concat();
    let tls = ["--sslkey", &certs.key, "--sslcert", &certs.cert];
    let output = etherws(&[&shared[..], &tls].concat()).failed();
    assert!(output.stderr.contains("same key and certificate"), "{}", output.stderr);
    let both = [&tls[..], &["--ctlsslkey", &certs.key, "--ctlsslcert", &certs.cert]].concat();
    let both = [&one_listener()[..], &both].concat();
    let switch = Switch::start(&both).with_ctl(&["--ctlinsecure"]);
    WebSocket::open_tls(switch.tunnel, &certs.ca, "/", &[]).unwrap();
    switch.ctl(&["listport"]).ok();
}

#[test]
fn port_0_is_another_free_port_for_each_service() {
    let switch = Switch::start(&["--host", "127.0.0.1", "--ctlhost", "127.0.0.1"]);
    assert_ne!(switch.tunnel, switch.control);
    switch.open();
    switch.ctl(&["listport"]).ok();
}

#[test]
fn sigterm_closes_tunnels_with_1001_and_ends() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut switch = Switch::start(&[]);
        let (mut socket, _) = switch.open();
        switch.process.signal(signal);
        let close = socket.receive().expect("a close frame");
        assert_eq!(close.close_code(), Some(1001));
        socket.send(ws::CLOSE, &close.payload);
        socket.expect_end();
        switch.process.wait_exit();
    }
}

#[test]
fn ageout_forgets_addresses() {
    let switch = Switch::start(&["--ageout", "1"]);
    let (mut one, number) = switch.open();
    let (mut other, _) = switch.open();
    one.send_frame(&frame(255, 1, b"hello"));
    other.expect_frame(&frame(255, 1, b"hello"));
    let learned = switch.json(&["listfdb"]);
    assert_eq!(learned[0]["mac"], "02:00:00:00:00:01");
    assert_eq!(learned[0]["port"], number);
    wait_until("the entry's end", || switch.json(&["listfdb"]).is_empty());
}

#[test]
fn debug_and_only_debug_logs_each_frame() {
    for (options, wanted) in [(&["--debug"][..], true), (&[], false)] {
        let switch = Switch::start(options);
        let (mut one, _) = switch.open();
        let (mut other, _) = switch.open();
        one.send_frame(&frame(255, 9, b"seen"));
        other.expect_frame(&frame(255, 9, b"seen"));
        if wanted {
            wait_until("a line", || switch.process.stderr.contains("02:00:00:00:00:09"));
        } else {
            // What is logged after the frame is there: then so would the frame's line.
            drop(one);
            wait_until("the port's end", || switch.ports().len() == 1);
            wait_for("its line", || {
                let text = switch.process.stderr.text();
                (text.matches("port: 1").count() > 1 || text.contains("disconnect")).then_some(())
            });
            assert!(!switch.process.stderr.contains("02:00:00:00:00:09"));
        }
    }
}

#[test]
fn one_bad_client_harms_no_other() {
    let switch = Switch::start(&[]);
    let (mut good, _) = switch.open();
    let (mut fine, _) = switch.open();
    // Sends and never reads, sends half a message, sends nonsense.
    let (mut deaf, _) = switch.open();
    let (mut half, _) = switch.open();
    half.send_raw(&[0x82, 0xfe]);
    let (mut mad, _) = switch.open();
    mad.send_raw(&[0xff; 64]);
    for round in 0..200 {
        let payload = vec![round; 60_000];
        good.send_frame(&frame(255, 1, &payload));
        fine.expect_frame(&frame(255, 1, &payload));
    }
    deaf.send_frame(&frame(255, 3, b"still here"));
    fine.expect_frame(&frame(255, 3, b"still here"));
}

#[test]
fn control_answers_while_frames_pour_in() {
    let switch = Switch::start(&[]);
    let (mut sender, number) = switch.open();
    let (_receiver, _) = switch.open();
    let pouring = std::thread::spawn(move || {
        let many = ws::encode(0x82, &frame(255, 1, &[0; 1400])).repeat(64);
        for _ in 0..2000 {
            sender.send_raw(&many);
        }
        sender
    });
    let start = std::time::Instant::now();
    switch.ctl(&["listport"]).ok();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let _sender = pouring.join().unwrap();
    wait_until("all frames", || switch.port(number)["rx"] == 128_000);
}

#[test]
fn a_server_port_carries_its_peers_address() {
    let switch = Switch::start(&[]);
    let mut peer = need!(Peer::client("websockets", &switch.url(), &[]));
    let (mut socket, number) = switch.open();
    socket.send_frame(&frame(255, 4, b"to a peer"));
    peer.expect_frame(&frame(255, 4, b"to a peer"));
    let port = switch.port(number);
    assert_eq!(port["type"], "server");
    assert_eq!(port["target"], socket.local_address().to_string());
}
