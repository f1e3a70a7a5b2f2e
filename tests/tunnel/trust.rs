//! Files of keys and certificates that are not as they should be, certificates of version 1,
//! pins, and what the log tells of handshakes that fail.

use std::fs;

use crate::support::{
    TempDir,
    certs::{Authority, Certificates},
    need,
    process::Output,
    switch::{Switch, etherws},
    wait_until,
};

/// What a switch with these files says.
fn starts(key: &str, cert: &str) -> Output {
    let control = ["--ctlport", "0", "--host", "127.0.0.3", "--port", "0"];
    etherws(&[&["sw"], &control[..], &["--sslkey", key, "--sslcert", cert]].concat())
}

#[test]
fn what_is_wrong_with_a_file_is_said_by_server_and_client() {
    let certs = need!(Certificates::new());
    let (cert, key) = (&certs.cert, &certs.key);
    certs.openssl("pkey -in server.key -aes256 -passout pass:x -out encrypted.key");
    certs.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out odd.key");
    certs.openssl("req -x509 -key odd.key -subj /CN=odd -days 9 -out odd.pem");
    certs.openssl("x509 -in server.pem -outform der -out server.der");
    certs.openssl("req -new -x509 -key ca.key -subj /CN=other -days 9 -out other.pem");
    let dir = TempDir::new();
    let text = |path: &str| fs::read_to_string(path).unwrap();
    let turned = dir.file("turned.pem", text(&certs.ca) + &text(cert));
    let marked = dir.file("marked.pem", format!("\u{feff}{}", text(cert)));
    let empty = dir.file("empty.pem", "");
    let switch = Switch::start(&[]);
    for (key, cert, part) in [
        (&certs.at("encrypted.key"), cert, "holds an encrypted key"),
        (&certs.at("odd.key"), &certs.at("odd.pem"), "is not supported"),
        (key, &certs.at("server.der"), "is DER"),
        (key, &certs.at("other.pem"), "do not match"),
        (key, &certs.at("server.csr"), "holds a request"),
        (key, &turned, "is number 2, and must be the first"),
        (key, &marked, "byte order mark"),
        (key, &empty, "is empty"),
        (cert, key, "have key and certificate changed places?"),
    ] {
        let server = starts(key, cert).failed().stderr;
        assert!(server.contains(part), "{part} in {server}");
        let add = ["addport", "client", "--cert", cert, "--key", key, "wss://127.0.0.1:9/"];
        let client = switch.ctl(&add).failed().stderr;
        assert!(client.contains(part), "{part} in {client}");
    }
}

#[test]
fn a_certificate_of_version_1_serves_and_is_taken_by_pin_and_unchecked() {
    let certs = need!(Certificates::new());
    certs.openssl("x509 -req -in server.csr -signkey server.key -days 9 -out v1.pem");
    if !certs.openssl("x509 -in v1.pem -noout -text").contains("Version: 1") {
        return crate::support::skipped("tunnel::trust", "this openssl makes no version 1");
    }
    let server = Switch::start(&["--sslkey", &certs.key, "--sslcert", &certs.at("v1.pem")]);
    let (switch, url) = (Switch::start(&[]), server.tls_url());
    switch.add(&["client", "--insecure", &url]);
    let add = ["addport", "client", "--cacerts", &certs.ca, &url];
    let error = switch.ctl(&add).failed().stderr;
    assert!(error.contains("version 1"), "{error}");
    let (_, pin) = error.split_once("--pin ").expect("its pin");
    let pin = pin.split(')').next().unwrap();
    switch.add(&["client", "--pin", pin, &url]);
    let other = format!("sha256:{}", "00".repeat(32));
    for more in [&["--pin", &other][..], &["--insecure", "--pin", &other]] {
        let add = [&["addport", "client"], more, &[&url]].concat();
        let error = switch.ctl(&add).failed().stderr;
        assert!(error.contains(pin) && error.contains("not one of the pinned keys"), "{error}");
    }
    wait_until("both ports", || server.ports().len() == 2);
}

#[test]
fn handshakes_that_fail_are_told_with_peer_and_reason_once_a_minute() {
    let authority = Authority::new();
    let pair = authority.server("server");
    let server = Switch::start(&["--sslkey", &pair.key, "--sslcert", &pair.cert]);
    let other = Authority::new();
    let switch = Switch::start(&[]);
    for _ in 0..3 {
        switch.ctl(&["addport", "client", "--cacerts", &other.ca, &server.tls_url()]).failed();
    }
    let log = &server.process.stderr;
    wait_until("the reason", || log.contains("TLS handshake failed"));
    let lines = log.text();
    let lines: Vec<_> = lines.lines().filter(|line| line.contains("TLS handshake")).collect();
    assert!(lines.len() == 1 && lines[0].contains("peer: 127.0.0.1:"), "{lines:?}");
    assert!(lines[0].contains("the client "), "{lines:?}");
}

#[test]
fn certificates_are_told_of_before_they_expire() {
    let certs = need!(Certificates::new());
    // The authority's certificate is for two days.
    let pem = fs::read_to_string(&certs.cert).unwrap() + &fs::read_to_string(&certs.ca).unwrap();
    let dir = TempDir::new();
    let chain = dir.file("chain.pem", pem);
    let server = Switch::start(&["--sslkey", &certs.key, "--sslcert", &chain]);
    wait_until("a warning", || server.process.stderr.contains("for \"authority\" in "));
    let listed = server.json(&["listcertificate"]);
    assert_eq!(listed[0]["subject"], "authority", "that which expires first");
    assert_eq!(listed[1]["expires"], "2049-12-31T23:59:59Z");
    let key = &certs.key;
    let config = format!("[tunnel.tls]\nkey = \"{key}\"\ncert = \"{chain}\"\n");
    let config = dir.file("etherws.toml", config);
    let checked = etherws(&["check", &config]).ok().stdout;
    assert!(checked.contains("WARNING: the certificate for \"authority\""), "{checked}");
}
