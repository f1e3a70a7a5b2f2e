//! Who comes through a reverse proxy: addresses that are claimed, PROXY headers that are wrong,
//! slow or missing, and what is no HTTP.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    time::Instant,
};

use crate::support::{
    frame,
    http::{self, Response, ask},
    switch::Switch,
    wait_until,
    ws::{WebSocket, upgrade_with},
};

/// Control is for who is here, and no proxy leads to it.
const NOT_TO_CONTROL: [&str; 2] = ["--ctl-trusted-proxies", "192.0.2.77"];

const LIST: &str = r#"{"jsonrpc": "2.0", "id": 0, "method": "etherws.control.listPort"}"#;

/// The target of the one session that asks with `headers`.
fn target(switch: &Switch, headers: &[(&str, &str)]) -> String {
    let socket = WebSocket::open_with(switch.tunnel, "/", headers).expect("a tunnel");
    let own = socket.local_address().to_string();
    let mut found = String::new();
    wait_until("the session", || {
        let ports = switch.ports();
        found = ports
            .first()
            .map_or_else(String::new, |port| port["target"].as_str().expect("a target").to_owned());
        !found.is_empty()
    });
    drop(socket);
    wait_until("its end", || switch.ports().is_empty());
    if found == own { "own".to_owned() } else { found }
}

#[test]
fn an_address_counts_that_a_trusted_proxy_has_seen() {
    let trusted = ["--trusted-proxies", "127.0.0.1,10.0.0.0/8"];
    let switch = Switch::start(&[trusted, NOT_TO_CONTROL].concat());
    for (header, wanted) in [
        ("203.0.113.5", "203.0.113.5"),
        ("6.6.6.6, 203.0.113.5:4711, 10.1.1.1", "203.0.113.5:4711"),
        ("2001:db8::5", "2001:db8::5"),
        ("unknown", "own"),
        ("for=_hidden", "own"),
        ("fe80::1%eth0", "own"),
    ] {
        assert_eq!(target(&switch, &[("X-Forwarded-For", header)]), wanted, "{header}");
    }
    assert_eq!(target(&switch, &[("Forwarded", "for=203.0.113.5")]), "own", "another header");
    let two = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.5")];
    assert_eq!(target(&switch, &two), "203.0.113.5");
    // From the right, however long it is; and no more than a head may be.
    let long = format!("{}203.0.113.5", "6.6.6.6, ".repeat(1000));
    assert_eq!(target(&switch, &[("X-Forwarded-For", &long)]), "203.0.113.5");
    let many = vec![("X-Forwarded-For", "6.6.6.6"); 200];
    let refused = WebSocket::open_with(switch.tunnel, "/", &many).map(drop);
    assert!(refused.is_err_and(|response| [400, 431].contains(&response.status)));
    let mut stream = http::connect(switch.tunnel);
    let huge = "6.6.6.6, ".repeat(120_000);
    let huge = http::request("GET", "/", &[("X-Forwarded-For", &huge)], "");
    // What is refused early is not read to its end.
    let _ = stream.write_all(&huge);
    let status = Response::read_head(&mut stream).map(|response| response.status);
    assert!(matches!(status, None | Some(400 | 413 | 431)), "{status:?}");
    assert_eq!(target(&switch, &[("X-Forwarded-For", "203.0.113.5")]), "203.0.113.5");
}

#[test]
fn a_proxy_that_is_not_trusted_says_nothing() {
    let switch = Switch::start(&["--trusted-proxies", "10.0.0.0/8"]);
    assert_eq!(target(&switch, &[("X-Forwarded-For", "203.0.113.5")]), "own");
    let switch = Switch::start(&[]);
    assert_eq!(target(&switch, &[("X-Forwarded-For", "203.0.113.5")]), "own");
    let forwarded = [("X-Forwarded-For", "203.0.113.5")];
    assert_eq!(ask(switch.control, "POST", "/ctl", &forwarded, LIST).status, 200);
}

