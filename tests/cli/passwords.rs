//! Passwords: asked for, and never shown.

use std::fs;

use crate::support::{
    TempDir, http, need,
    peers::{self, Peer},
    process::{run, run_with},
    switch::{ETHERWS, Switch},
    wait_for, wait_until,
    ws::WebSocket,
};

/// The password is "top-secret".
const USERS: &str = "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n";

/// A switch that wants a password, for tunnel and control.
fn guarded(dir: &TempDir) -> Switch {
    let users = dir.file("users", USERS);
    Switch::start(&["--htpasswd", &users, "--ctlhtpasswd", &users])
}

#[test]
fn standard_input_gives_passwords_in_the_originals_order() {
    let dir = TempDir::new();
    let server = guarded(&dir);
    let users = dir.file("control", "bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let switch = Switch::start(&["--ctlhtpasswd", &users]);
    let add = ["--ctluser", "bob", "addport", "client", "--user", "alice", &server.url()];
    // The client port's comes first.
    run_with(switch.ctl_command(&add), b"top-secret\npassword\n").ok();
    let output = run_with(switch.ctl_command(&add), b"").failed();
    assert!(output.stderr.contains("Client Password: "), "{}", output.stderr);
    assert!(!output.stdout.contains("secret"));
}

#[test]
fn a_terminal_is_asked_without_echo() {
    let dir = TempDir::new();
    let switch = guarded(&dir);
    let python = need!(peers::python());
    let mut command = switch.site.command(python);
    command.args([&peers::script("on_terminal.py"), "Control Password: ", "top-secret", ETHERWS]);
    command.args(["ctl", "--ctlurl", switch.control_url(), "--ctluser", "alice", "listport"]);
    let output = run(command).ok();
    assert!(output.stdout.contains("Control Password: "), "{output:?}");
    assert!(output.stdout.contains("Port  Type"), "{output:?}");
    assert!(!output.stdout.contains("top-secret"), "{output:?}");
}

#[test]
fn a_password_appears_nowhere() {
    let dir = TempDir::new();
    let server = guarded(&dir);
    let switch = Switch::start(&["--debug"]);
    let add = ["addport", "client", "--user", "alice", "--passwd", "top-secret", &server.url()];
    switch.ctl(&add).ok();
    let proxy = "http://bob:top-secret@127.0.0.9:9";
    switch.ctl(&["addport", "client", "--proxy", proxy, "ws://192.0.2.9/"]).failed();
    let wrong = ["addport", "client", "--user", "alice", "--passwd", "top-secret-not"];
    let failed = switch.ctl(&[&wrong[..], &[&server.url()]].concat()).failed();
    let pid = switch.process.pid();
    let of = |name: &str| {
        let octets = fs::read(format!("/proc/{pid}/{name}")).unwrap();
        String::from_utf8_lossy(&octets).into_owned()
    };
    for shown in [
        switch.ctl(&["listport"]).ok().stdout,
        switch.ctl(&["--json", "listport"]).ok().stdout,
        failed.stdout + &failed.stderr,
        of("cmdline"),
        of("environ"),
        switch.process.stderr.text(),
        server.process.stderr.text(),
    ] {
        assert!(!shown.contains("top-secret"), "{shown}");
        assert!(!shown.contains(&http::basic("alice", "top-secret")), "{shown}");
    }
}

#[test]
fn a_lost_connection_comes_back_with_its_password() {
    let dir = TempDir::new();
    let users = dir.file("users", USERS);
    let switch = Switch::start(&[]);
    let server = Switch::start(&["--htpasswd", &users]);
    let add = ["client", "--user", "alice", "--passwd", "top-secret", &server.url()];
    let number = switch.add(&add);
    let ports = server.ports();
    let there = ports[0]["port"].as_u64().unwrap();
    server.ctl(&["delport", &there.to_string()]).ok();
    wait_for("another port over there", || {
        server.ports().first().filter(|port| port["port"] != there).map(|_| ())
    });
    switch.wait_state(number, "up");
}

#[test]
fn a_401_is_told_from_other_refusals() {
    let dir = TempDir::new();
    let server = guarded(&dir);
    let switch = Switch::start(&[]);
    let output = switch.ctl(&["addport", "client", &server.url()]).failed();
    assert!(output.stderr.contains("401") && output.stderr.contains("--user"), "{output:?}");
    let output = server.ctl(&["listport"]).failed();
    assert!(output.stderr.contains("401"), "{output:?}");
    assert!(output.stderr.contains("--ctluser"), "{output:?}");
}

#[test]
fn apaches_htpasswd_writes_files_that_we_read_again_when_they_change() {
    need!(peers::tool("htpasswd"));
    let dir = TempDir::new();
    let path = dir.at("users");
    let htpasswd = |args: &[&str]| {
        let mut command = crate::support::process::Site::here().command("htpasswd");
        command.args(args);
        run(command).ok();
    };
    htpasswd(&["-scb", &path, "alice", "first: pass"]);
    let switch = Switch::start(&["--htpasswd", &path]);
    let status = |user, password| {
        let login = http::basic(user, password);
        match WebSocket::open_with(switch.tunnel, "/", &[("Authorization", &login)]) {
            Ok(_) => 101,
            Err(response) => response.status,
        }
    };
    assert_eq!(status("alice", "first: pass"), 101);
    assert_eq!(status("alice", "second"), 401);
    assert_eq!(status("bob", "first: pass"), 401);
    htpasswd(&["-sb", &path, "bob", "second"]);
    wait_for_log(&switch, "htpasswd file read again");
    assert_eq!(status("bob", "second"), 101);
    assert_eq!(status("alice", "first: pass"), 101);
    // A file that is gone lets nobody in; one that is back lets in who is in it.
    fs::rename(&path, dir.at("away")).unwrap();
    wait_for_log(&switch, "logins are refused until the file can be read");
    assert_eq!(status("alice", "first: pass"), 401);
    fs::rename(dir.at("away"), &path).unwrap();
    wait_until("alice", || status("alice", "first: pass") == 101);
}

fn wait_for_log(switch: &Switch, text: &str) {
    wait_until(text, || switch.process.stderr.contains(text));
}

#[test]
fn a_foreign_client_is_let_in_with_its_password() {
    let dir = TempDir::new();
    let switch = guarded(&dir).with_ctl(&["--ctluser", "alice", "--ctlpasswd", "top-secret"]);
    for library in ["websockets", "websocket-client"] {
        let _peer = need!(Peer::client(library, &switch.url(), &["--user", "alice:top-secret"]));
    }
}
