//! Guessed passwords, too many sessions, and connections that never become one.

use std::io::{Read, Write};

use serde_json::Value;

use crate::support::{
    TempDir,
    certs::Certificates,
    http::{self, Response},
    need, peers,
    process::Site,
    switch::Switch,
    wait_until,
    ws::{WebSocket, upgrade_with},
};

/// The password is "top-secret".
const USERS: &str = "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n\
    bob:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n";

/// A counter of the listener of `service`.
fn counter(switch: &Switch, service: &str, name: &str) -> u64 {
    let servers = switch.json(&["showserver"]);
    let of = |server: &&Value| server["service"] == service;
    let server = servers.iter().find(of).expect("the listener");
    server["counters"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {server}"))
}

/// The answer to a login from an address of loopback.
fn login_from(from: [u8; 4], switch: &Switch, user: &str, password: &str) -> Response {
    let login = http::basic(user, password);
    let mut stream = http::connect_from(from, switch.tunnel);
    let headers = upgrade_with(&[("Authorization", &login)]);
    stream.write_all(&http::request("GET", "/", &headers, "")).unwrap();
    Response::read_head(&mut stream).expect("a reply")
}

#[test]
fn guessing_ends_in_429_for_that_address_and_no_other() {
    let dir = TempDir::new();
    let switch = Switch::start(&["--htpasswd", &dir.file("users", USERS)]);
    let (guesser, other) = ([127, 0, 0, 5], [127, 0, 0, 6]);
    for _ in 0..5 {
        assert_eq!(login_from(guesser, &switch, "alice", "guess").status, 401);
    }
    let response = login_from(guesser, &switch, "alice", "top-secret");
    assert_eq!(response.status, 429);
    let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&seconds), "{seconds}");
    assert_eq!(login_from(other, &switch, "alice", "top-secret").status, 101);
    assert_eq!(login_from(guesser, &switch, "bob", "top-secret").status, 101);
    assert_eq!(counter(&switch, "tunnel", "refused-authentication"), 5);
    assert_eq!(counter(&switch, "tunnel", "refused-rate-limited"), 1);
    assert_eq!(counter(&switch, "tunnel", "sessions-begun"), 2);
    let table = switch.ctl(&["showserver"]).ok().stdout;
    assert!(table.starts_with("  Service  Counter"), "{table}");
}

#[test]
fn guessing_at_control_is_slowed_down_too() {
    let dir = TempDir::new();
    let switch = Switch::start(&["--ctlhtpasswd", &dir.file("users", USERS)]);
    let status = |password| {
        let login = http::basic("alice", password);
        http::ask(switch.control, "POST", "/ctl", &[("Authorization", &login)], "{}").status
    };
    assert_eq!(status("top-secret"), 200);
    for _ in 0..5 {
        assert_eq!(status("guess"), 401);
    }
    assert_eq!(status("guess"), 429);
    assert_eq!(status("top-secret"), 429);
}

#[test]
fn every_method_asks_for_the_password_before_it_says_anything_else() {
    let dir = TempDir::new();
    let users = dir.file("users", USERS);
    let switch = Switch::start(&["--htpasswd", &users, "--ctlhtpasswd", &users]);
    let part = http::basic("alice", "top-secret");
    let wrong: [&[(&str, &str)]; 5] = [
        &[],
        &[("Authorization", "Basic")],
        &[("Authorization", &part[..part.len() / 2])],
        &[("Authorization", &part[6..])],
        &[("Authorization", "Bearer top-secret")],
    ];
    for headers in wrong {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            for (address, path) in [(switch.tunnel, "/"), (switch.control, "/ctl")] {
                let response = http::ask(address, method, path, headers, "");
                assert_eq!(response.status, 401, "{method} {path} {headers:?}");
            }
        }
    }
}

#[test]
fn sessions_are_limited_in_all_by_user_and_by_address() {
    let dir = TempDir::new();
    let users = dir.file("users", USERS);
    let limits =
        ["--maxsessions", "4", "--maxsessionsperuser", "2", "--maxsessionsperaddress", "3"];
    let switch = Switch::start(&[&["--htpasswd", &users], &limits[..]].concat());
    let open = |user| {
        let login = http::basic(user, "top-secret");
        WebSocket::open_with(switch.tunnel, "/", &[("Authorization", &login)])
    };
    let refused = |opened: Result<WebSocket, Response>| {
        let response = opened.expect_err("refused");
        assert!(response.header("retry-after").is_some());
        (response.status, response.body)
    };
    let first = open("alice").unwrap();
    let _second = open("alice").unwrap();
    assert_eq!(refused(open("alice")), (429, "Too many sessions of this user".to_owned()));
    let _third = open("bob").unwrap();
    assert_eq!(refused(open("bob")), (429, "Too many sessions from this address".to_owned()));
    let mut elsewhere = http::connect_from([127, 0, 0, 9], switch.tunnel);
    let login = http::basic("bob", "top-secret");
    let headers = upgrade_with(&[("Authorization", &login)]);
    elsewhere.write_all(&http::request("GET", "/", &headers, "")).unwrap();
    assert_eq!(Response::read_head(&mut elsewhere).unwrap().status, 101);
    assert_eq!(refused(open("bob")), (503, "Too many sessions".to_owned()));
    assert_eq!(counter(&switch, "tunnel", "sessions"), 4);
    drop(first);
    wait_until("a free seat", || open("alice").is_ok());
    assert_eq!(counter(&switch, "tunnel", "refused-sessions-of-user"), 1);
}

#[test]
fn silent_connections_make_room_for_others() {
    // Few descriptors: 1,024 connections that are no session would take a while.
    need!(peers::tool("prlimit"));
    let switch = Switch::start_at(&Site::here().then(["prlimit", "--nofile=256:256"]), &[]);
    let limit = 256 / 8;
    let mut silent: Vec<_> = (0..2 * limit).map(|_| http::connect(switch.tunnel)).collect();
    // One that says what it wants is served, whoever else is there.
    let mut socket = WebSocket::open(switch.tunnel, "/");
    wait_until("the oldest to be closed", || {
        counter(&switch, "tunnel", "refused-connections") > limit as u64
    });
    assert!(matches!(silent[0].read(&mut [0]), Ok(0) | Err(_)), "closed");
    assert!(counter(&switch, "tunnel", "connections") <= limit as u64);
    socket.send_frame(&crate::support::frame(255, 1, b"x"));
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let switch = Switch::start(&[]);
    let cookie = "x".repeat(16 * 1024);
    for (address, method, path) in [(switch.tunnel, "GET", "/"), (switch.control, "POST", "/ctl")] {
        let response = http::ask(address, method, path, &[("Cookie", &cookie)], "");
        assert_eq!(response.status, 431, "{path}");
    }
    let opened = WebSocket::open_with(switch.tunnel, "/", &[("Cookie", &cookie)]);
    assert_eq!(opened.expect_err("refused").status, 431);
    assert_eq!(counter(&switch, "tunnel", "refused-head-size"), 2);
}

#[test]
fn a_failed_tls_handshake_is_counted() {
    let certs = need!(Certificates::new());
    let switch = Switch::start(&["--sslkey", &certs.key, "--sslcert", &certs.cert]);
    let mut stream = http::connect(switch.tunnel);
    stream.write_all(&http::request("GET", "/", &[], "")).unwrap();
    wait_until("the failure", || counter(&switch, "tunnel", "tls-failures") == 1);
    assert_eq!(counter(&switch, "tunnel", "accepted"), 1);
}
