//! Who may do what by control, and what is noted of it.

use nix::unistd::geteuid;
use serde_json::Value;

use crate::support::{
    TempDir,
    certs::{Authority, Pair},
    http, need,
    process::{Site, run, run_with},
    switch::{ETHERWS, Switch, etherws},
    wait_until,
    ws::WebSocket,
};

/// A switch whose control asks for passwords, and its file.
fn switch(dir: &TempDir, roles: &str) -> (Switch, String) {
    for user in ["alice", "bob", "carol", "dave"] {
        let mut passwd = Site::here().command(ETHERWS);
        passwd.args(["passwd", &dir.at("admins"), user]);
        run_with(passwd, b"secret\n").ok();
    }
    let text = format!(
        "[tunnel]\nhost = \"127.0.0.1\"\nport = 0\n[control]\nhost = \"127.0.0.2\"\nport = 0\n\
         htpasswd = \"admins\"\n[control.roles]\n{roles}"
    );
    let file = dir.file("etherws.toml", text);
    (Switch::start(&["--config", &file]), file)
}

fn ctl(switch: &Switch, user: &str, words: &[&str]) -> crate::support::process::Output {
    let login =
        ["ctl", "--ctlurl", switch.control_url(), "--ctluser", user, "--ctlpasswd", "secret"];
    etherws(&[&login[..], words].concat())
}

const ROLES: &str = "admin = [\"alice\"]\noperator = [\"bob\"]\nviewer = [\"carol\"]\n";

#[test]
fn each_role_may_do_what_it_is_for_and_no_more() {
    let dir = TempDir::new();
    let (switch, file) = switch(&dir, ROLES);
    let _session = WebSocket::open(switch.tunnel, "/");
    wait_until("the session", || switch.process.stderr.contains("port is up"));
    let may = |user: &str, words: &[&str]| match ctl(&switch, user, words) {
        output if output.code == Some(0) => Ok(()),
        output => Err(output.stderr),
    };
    let (list, set) = (&["listport"][..], &["setport", "1", "--max-macs", "7"][..]);
    let (token, capture) = (&["createtoken", "--user", "u"][..], &["capture", "-c", "0"][..]);
    for (user, allowed) in [
        ("alice", [true; 3]),
        ("bob", [true, true, false]),
        ("carol", [true, false, false]),
        ("dave", [false; 3]),
    ] {
        for (words, allowed) in [list, set, token].into_iter().zip(allowed) {
            assert_eq!(may(user, words).is_ok(), allowed, "{user} {words:?}");
        }
    }
    let refused = may("carol", set).unwrap_err();
    assert!(refused.contains("setport is for the role operator, and carol has the role viewer"));
    assert!(may("dave", list).unwrap_err().contains("dave has no role here"));
    assert!(may("bob", capture).is_err());
    // What is served beside the RPC keeps to it as well.
    let status = |user: &str, path: &str| {
        let login = base64(&format!("{user}:secret"));
        http::ask(switch.control, "GET", path, &[("Authorization", &login)], "").status
    };
    assert_eq!((status("carol", "/metrics"), status("carol", "/capture?count=0")), (200, 403));
    assert_eq!((status("dave", "/metrics"), status("bob", "/capture")), (403, 403));
    // Who may not set anything up has no long request read, and who may ask nothing none.
    let ask = |user: &str, octets: usize| {
        let login = base64(&format!("{user}:secret"));
        let params = "x".repeat(octets);
        let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "etherws.control.delPort",
            "params": {"port": 1, "name": params}});
        let host = switch.control.to_string();
        let headers = [("Authorization", login.as_str()), ("Host", &host)];
        http::ask(switch.control, "POST", "/ctl", &headers, &body.to_string())
    };
    assert_eq!((ask("bob", 500_000).status, ask("carol", 500_000).status), (200, 413));
    let denied = ask("dave", 500_000);
    assert!(denied.status == 200 && denied.body.contains("dave has no role here"), "{denied:?}");
    // Files of the host are for those who may read them anyway.
    let add = |user: &str, options: &[&str]| {
        may(user, &[&["addport", "client", "wss://127.0.0.1:1/"], options].concat()).unwrap_err()
    };
    for file in ["/etc/shadow", "/no/such/file"] {
        let refused = add("bob", &["--cacerts", file]);
        assert!(refused.contains("cacerts is for the role admin"), "{refused}");
        assert_eq!(refused, add("bob", &["--cacerts", file, "--cert", file, "--key", file]));
        let refused = add("bob", &["--cert", file, "--key", file]);
        assert!(refused.contains("cert is for the role admin"), "{refused}");
    }
    assert!(add("alice", &["--cacerts", "/no/such/file"]).contains("/no/such/file"));
    // Others count at once when the file is read again.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[\"carol\"]", "[\"dave\"]")).unwrap();
    let changes = ctl(&switch, "alice", &["reload"]).ok().stdout;
    assert!(changes.contains("control.roles"), "{changes}");
    assert!(may("dave", list).is_ok() && may("carol", list).is_err());
}

