//! htpasswd files: written by `etherws passwd`, read again, and refused where they are
//! not understood.

use std::{fs, os::unix::fs::PermissionsExt as _};

use nix::sys::signal::Signal;

use crate::support::{
    TempDir, http, need, peers,
    process::{Output, Site, run_with},
    switch::{ETHERWS, Switch, command, etherws},
    wait_until,
    ws::WebSocket,
};

fn passwd(args: &[&str], input: &str) -> Output {
    let all = [&["passwd"], args].concat();
    run_with(command(&Site::here(), &all), input.as_bytes())
}

fn open(switch: &Switch, user: &str, password: &str) -> Result<WebSocket, u16> {
    let login = http::basic(user, password);
    let opened = WebSocket::open_with(switch.tunnel, "/", &[("Authorization", &login)]);
    opened.map_err(|response| response.status)
}

#[test]
fn passwd_writes_what_sw_reads_and_a_removed_user_is_sent_away() {
    let dir = TempDir::new();
    let path = dir.at("users");
    passwd(&[&path, "alice"], "first\n").ok();
    passwd(&[&path, "bob"], "second\n").ok();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let content = fs::read_to_string(&path).unwrap();
    assert!(content.lines().all(|line| line.contains(":$2y$12$")), "{content}");

    let switch = Switch::start(&["--htpasswd", &path]);
    let mut alice = open(&switch, "alice", "first").unwrap();
    let mut bob = open(&switch, "bob", "second").unwrap();
    assert_eq!(open(&switch, "alice", "second").err(), Some(401));
    wait_until("both ports", || switch.ports().len() == 2);

    // A new password: the session stays, and the next needs it.
    passwd(&[&path, "alice"], "third\n").ok();
    // Trying it until it is right would count as guessing.
    wait_until("the new password", || switch.process.stderr.contains("htpasswd file read again"));
    assert!(open(&switch, "alice", "third").is_ok());
    assert_eq!(open(&switch, "alice", "first").err(), Some(401));

    passwd(&["-D", &path, "alice"], "").ok();
    alice.expect_close(1008);
    assert_eq!(open(&switch, "alice", "third").err(), Some(401));
    wait_until("the line in the log", || {
        let line = |line: &str| {
            (line.contains("its user was removed") && line.contains("user: alice")).then_some(())
        };
        switch.process.stderr.find(line).is_some()
    });
    let frame = crate::support::frame(255, 1, b"still there");
    let mut other = open(&switch, "bob", "second").unwrap();
    wait_until("two ports of bob", || switch.ports().len() == 2);
    other.send_frame(&frame);
    bob.expect_frame(&frame);
    passwd(&["-D", &path, "alice"], "").failed();
}

#[test]
fn passwd_asks_a_terminal_without_echo() {
    let dir = TempDir::new();
    let path = dir.at("users");
    let python = need!(peers::python());
    let mut command = Site::here().command(python);
    let prompt = "assword for alice: ";
    command.args([&peers::script("on_terminal.py"), prompt, "top-secret", ETHERWS]);
    command.args(["passwd", &path, "alice"]);
    let output = run_with(command, b"").ok();
    assert!(!output.stdout.contains("top-secret"), "{output:?}");
    assert_eq!(output.stdout.matches(prompt).count(), 2, "{output:?}");
    assert!(fs::read_to_string(&path).unwrap().starts_with("alice:$2y$"));
}

#[test]
fn a_line_of_an_unknown_kind_is_refused_at_the_start_without_being_shown() {
    let dir = TempDir::new();
    let good = "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n";
    for bad in ["bob:hunter2\n", "bob:hsDyoIreOJ1cU\n", "hunter2hsDyo\n"] {
        let path = dir.file("users", format!("{good}{bad}"));
        let output = etherws(&["sw", "--foreground", "--htpasswd", &path]).failed();
        assert!(output.stderr.contains(&path) && output.stderr.contains("line 2"), "{output:?}");
        let secret = output.stderr.contains("hunter2") || output.stderr.contains("hsDyo");
        assert!(!secret, "{output:?}");
    }
}

#[test]
fn a_broken_file_changes_nothing_and_sighup_reads_again() {
    let dir = TempDir::new();
    let good = "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n";
    let path = dir.file("users", good);
    let switch = Switch::start(&["--htpasswd", &path]);
    let mut alice = open(&switch, "alice", "top-secret").unwrap();
    dir.file("users", format!("{good}bob:plain\n"));
    let logged = |text: &str| {
        wait_until(text, || switch.process.stderr.contains(text));
    };
    logged("htpasswd file is invalid");
    assert!(open(&switch, "alice", "top-secret").is_ok());
    dir.file("users", good);
    logged("htpasswd file read again");
    switch.process.signal(Signal::SIGHUP);
    logged("reloading");
    let again = || switch.process.stderr.text().matches("htpasswd file read again").count() >= 2;
    wait_until("another reading", again);
    alice.send_frame(&crate::support::frame(255, 1, b"x"));
    assert!(switch.process.stderr.text().matches("plain").count() == 0);
}