#[test]
fn nobody_is_local_to_control_through_a_proxy() {
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let more = ["--trusted-proxies", "127.0.0.1", "--forwarded-header", header];
        let switch = Switch::start(&more);
        for value in ["203.0.113.5", "for=203.0.113.5", "127.0.0.1", "for=127.0.0.1", "nonsense"] {
            for sent in [header, "X-Forwarded-For"] {
                let answer = ask(switch.control, "POST", "/ctl", &[(sent, value)], LIST);
                assert_eq!(answer.status, 403, "{header}: {sent}: {value}");
            }
        }
        // Nor through one that says nothing. From another address of this machine somebody is.
        let answer = ask(switch.control, "POST", "/ctl", &[], LIST);
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("--ctl-trusted-proxies"), "{}", answer.body);
        let mut here = http::connect_from([127, 0, 0, 9], switch.control);
        let host = switch.control.to_string();
        here.write_all(&http::request("POST", "/ctl", &[("Host", &host)], LIST)).unwrap();
        assert_eq!(Response::read(&mut here).map(|answer| answer.status), Some(200));
        let rebound = [("Host", "evil.example")];
        assert_eq!(ask(switch.control, "POST", "/ctl", &rebound, LIST).status, 421);
    }
}

#[test]
fn a_listener_behind_the_proxy_protocol_requires_its_header() {
    let trusted = ["--proxy-protocol", "--trusted-proxies", "127.0.0.1"];
    let switch = Switch::start(&[&trusted[..], &NOT_TO_CONTROL].concat());
    let request = http::request("GET", "/", &upgrade_with(&[]), "");
    let open = |header: &[u8]| {
        let mut stream = http::connect(switch.tunnel);
        stream.write_all(header).and_then(|()| stream.write_all(&request)).ok()?;
        let status = Response::read_head(&mut stream)?.status;
        (status == 101).then_some(stream)
    };
    let v1 = b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 80\r\n";
    let session = open(v1).expect("a tunnel");
    wait_until("its real address", || {
        switch.ports().first().is_some_and(|port| port["target"] == "203.0.113.5:4711")
    });
    wait_until("the same in the log", || switch.process.stderr.contains("peer: 203.0.113.5:4711"));
    drop(session);
    wait_until("its end", || switch.ports().is_empty());
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2b".to_vec();
    v2.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    v2.extend([0; 16]);
    v2.extend([0x12, 0x67, 0, 80, 0xee, 0, 4, 1, 2, 3, 4]);
    let session = open(&v2).expect("a tunnel");
    wait_until("its real address", || {
        switch.ports().first().is_some_and(|port| port["target"] == "[2001:db8::5]:4711")
    });
    drop(session);
    // Its own connections, as for health checks.
    drop(open(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").expect("a tunnel"));
    // None, wrong ones, and one that ends too early.
    for wrong in [&b""[..], b"PROXY TCP4 x\r\n", b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 80\n\n"] {
        assert!(open(wrong).is_none(), "{wrong:?}");
    }
    // One that comes octet by octet, and one that never comes.
    let start = Instant::now();
    let mut slow = http::connect(switch.tunnel);
    slow.write_all(b"PROXY TCP4 2").unwrap();
    let mut bit_by_bit = http::connect(switch.tunnel);
    for octet in v1 {
        bit_by_bit.write_all(&[*octet]).unwrap();
    }
    bit_by_bit.write_all(&request).unwrap();
    assert_eq!(Response::read_head(&mut bit_by_bit).map(|response| response.status), Some(101));
    assert!(matches!(slow.read(&mut [0]), Ok(0) | Err(_)));
    assert!(start.elapsed().as_secs() >= 2, "{:?}", start.elapsed());
    let servers = switch.json(&["showserver"]);
    let tunnel = servers.iter().find(|server| server["service"] == "tunnel").expect("it");
    assert_eq!(tunnel["counters"]["refused-proxy-header"], 4, "{tunnel}");
    // As what it is, and not as a request with an answer.
    wait_until("a line", || switch.process.stderr.contains("connection refused, peer: 127.0.0.1:"));
    assert!(!switch.process.stderr.contains("status: 503"), "{}", switch.process.stderr.text());
}

#[test]
fn limits_and_events_are_those_of_the_real_address() {
    let dir = crate::support::TempDir::new();
    let users = dir.file("users", "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n");
    let own = ["--htpasswd", &users, "--trusted-proxies", "127.0.0.1"];
    let switch = Switch::start(&[&own[..], &NOT_TO_CONTROL].concat());
    let login = |from: &str, password: &str| {
        let login = http::basic("alice", password);
        let headers = [("Authorization", login.as_str()), ("X-Forwarded-For", from)];
        WebSocket::open_with(switch.tunnel, "/", &headers).map_or_else(|r| r.status, |_| 101)
    };
    for _ in 0..5 {
        assert_eq!(login("203.0.113.5", "guess"), 401);
    }
    assert_eq!(login("203.0.113.5", "guess"), 429);
    assert_eq!(login("203.0.113.6", "top-secret"), 101);
    let line = "peer: 203.0.113.5, user: alice, status: 401";
    wait_until("a line in the log", || switch.process.stderr.contains(line));
}

#[test]
fn what_is_no_http_is_counted_and_no_error_of_ours() {
    let switch = Switch::start(&[]);
    let junk: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"SSH-2.0-x\r\n\r\n",
        &[0; 40],
        b"GE T\r\n\r\n",
    ];
    for octets in junk {
        let mut stream = http::connect(switch.tunnel);
        stream.write_all(octets).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    wait_until("their number", || {
        let servers = switch.json(&["showserver"]);
        servers.iter().any(|server| server["counters"]["refused-not-http"] == 4)
    });
    wait_until("a line", || switch.process.stderr.contains("reason: This is not HTTP"));
    let text = switch.process.stderr.text();
    assert!(!text.contains("ERROR") && !text.contains("ERRO"), "{text}");
}

#[test]
fn probes_ask_for_no_login_and_are_no_refusals() {
    let dir = crate::support::TempDir::new();
    let users = dir.file("users", "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n");
    let switch = Switch::start(&["--htpasswd", &users, "--path", "/lan"]);
    let status = |to: SocketAddr, method: &str, path: &str| {
        let answer = ask(to, method, path, &[], "");
        assert!(answer.body.is_empty() || answer.status >= 400, "{answer:?}");
        answer.status
    };
    wait_until("the start's end", || status(switch.tunnel, "GET", "/readyz") == 200);
    for path in ["/healthz", "/readyz", "/lan/healthz", "/lan/readyz"] {
        assert_eq!(status(switch.tunnel, "GET", path), 200, "{path}");
    }
    assert_eq!(status(switch.tunnel, "HEAD", "/healthz"), 200);
    assert_eq!(status(switch.control, "GET", "/healthz"), 404);
    let servers = switch.json(&["showserver"]);
    let tunnel = servers.iter().find(|server| server["service"] == "tunnel").expect("it");
    let counters = tunnel["counters"].as_object().expect("counters");
    let refused = counters.iter().filter(|(name, _)| name.starts_with("refused-"));
    assert_eq!(refused.map(|(_, count)| count.as_u64().unwrap()).sum::<u64>(), 0, "{tunnel}");
    // A port of its own that is not up: frames of sessions lead nowhere.
    let far = Switch::start(&[]);
    switch.add(&["client", &far.url()]);
    drop(far);
    wait_until("it to be seen", || status(switch.tunnel, "GET", "/readyz") == 503);
    assert_eq!(status(switch.tunnel, "GET", "/healthz"), 200);
    let login = http::basic("alice", "top-secret");
    let mut one = WebSocket::open_with(switch.tunnel, "/lan", &[("Authorization", &login)])
        .expect("a tunnel");
    one.send_frame(&frame(255, 1, b"x"));
}
