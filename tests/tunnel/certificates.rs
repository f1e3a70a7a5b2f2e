//! Certificates: clients that must show one, and files that are renewed while tunnels
//! are up.

use std::{fs, os::unix::fs::symlink, path::Path};

use nix::sys::signal::Signal;

use crate::support::{
    TempDir,
    certs::{Authority, Pair},
    frame, http,
    process::usage,
    switch::Switch,
    wait_until,
    ws::WebSocket,
};

/// `alice` and `bob`, both with the password "password".
const USERS: &str =
    "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";

/// A switch that lets in only whom `clients` vouches for.
fn server(authority: &Authority, clients: &Authority, more: &[&str]) -> Switch {
    let Pair { cert, key } = authority.server("server");
    let tls = ["--sslkey", &key, "--sslcert", &cert, "--sslclientca", &clients.ca];
    Switch::start(&[&tls[..], more].concat())
}

/// What `addport client` needs to show `own`.
fn client<'a>(authority: &'a Authority, own: &'a Pair) -> Vec<&'a str> {
    vec!["client", "--cacerts", &authority.ca, "--cert", &own.cert, "--key", &own.key]
}

#[test]
fn a_certificate_lets_its_owner_in_by_name() {
    let authority = Authority::new();
    let server = server(&authority, &authority, &[]);
    let switch = Switch::start(&[]);
    let alice = authority.client("alice");
    switch.add(&[&client(&authority, &alice)[..], &[&server.tls_url()]].concat());
    wait_until("the session", || server.ports().len() == 1);
    wait_until("its name", || server.process.stderr.contains("user: alice"));
}

#[test]
fn a_certificate_that_is_revoked_ends_its_sessions_and_lets_nobody_in() {
    let authority = Authority::new();
    let dir = TempDir::new();
    let file = dir.file("revoked", "# nobody yet\n");
    let server = server(&authority, &authority, &["--sslrevoked", &file]);
    let url = server.tls_url();
    let of_serial = |name: &'static str, serial: u64| {
        authority.sign(&format!("{name}{serial}"), |params| {
            params.serial_number = Some(serial.into());
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
        })
    };
    // Two machines of alice, and one of bob.
    let owners = [of_serial("alice", 0x0a1b), of_serial("alice", 0x0a1c), of_serial("bob", 7)];
    let switches: Vec<_> = owners
        .iter()
        .map(|own| {
            let switch = Switch::start(&[]);
            switch.add(&[&client(&authority, own)[..], &[&url]].concat());
            switch
        })
        .collect();
    let users = || {
        let ports = server.ports();
        let mut users: Vec<_> =
            ports.iter().map(|port| port["user"].as_str().unwrap().to_owned()).collect();
        users.sort_unstable();
        users
    };
    wait_until("all sessions", || users() == ["alice", "alice", "bob"]);
    fs::write(&file, "serial:0A:1B\n").unwrap();
    wait_until("the end of one", || users() == ["alice", "bob"]);
    let refused = || switches[0].port(1)["error"].to_string().contains("403");
    wait_until("its refusal", refused);
    fs::write(&file, "serial:0A:1B\nbob\n").unwrap();
    wait_until("the end of bob's", || users() == ["alice"]);
    fs::write(&file, "").unwrap();
    wait_until("all of them again", || users() == ["alice", "alice", "bob"]);
}