fn base64(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn each_change_is_noted_with_who_from_where_what_before_and_after() {
    let dir = TempDir::new();
    let (switch, _) = switch(&dir, ROLES);
    let _session = WebSocket::open(switch.tunnel, "/");
    wait_until("the session", || switch.process.stderr.contains("port is up"));
    ctl(&switch, "bob", &["setport", "1", "--max-macs", "7"]).ok();
    ctl(&switch, "bob", &["setport", "1", "--max-macs", "9"]).ok();
    ctl(&switch, "carol", &["delport", "1"]).failed();
    ctl(&switch, "alice", &["createtoken", "--user", "u"]).ok();
    ctl(
        &switch,
        "alice",
        &["addport", "client", "ws://127.0.0.1:1/", "--user", "x", "--passwd", "pw2"],
    )
    .failed();
    ctl(&switch, "alice", &["capture", "-w", &dir.at("x.pcapng"), "--duration", "1"]).ok();
    let events = ctl(&switch, "alice", &["--json", "events", "--event", "control"]).ok().json();
    let [first, second, refused, token, add, capture] = &events.as_array().unwrap()[..] else {
        panic!("{events:#}")
    };
    let has = |event: &Value, wanted: [(&str, &str); 4]| {
        for (name, wanted) in wanted {
            assert!(event[name].as_str().unwrap().contains(wanted), "{name}: {event}");
        }
    };
    has(
        first,
        [("user", "bob"), ("from", "127.0.0."), ("before", "default"), ("after", "max-macs 7")],
    );
    has(
        second,
        [
            ("method", "setPort"),
            ("params", "\"max-macs\":9"),
            ("before", "max-macs 7"),
            ("after", "max-macs 9"),
        ],
    );
    has(
        refused,
        [
            ("user", "carol"),
            ("method", "delPort"),
            ("outcome", "for the role operator"),
            ("after", ""),
        ],
    );
    has(
        token,
        [("after", "a token for u until"), ("user", "alice"), ("outcome", "ok"), ("before", "")],
    );
    has(add, [("method", "addPort"), ("params", "(secret)"), ("outcome", ""), ("user", "alice")]);
    has(
        capture,
        [("method", "capture"), ("user", "alice"), ("params", "duration=1"), ("outcome", "ok")],
    );
    let log = switch.process.stderr.text();
    assert!(log.contains("control, user: bob, from: 127.0.0."), "{log}");
    // What is denied is told by source, however often somebody tries.
    (0..20).for_each(|_| drop(ctl(&switch, "carol", &["delport", "1"]).failed()));
    let log = switch.process.stderr.text();
    assert_eq!(log.matches("user: carol").count(), 1, "{log}");
    assert!(log.contains("control refused a call, peer: 127.0.0."), "{log}");
    assert!(!log.contains("pw2") && !events.to_string().contains("pw2"), "{log}");
}

#[test]
fn options_and_settings_are_changed_together_or_not_at_all() {
    let (server, switch) = (Switch::start(&[]), Switch::start(&[]));
    switch.add(&["client", &server.url(), "--name", "uplink"]);
    switch.add(&["client", &server.url(), "--name", "other"]);
    let is_as_before = || {
        let port = switch.port(1);
        port["target"] == server.url() && port["name"] == "uplink" && port["state"] == "up"
    };
    let good = format!("{}?key=hidden", server.url());
    for bad in [
        ["--url", &good, "--name", "other"],
        ["--url", "ftp://h/", "--description", "x"],
        ["--cacerts", "/no/such/file", "--description", "x"],
        ["--url", &good, "--mac", "02:00:00:00:00:01"],
    ] {
        switch.ctl(&[&["setport", "1"][..], &bad].concat()).failed();
        assert!(is_as_before(), "{bad:?}: {}", switch.port(1));
        assert!(switch.port(1)["description"].is_null(), "{bad:?}");
    }
    let all = ["setport", "1", "--url", &good, "--name", "far", "--description", "x"];
    switch.ctl(&all).ok();
    switch.wait_state(1, "up");
    let port = switch.port(1);
    assert_eq!((&port["name"], &port["description"]), (&"far".into(), &"x".into()));
    // Wherever the URL is shown, what may be a secret in it is not.
    let shown = format!("{}?key=(secret)", server.url());
    assert_eq!(port["target"], shown);
    for words in [
        &["showport", "far"][..],
        &["status"],
        &["events"],
        &["doctor", "far"],
        &["listport", "-l"],
    ] {
        let told = switch.ctl(words).ok().stdout;
        assert!(told.contains("?key=(secret)") && !told.contains("hidden"), "{words:?}: {told}");
    }
    let metrics = http::ask(switch.control, "GET", "/metrics", &[], "").body;
    assert!(!metrics.contains("hidden"), "{metrics}");
    assert!(!switch.process.stderr.contains("hidden"), "{}", switch.process.stderr.text());
}

#[test]
fn the_name_of_a_client_certificate_has_a_role() {
    let authority = Authority::new();
    let Pair { cert, key } = authority.server("server");
    let tls = ["--ctlsslkey", &key, "--ctlsslcert", &cert, "--ctlsslclientca", &authority.ca];
    let switch =
        Switch::start(&[&tls[..], &["--ctloperator", "alice", "--ctlviewer", "bob"]].concat());
    let _session = WebSocket::open(switch.tunnel, "/");
    wait_until("the session", || switch.process.stderr.contains("port is up"));
    let switch = switch.with_ctl(&["--ctlsslcert", &authority.ca]);
    let (list, set) = (&["listport"][..], &["setport", "1", "--max-macs", "7"][..]);
    for (name, allowed) in [("alice", [true, true]), ("bob", [true, false]), ("carol", [false; 2])]
    {
        let own = authority.client(name);
        let login = ["--ctlcert", &own.cert, "--ctlkey", &own.key];
        for (words, allowed) in [list, set].into_iter().zip(allowed) {
            let output = switch.ctl(&[&login[..], words].concat());
            assert_eq!(output.code == Some(0), allowed, "{name}: {output:?}");
        }
    }
}

#[test]
fn on_the_unix_socket_accounts_and_their_groups_have_roles() {
    need!(if geteuid().is_root() { Ok(()) } else { Err("only root may be others".to_owned()) });
    let dir = TempDir::new();
    let socket = dir.at("control");
    let args = ["--ctlsock", &socket, "--ctlviewer", "@daemon", "--ctloperator", "nobody"];
    let switch = Switch::start(&args);
    let _session = WebSocket::open(switch.tunnel, "/");
    wait_until("the session", || switch.process.stderr.contains("port is up"));
    let url = format!("unix:{socket}");
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let as_user = |user: &str, words: &[&str]| {
        let id = |flag: &str| {
            let mut id = Site::here().command("id");
            id.args([flag, user]);
            run(id).ok().stdout.trim().to_owned()
        };
        let mut setpriv = Site::here().command("setpriv");
        setpriv.args(["--reuid", &id("-u"), "--regid", &id("-g"), "--init-groups"]);
        setpriv.args([ETHERWS, "ctl", "--ctlurl", &url]).args(words);
        run(setpriv).code == Some(0)
    };
    let (list, set) = (&["listport"][..], &["setport", "1", "--max-macs", "7"][..]);
    assert!(as_user("root", &["createtoken", "--user", "u"]));
    assert!(as_user("nobody", set) && !as_user("nobody", &["createtoken", "--user", "u"]));
    assert!(as_user("daemon", list) && !as_user("daemon", set));
    assert!(!as_user("games", list));
    wait_until("the log", || switch.process.stderr.contains("user: nobody, from: unix, process"));
}
