//! Attempts to get in by a detour: pages from elsewhere, names that are not ours, types
//! that are no JSON, tokens that are used up, neighbours on the same network.

use std::io::Write as _;

use serde_json::json;

use crate::support::{
    TempDir,
    http::{Response, ask},
    lab::Namespace,
    need,
    process::Process,
    switch::{Switch, command, one_listener},
    wait_until,
    ws::WebSocket,
};

/// A request that control would answer.
const LIST: &str = r#"{"jsonrpc": "2.0", "id": 0, "method": "etherws.control.listPort"}"#;

fn control(switch: &Switch, headers: &[(&str, &str)]) -> Response {
    ask(switch.control, "POST", "/ctl", headers, LIST)
}

#[test]
fn control_answers_json_alone() {
    let switch = Switch::start(&[]);
    for (kind, status) in [
        ("application/json", 200),
        ("application/json; charset=UTF-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ] {
        assert_eq!(control(&switch, &[("Content-Type", kind)]).status, status, "{kind:?}");
    }
}

#[test]
fn the_body_of_a_refused_request_is_not_read_to_its_end() {
    let switch = Switch::start(&[]);
    let end = std::time::Instant::now() + crate::support::LIMIT;
    for (to, path, host) in [
        (switch.control, "/ctl", "evil.example"),
        (switch.control, "/nothing", "localhost"),
        (switch.tunnel, "/", "localhost"),
    ] {
        let mut stream = crate::support::http::connect(to);
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // It goes on for as long as somebody takes it.
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
        let mut taken = 0;
        while stream.write_all(chunk.as_bytes()).is_ok() {
            taken += chunk.len();
            assert!(std::time::Instant::now() < end, "{taken} octets of {path} were taken");
        }
        println!("{taken} octets");
        assert!(taken < 64 << 20, "{taken} octets of {path} were taken");
    }
    assert_eq!(control(&switch, &[]).status, 200);
}

#[test]
fn control_answers_to_its_own_names_alone() {
    let switch = Switch::start(&["--ctlname", "switch.example", "--ctlname", "other.example"]);
    let port = switch.control.port();
    let own = switch.control.to_string();
    let named = format!("switch.example:{port}");
    for (host, status) in [
        (own.as_str(), 200),
        ("127.0.0.2", 200),
        ("localhost", 200),
        (&named, 200),
        ("OTHER.example", 200),
        // An address of the tunnel's listener, not of this connection.
        ("127.0.0.1", 421),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.2.evil.example", 421),
        ("evil.example#localhost", 421),
    ] {
        assert_eq!(control(&switch, &[("Host", host)]).status, status, "{host}");
    }
}

#[test]
fn control_is_not_for_pages_from_elsewhere() {
    let switch = Switch::start(&["--allow-origin", "*"]);
    let own = format!("http://{}", switch.control);
    for (origin, status) in [
        (own.as_str(), 200),
        ("http://evil.example", 403),
        ("http://localhost", 403),
        ("null", 403),
        // What is allowed for tunnels is not for control.
        ("https://v86.example", 403),
    ] {
        assert_eq!(control(&switch, &[("Origin", origin)]).status, status, "{origin}");
    }
    // Rebound: page and request have one name, but it is not ours.
    let rebound = [("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(control(&switch, &rebound).status, 421);
}

#[test]
fn an_upgrade_is_no_way_around_controls_checks() {
    let dir = TempDir::new();
    let users = dir.file("users", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let switch = Switch::start(&[&one_listener()[..], &["--ctlhtpasswd", &users]].concat());
    assert_eq!(switch.tunnel, switch.control);
    let own = switch.control.to_string();
    for (headers, status) in [
        (&[("Host", "evil.example")][..], 421),
        (&[("Host", own.as_str()), ("Origin", "http://evil.example")], 403),
        (&[("Host", own.as_str())], 401),
    ] {
        let refused = WebSocket::open_with(switch.control, "/ctl", headers).unwrap_err();
        assert_eq!(refused.status, status, "{headers:?}");
    }
    // The tunnel beside it keeps its own rules.
    WebSocket::open_with(switch.tunnel, "/", &[("Host", "any.example")]).unwrap();
}

/// Makes a token by `ctl`.
fn token(switch: &Switch, user: &str, ttl: &str) -> String {
    let made = switch.json(&["createtoken", "--user", user, "--ttl", ttl]);
    assert_eq!(made[0]["user"], user);
    made[0]["token"].as_str().expect("a token").to_owned()
}

#[test]
fn a_token_opens_one_tunnel_in_its_time() {
    let dir = TempDir::new();
    let users = dir.file("users", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let switch = Switch::start(&["--htpasswd", &users, "--debug"]);
    let open = |path: &str, headers: &[(&str, &str)]| {
        WebSocket::open_with(switch.tunnel, path, headers).map_err(|refused| refused.status)
    };
    let first = token(&switch, "page", "60");
    let path = format!("/?x=1&token={first}");
    // Refusals for something else leave it as it is.
    assert_eq!(open(&path, &[("Origin", "http://evil.example")]).unwrap_err(), 403);
    assert_eq!(open(&path, &[("Sec-WebSocket-Version", "8")]).unwrap_err(), 426);
    let session = open(&path, &[]).unwrap();
    switch.number_of(&session);
    wait_until("its name", || switch.process.stderr.contains("user: page"));
    assert_eq!(open(&path, &[]).unwrap_err(), 401, "twice");
    for wrong in ["/?token=", "/?token=x", "/?Token=y", "/"] {
        assert_eq!(open(wrong, &[]).unwrap_err(), 401, "{wrong}");
    }
    let late = token(&switch, "page", "1");
    // Not asked for before its second is over: it would be used up.
    let start = std::time::Instant::now();
    wait_until("a second", || start.elapsed().as_millis() > 1100);
    assert_eq!(open(&format!("/?token={late}"), &[]).unwrap_err(), 401, "late");
    // Control takes none, and nobody may read one in the log.
    let other = token(&switch, "page", "60");
    let path = format!("/ctl?token={other}");
    assert_eq!(ask(switch.tunnel, "POST", &path, &[], LIST).status, 404);
    assert_eq!(ask(switch.control, "POST", &path, &[], "{").status, 200);
    for secret in [&first, &late, &other] {
        assert!(!switch.process.stderr.contains(secret.as_str()), "a token in the log");
    }
}

#[test]
fn a_token_is_made_for_somebody_and_not_for_long() {
    let switch = Switch::start(&[]);
    for params in [
        json!({}),
        json!({"user": ""}),
        json!({"user": "a\nb"}),
        json!({"user": "a", "ttl": 0}),
        json!({"user": "a", "ttl": 3601}),
    ] {
        assert_eq!(switch.rpc("createToken", &params)["error"]["code"], -32602, "{params}");
    }
    let made = switch.rpc("createToken", &json!({"user": "a"}));
    assert_eq!(made["result"]["entries"][0]["token"].as_str().map(str::len), Some(43));
    let table = switch.ctl(&["createtoken", "--user", "a"]).ok().stdout;
    assert!(table.starts_with("  Token ") && table.lines().count() == 2, "{table}");
}

#[test]
fn control_on_another_address_wants_something_to_be_shown() {
    let (left, right) = need!(Namespace::pair());
    let dir = TempDir::new();
    let users = dir.file("users", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    // Refused with the ways out.
    let sw = ["sw", "--foreground", "--ctlhost", "192.0.2.1", "--port", "81"];
    let mut process = Process::start(command(&left.site, &sw));
    assert!(!process.wait_exit().success());
    for way in ["192.0.2.1:7867", "--ctlhtpasswd", "--ctlsslclientca", "--ctlopen"] {
        assert!(process.stderr.contains(way), "{way}: {}", process.stderr.text());
    }
    // From the other end of the cable.
    let ask = |url: &str, more: &[&str]| {
        let args = [&["ctl", "--ctlurl", url], more, &["listport"]].concat();
        crate::support::process::run(command(&right.site, &args))
    };
    let url = "http://192.0.2.1:7867/ctl";
    let listen = |host, more: &[&str]| {
        let args = [&["--ctlhost", host, "--ctlport", "7867"], more].concat();
        Switch::start_at(&left.site, &args)
    };
    for more in [&["--ctlopen"][..], &["--ctlhtpasswd", &users]] {
        let _switch = listen("192.0.2.1", more);
        let login: &[_] =
            if more.len() == 2 { &["--ctluser", "a", "--ctlpasswd", "password"] } else { &[] };
        ask(url, login).ok();
    }
    // On all addresses, as 1.3 takes it: for this machine alone, which is told.
    let switch = listen("", &[]);
    let output = ask(url, &[]).failed();
    assert!(output.stderr.contains("403") && output.stderr.contains("--ctlopen"), "{output:?}");
    assert!(switch.process.stderr.contains("control accepts local clients only"));
    let local = ["ctl", "--ctlurl", "http://127.0.0.1:7867/ctl", "listport"];
    crate::support::process::run(command(&left.site, &local)).ok();
}