#[test]
fn nobody_else_is_let_in() {
    let (authority, others) = (Authority::new(), Authority::new());
    let server = server(&authority, &authority, &[]);
    let switch = Switch::start(&[]);
    let url = server.tls_url();
    let expired = authority.sign("expired", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let nameless = authority.sign("nameless", |_| ());
    for (own, said) in [
        (others.client("alice"), "does not accept our client certificate"),
        (expired, "does not accept our client certificate"),
        (nameless, "403"),
    ] {
        let output =
            switch.ctl(&[&["addport"], &client(&authority, &own)[..], &[&url]].concat()).failed();
        assert!(output.stderr.contains(said), "{}", output.stderr);
        assert!(output.stderr.contains(&url), "{}", output.stderr);
    }
    let none = ["addport", "client", "--cacerts", &authority.ca, &url];
    let output = switch.ctl(&none).failed();
    assert!(output.stderr.contains("403"), "{}", output.stderr);
    assert!(output.stderr.contains("give a client certificate (--cert"), "{}", output.stderr);
    // Half of it, or none that could be shown.
    let alice = authority.client("alice");
    for (own, said) in [
        (vec!["--cert", &alice.cert], "both"),
        (vec!["--cert", &alice.cert, "--key", "/missing"], "/missing"),
        (vec!["--cert", &authority.ca, "--key", &alice.key], "do not match"),
    ] {
        let output = switch.ctl(&[&["addport", "client"], &own[..], &[&url]].concat()).failed();
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    assert!(server.ports().is_empty() && switch.ports().is_empty());
}

#[test]
fn a_missing_certificate_is_told_by_http_and_a_false_one_by_tls() {
    let (authority, others) = (Authority::new(), Authority::new());
    let dir = TempDir::new();
    let users = dir.file("users", USERS);
    let server = server(&authority, &authority, &["--htpasswd", &users]);
    let login = http::basic("alice", "password");
    // With a password that is right, and before one that is wrong is looked at.
    for headers in [&[][..], &[("Authorization", login.as_str())], &[("Authorization", "Basic x")]]
    {
        let refused = WebSocket::open_tls(server.tunnel, &authority.ca, "/", headers).unwrap_err();
        assert_eq!((refused.status, refused.header("www-authenticate")), (403, None));
        assert!(refused.body.contains("A client certificate is required"), "{}", refused.body);
    }
    // What is at no service is nobody's secret.
    let other = WebSocket::open_tls(server.tunnel, &authority.ca, "/other", &[]).unwrap_err();
    assert_eq!(other.status, 404);
    assert_eq!(counter(&server, "tls-failures"), 0);
    let switch = Switch::start(&[]);
    let wrong = others.client("alice");
    let url = server.tls_url();
    switch.ctl(&[&["addport"], &client(&authority, &wrong)[..], &[&url]].concat()).failed();
    wait_until("the failed handshake", || counter(&server, "tls-failures") == 1);
    assert_eq!(counter(&server, "refused-authentication"), 3);
}

/// A counter of the tunnel's listener.
fn counter(switch: &Switch, name: &str) -> u64 {
    switch.json(&["showserver"])[0]["counters"][name].as_u64().unwrap()
}

#[test]
fn password_and_certificate_must_agree() {
    let authority = Authority::new();
    let dir = TempDir::new();
    let users = dir.file("users", USERS);
    let server = server(&authority, &authority, &["--htpasswd", &users]);
    let switch = Switch::start(&[]);
    let alice = authority.client("alice");
    let (client, url) = (client(&authority, &alice), server.tls_url());
    let add = |more: &[&str]| switch.ctl(&[&["addport"], &client[..], more, &[&url]].concat());
    for more in [&[][..], &["--user", "bob", "--passwd", "password"]] {
        let output = add(more).failed();
        assert!(output.stderr.contains("401"), "{}", output.stderr);
    }
    assert!(server.ports().is_empty());
    add(&["--user", "alice", "--passwd", "password"]).ok();
    wait_until("the session", || server.ports().len() == 1);
}

#[test]
fn control_may_ask_for_a_certificate_too() {
    let authority = Authority::new();
    let Pair { cert, key } = authority.server("server");
    let tls = ["--ctlsslkey", &key, "--ctlsslcert", &cert, "--ctlsslclientca", &authority.ca];
    let switch = Switch::start(&tls).with_ctl(&["--ctlsslcert", &authority.ca]);
    let output = switch.ctl(&["listport"]).failed();
    assert!(output.stderr.contains("--ctlcert FILE"), "{}", output.stderr);
    let admin = authority.client("admin");
    switch.ctl(&["--ctlcert", &admin.cert, "--ctlkey", &admin.key, "listport"]).ok();
}

#[test]
fn who_checks_nothing_is_told_at_each_connect() {
    let authority = Authority::new();
    let Pair { cert, key } = authority.server("server");
    let server = Switch::start(&["--sslkey", &key, "--sslcert", &cert]);
    let switch = Switch::start(&[]);
    let url = server.tls_url();
    let number = switch.add(&["client", "--insecure", &url]);
    let warnings = || {
        let text = switch.process.stderr.text();
        text.lines().filter(|line| line.contains("not checked") && line.contains(&url)).count()
    };
    wait_until("a warning", || warnings() == 1);
    let session = server.ports()[0]["port"].to_string();
    server.ctl(&["delport", &session]).ok();
    wait_until("another one", || warnings() == 2);
    switch.wait_state(number, "up");
}

/// A folder as certbot keeps it: what `live` points to is exchanged as a whole.
struct Live(TempDir);

impl Live {
    fn swap(&self, version: &str, pair: &Pair) {
        let folder = self.0.path().join(version);
        fs::create_dir(&folder).unwrap();
        fs::copy(&pair.cert, folder.join("cert.pem")).unwrap();
        fs::copy(&pair.key, folder.join("key.pem")).unwrap();
        let (new, live) = (self.0.path().join("new"), self.0.path().join("live"));
        symlink(version, &new).unwrap();
        fs::rename(new, live).unwrap();
    }

    fn switch(&self) -> Switch {
        let (key, cert) = (self.0.at("live/key.pem"), self.0.at("live/cert.pem"));
        Switch::start(&["--sslkey", &key, "--sslcert", &cert])
    }
}

/// Whether the switch shows a certificate of this CA.
fn shows(switch: &Switch, authority: &Authority) -> bool {
    let ca = Path::new(&authority.ca);
    WebSocket::try_tls(switch.tunnel, ca).is_ok()
}

#[test]
fn renewed_certificates_count_for_new_connections_and_sessions_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let live = Live(TempDir::new());
    live.swap("1", &old.server("server"));
    let switch = live.switch();
    let mut one = WebSocket::open_tls(switch.tunnel, &old.ca, "/", &[]).unwrap();
    let mut other = WebSocket::open_tls(switch.tunnel, &old.ca, "/", &[]).unwrap();
    switch.number_of(&one);
    switch.number_of(&other);
    live.swap("2", &new.server("server"));
    wait_until("the new certificate", || shows(&switch, &new));
    assert!(!shows(&switch, &old));
    one.send_frame(&frame(255, 1, b"still here"));
    other.expect_frame(&frame(255, 1, b"still here"));
}

#[test]
fn certificates_swapped_under_load_cost_no_frame_and_no_memory() {
    let authorities = [Authority::new(), Authority::new()];
    let live = Live(TempDir::new());
    live.swap("0", &authorities[0].server("server"));
    let switch = live.switch();
    let mut one = WebSocket::open_tls(switch.tunnel, &authorities[0].ca, "/", &[]).unwrap();
    let mut other = WebSocket::open_tls(switch.tunnel, &authorities[0].ca, "/", &[]).unwrap();
    switch.number_of(&one);
    switch.number_of(&other);
    let payload = [7; 1400];
    let mut pass = || {
        for (src, dst) in [(1, 2), (2, 1)] {
            let sent = frame(dst, src, &payload);
            let (from, to) = if src == 1 { (&mut one, &mut other) } else { (&mut other, &mut one) };
            from.send_frame(&sent);
            to.expect_frame(&sent);
        }
    };
    (0..500).for_each(|_| pass());
    let before = usage(switch.process.pid());
    for turn in 1..6 {
        let new = &authorities[turn % 2];
        live.swap(&turn.to_string(), &new.server("server"));
        wait_until("the new certificate", || {
            (0..100).for_each(|_| pass());
            shows(&switch, new)
        });
    }
    let after = usage(switch.process.pid());
    assert!(after.resident_kib <= before.resident_kib * 11 / 10 + 1024, "{after:?}, {before:?}");
    wait_until("descriptors as before", || {
        usage(switch.process.pid()).descriptors == before.descriptors
    });
}

#[test]
fn broken_certificates_keep_the_old_ones_and_are_told() {
    let authority = Authority::new();
    let live = Live(TempDir::new());
    live.swap("1", &authority.server("server"));
    let switch = live.switch();
    let log = &switch.process.stderr;
    let cert = live.0.at("live/cert.pem");
    fs::write(&cert, "no certificate").unwrap();
    wait_until("a complaint", || log.contains("keeping the previous ones"));
    assert!(log.find(|line| line.contains(&cert).then_some(())).is_some());
    assert!(shows(&switch, &authority));
    // Those of another key: told again, and refused again.
    fs::copy(&authority.client("other").cert, &cert).unwrap();
    wait_until("another complaint", || log.contains("do not match"));
    assert!(shows(&switch, &authority));
}

#[test]
fn sighup_reads_certificates_again_and_says_so() {
    let (old, new) = (Authority::new(), Authority::new());
    let live = Live(TempDir::new());
    live.swap("1", &old.server("server"));
    let switch = live.switch();
    live.swap("2", &new.server("server"));
    switch.process.signal(Signal::SIGHUP);
    wait_until("a line in the log", || switch.process.stderr.contains("certificates read again"));
    assert!(shows(&switch, &new));
}
