//! Control on the wire: JSON-RPC 2.0 over HTTP, as the original answers, and where we
//! differ on purpose. Written by hand; `etherws ctl` has no part in it.

use std::io::Write;

use serde_json::{Value, json};

use crate::support::{
    TempDir,
    http::{self, Response, ask, basic},
    need,
    peers::tool,
    process::{Site, run},
    switch::Switch,
    wait_until,
};

fn post(switch: &Switch, body: &str) -> Response {
    ask(switch.control, "POST", "/ctl", &[], body)
}

fn call(switch: &Switch, body: &Value) -> Value {
    let response = post(switch, &body.to_string());
    assert_eq!(response.status, 200);
    response.json()
}

#[test]
fn a_reply_has_the_originals_head() {
    let switch = Switch::start(&[]);
    let body = r#"{"jsonrpc": "2.0", "method": "etherws.control.listPort", "id": 0}"#;
    let response = post(&switch, body);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json; charset=UTF-8"));
    assert_eq!(response.json(), json!({"jsonrpc": "2.0", "id": 0, "result": {"entries": []}}));
    assert!(!response.body.ends_with('\n'));
}

#[test]
fn errors_have_the_originals_codes() {
    let switch = Switch::start(&[]);
    let ns = "etherws.control.";
    let of = |method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": 5, "method": format!("{ns}{method}"), "params": params})
            .to_string()
    };
    let (_socket, number) = switch.open();
    for (body, code, message, id) in [
        ("{".to_owned(), -32700, "Parse error", Value::Null),
        ("nonsense".to_owned(), -32700, "Parse error", Value::Null),
        (String::from("\u{fffd}"), -32700, "Parse error", Value::Null),
        ("[".repeat(100_000), -32700, "Parse error", Value::Null),
        ("{}".to_owned(), -32600, "Invalid Request", Value::Null),
        ("[]".to_owned(), -32600, "Invalid Request", Value::Null),
        ("7".to_owned(), -32600, "Invalid Request", Value::Null),
        (r#"{"id": 5, "method": "x"}"#.to_owned(), -32600, "Invalid Request", json!(5)),
        (r#"{"id": 5, "jsonrpc": "2.0"}"#.to_owned(), -32600, "Invalid Request", json!(5)),
        (
            format!(r#"{{"id": 5, "jsonrpc": "1.0", "method": "{ns}listPort"}}"#),
            -32600,
            "Invalid Request",
            json!(5),
        ),
        (
            r#"{"id": "a", "jsonrpc": "2.0", "method": "listPort"}"#.to_owned(),
            -32601,
            "Method not found",
            json!("a"),
        ),
        (of("nothing", json!({})), -32601, "Method not found", json!(5)),
        (of("delPort", json!({"port": 77})), -32602, "Invalid params", json!(5)),
        (of("delPort", json!({})), -32602, "Invalid params", json!(5)),
        (of("delPort", Value::Null), -32602, "Invalid params", json!(5)),
        (of("delPort", json!({"port": "x"})), -32602, "Invalid params", json!(5)),
        (of("delPort", json!({"port": 1e300})), -32602, "Invalid params", json!(5)),
        (of("addPort", json!({"type": "tun", "target": "x"})), -32602, "Invalid params", json!(5)),
        (
            of("addPort", json!({"type": "netdev", "target": "none0"})),
            -32602,
            "Invalid params",
            json!(5),
        ),
        (
            of("addPort", json!({"type": "client", "target": "ws://"})),
            -32602,
            "Invalid params",
            json!(5),
        ),
        (
            of("setInterface", json!({"port": number, "mtu": 1400})),
            -32602,
            "Invalid params",
            json!(5),
        ),
    ] {
        let response = post(&switch, &body);
        let shown = &body[..body.len().min(80)];
        assert_eq!(response.status, 200, "{shown}");
        let reply = response.json();
        assert_eq!(reply["jsonrpc"], "2.0", "{shown}");
        assert_eq!(reply["id"], id, "{shown}: {reply}");
        assert_eq!(reply["error"]["code"], code, "{shown}: {reply}");
        assert_eq!(reply["error"]["message"], message, "{shown}: {reply}");
        let data = reply["error"]["data"].as_str().expect("text");
        assert!(data.contains(": ") && !data.contains('\n'), "{data}");
        assert!(reply.get("result").is_none());
    }
    assert_eq!(switch.ports().len(), 1, "nothing was added, nothing lost");
}

#[test]
fn the_originals_leniency_is_kept() {
    let switch = Switch::start(&[]);
    let (_socket, number) = switch.open();
    for (port, shut, wanted) in [
        (json!(number), json!(true), true),
        (json!(number.to_string()), json!(0), false),
        (json!(1.9), json!("no"), true),
        (json!(number), Value::Null, true),
        (json!(number), json!([]), false),
    ] {
        let reply = switch.rpc("setPort", &json!({"port": port, "shut": shut, "name": null}));
        assert_eq!(reply["result"]["entries"][0]["shut"], wanted, "{port} {shut}: {reply}");
    }
    // But for what nobody knows, which 1.3 ignores.
    let reply = switch.rpc("listPort", &json!({"unknown": true}));
    assert!(reply["error"]["data"].to_string().contains("unknown param unknown"), "{reply}");
}

#[test]
fn a_port_has_the_originals_members() {
    let switch = Switch::start(&[]);
    let (socket, number) = switch.open();
    let reply = switch.rpc("listPort", &Value::Null);
    let port = reply["result"]["entries"][0].as_object().unwrap();
    for (member, value) in [
        ("port", json!(number)),
        ("type", json!("server")),
        ("target", json!(socket.local_address().to_string())),
        ("tx", json!(0)),
        ("rx", json!(0)),
        ("shut", json!(false)),
    ] {
        assert_eq!(port[member], value, "{member}");
    }
}

#[test]
fn a_batch_is_answered_in_one() {
    let switch = Switch::start(&[]);
    let (_socket, number) = switch.open();
    let method = |name: &str| format!("etherws.control.{name}");
    let replies = call(
        &switch,
        &json!([
            {"jsonrpc": "2.0", "id": 1, "method": method("listPort")},
            {"jsonrpc": "2.0", "method": method("setPort"), "params": {"port": number, "shut": true}},
            {"jsonrpc": "2.0", "id": 2, "method": method("delPort"), "params": {"port": 99}},
            3,
        ]),
    );
    let replies = replies.as_array().unwrap();
    assert_eq!(replies.len(), 3, "a notification has no reply: {replies:?}");
    let by_id = |id: Value| replies.iter().find(|reply| reply["id"] == id).unwrap();
    assert_eq!(by_id(json!(1))["result"]["entries"][0]["port"], number);
    assert_eq!(by_id(json!(2))["error"]["code"], -32602);
    assert_eq!(by_id(Value::Null)["error"]["code"], -32600);
    assert_eq!(switch.port(number)["shut"], true, "the notification was carried out");
}

#[test]
fn a_notification_is_carried_out_and_not_answered() {
    let switch = Switch::start(&[]);
    let (_socket, number) = switch.open();
    let one = json!({"jsonrpc": "2.0", "method": "etherws.control.setPort",
        "params": {"port": number, "shut": true}});
    for body in [one.clone(), json!([one])] {
        let response = post(&switch, &body.to_string());
        assert_eq!((response.status, response.body.as_str()), (204, ""));
    }
    assert_eq!(switch.port(number)["shut"], true);
}

#[test]
fn other_methods_and_paths_are_405_and_404() {
    let switch = Switch::start(&[]);
    let body = r#"{"jsonrpc": "2.0", "method": "etherws.control.listPort", "id": 0}"#;
    for (method, path, status) in [
        ("GET", "/ctl", 405),
        ("PUT", "/ctl", 405),
        ("DELETE", "/ctl", 405),
        ("POST", "/ctl/", 404),
        ("POST", "/", 405),
        ("GET", "/", 200),
        ("GET", "/none", 404),
        ("POST", "/CTL", 404),
        ("POST", "/ctl?query=ignored", 200),
    ] {
        let response = ask(switch.control, method, path, &[], body);
        assert_eq!(response.status, status, "{method} {path}");
    }
}

#[test]
fn a_connection_takes_one_request_after_another() {
    let switch = Switch::start(&[]);
    let mut stream = http::connect(switch.control);
    for id in 0..3 {
        let body =
            json!({"jsonrpc": "2.0", "id": id, "method": "etherws.control.listFdb"}).to_string();
        let host = switch.control.to_string();
        stream.write_all(&http::request("POST", "/ctl", &[("Host", &host)], &body)).unwrap();
        let reply = Response::read(&mut stream).expect("a reply");
        assert_eq!(reply.json()["id"], id);
    }
}

#[test]
fn a_401_is_a_whole_http_reply() {
    let dir = TempDir::new();
    let users = dir.file("users", "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let switch = Switch::start(&["--ctlhtpasswd", &users]);
    let body = r#"{"jsonrpc": "2.0", "method": "etherws.control.listPort", "id": 0}"#;
    let right = basic("alice", "password");
    for (authorization, path, status) in [
        (None, "/ctl", 401),
        (Some(basic("alice", "wrong")), "/ctl", 401),
        (Some(basic("bob", "password")), "/ctl", 401),
        (Some("Basic !!!".to_owned()), "/ctl", 401),
        (Some("Bearer x".to_owned()), "/ctl", 401),
        (Some(right.clone()), "/ctl", 200),
        (Some(right), "/other", 404),
    ] {
        let headers: Vec<_> =
            authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
        let response = ask(switch.control, "POST", path, &headers, body);
        assert_eq!(response.status, status, "{authorization:?} {path}");
        if status == 401 {
            let challenge = response.header("www-authenticate").expect("a challenge");
            assert!(challenge.starts_with("Basic realm="), "{challenge}");
            assert!(response.header("content-length").is_some());
        }
    }
}

#[test]
fn a_body_without_end_is_refused() {
    let switch = Switch::start(&[]);
    let mut stream = http::connect(switch.control);
    let head = "POST /ctl HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let some = [b' '; 1 << 16];
    // The switch may have hung up before it has all of it.
    let refused = (0..4096).any(|_| stream.write_all(&some).is_err());
    if !refused {
        let response = Response::read(&mut stream).expect("a reply");
        assert!((400..500).contains(&response.status), "{response:?}");
    }
    assert_eq!(post(&switch, "{").json()["error"]["code"], -32700);
}

#[test]
fn curl_gets_what_docs_say() {
    need!(tool("curl"));
    let switch = Switch::start(&[]);
    let mut curl = Site::here().command("curl");
    curl.args(["-sS", "--fail", "-H", "Content-Type: application/json"]);
    curl.args(["--data", "@-", switch.control_url()]);
    let body = br#"{"jsonrpc": "2.0", "id": 1, "method": "etherws.control.listPort"}"#;
    let reply = crate::support::process::run_with(curl, body).ok().json();
    assert_eq!(reply["result"]["entries"], json!([]));
    let mut curl = Site::here().command("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", switch.control_url()]);
    assert_eq!(run(curl).ok().stdout, "405");
}

#[test]
fn delport_of_a_server_port_returns_at_once() {
    let switch = Switch::start(&[]);
    // A client that never answers the close frame.
    let (_deaf, number) = switch.open();
    let reply = switch.rpc("delPort", &json!({"port": number}));
    assert_eq!(reply["result"]["entries"][0]["port"], number);
    wait_until("the port's end", || switch.ports().is_empty());
}
