//! Tunnels over TLS, with certificates made by openssl: right, wrong, and the rule of
//! one message a record.

use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    sync::{Arc, Mutex},
};

use crate::support::{
    certs::Certificates,
    frame, http, need,
    peers::Peer,
    process::{Process, Site, run},
    switch::Switch,
    wait_until,
    ws::{self, WebSocket, encode},
};

fn tls_switch(certs: &Certificates) -> Switch {
    Switch::start(&["--sslkey", &certs.key, "--sslcert", &certs.cert])
}

#[test]
fn a_client_port_verifies_against_cacerts() {
    let certs = need!(Certificates::new());
    let server = tls_switch(&certs);
    let switch = Switch::start(&[]);
    let by_address = server.tls_url().replace("localhost", "127.0.0.1");
    for url in [server.tls_url(), by_address] {
        let number = switch.add(&["client", "--cacerts", &certs.ca, &url]);
        switch.ctl(&["delport", &number.to_string()]).ok();
    }
    switch.add(&["client", "--cacerts", &certs.ca, &server.tls_url()]);
    let (mut near, _) = switch.open();
    wait_until("one port there", || server.ports().len() == 1);
    let mut far = WebSocket::open_tls(server.tunnel, &certs.ca, "/", &[]).unwrap();
    server.number_of(&far);
    let sent = frame(255, 1, &[1; 1500]);
    near.send_frame(&sent);
    far.expect_frame(&sent);
    far.send_frame(&frame(1, 2, b"answer"));
    near.expect_frame(&frame(1, 2, b"answer"));
}

#[test]
fn cacerts_may_be_named_from_where_ctl_is() {
    let certs = need!(Certificates::new());
    let server = tls_switch(&certs);
    let switch = Switch::start(&[]);
    let ca = Path::new(&certs.ca);
    let name = ca.file_name().and_then(OsStr::to_str).unwrap();
    let add = |cacerts: &str| {
        let url = server.tls_url();
        switch.ctl_command(&["addport", "client", "--cacerts", cacerts, &url])
    };
    let mut there = add(name);
    there.current_dir(ca.parent().unwrap());
    run(there).ok();
    let error = run(add(name)).failed().stderr;
    assert!(error.contains(name) && error.contains("full path"), "{error}");
}

#[test]
fn a_wrong_certificate_is_told_in_one_line() {
    let certs = need!(Certificates::new());
    let others = need!(Certificates::new());
    let switch = Switch::start(&[]);
    let expired = certs.sign("expired.pem", "DNS:localhost", "20210101000000Z");
    let named = certs.sign("named.pem", "DNS:example.org", "20491231235959Z");
    for (cert, ca, word) in [
        (&certs.cert, Some(&others.ca), "--cacerts"),
        (&certs.cert, None, "--cacerts"),
        (&expired, Some(&certs.ca), "expired"),
        (&named, Some(&certs.ca), "localhost"),
    ] {
        let server = Switch::start(&["--sslkey", &certs.key, "--sslcert", cert]);
        let url = server.tls_url();
        let mut add = vec!["addport", "client"];
        if let Some(ca) = ca {
            add.extend(["--cacerts", ca]);
        }
        let output = switch.ctl(&[&add[..], &[&url]].concat()).failed();
        for word in [word, &url, "--insecure"] {
            assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
        }
        assert!(switch.ports().is_empty());
        // Asked not to look, it does not.
        switch.add(&["client", "--insecure", &url]);
        let number = switch.ports()[0]["port"].to_string();
        switch.ctl(&["delport", &number]).ok();
        wait_until("the port's end", || switch.ports().is_empty());
    }
}

#[test]
fn plain_and_tls_do_not_mix() {
    let certs = need!(Certificates::new());
    let (plain, tls) = (Switch::start(&[]), tls_switch(&certs));
    let switch = Switch::start(&[]);
    let to_plain = format!("wss://{}/", plain.tunnel);
    let to_tls = format!("ws://{}/", tls.tunnel);
    for url in [to_plain, to_tls] {
        let output = switch.ctl(&["addport", "client", "--insecure", &url]).failed();
        assert!(output.stderr.contains(&url), "{}", output.stderr);
    }
    assert!(switch.ports().is_empty());
}

#[test]
fn foreign_programs_speak_tls_with_us() {
    let certs = need!(Certificates::new());
    let server = tls_switch(&certs);
    let mut far = WebSocket::open_tls(server.tunnel, &certs.ca, "/", &[]).unwrap();
    server.number_of(&far);
    for library in ["websockets", "websocket-client"] {
        let mut peer = need!(Peer::client(library, &server.tls_url(), &["--ca", &certs.ca]));
        far.send_frame(&frame(255, 2, b"learn"));
        peer.expect_frame(&frame(255, 2, b"learn"));
        peer.send(&frame(2, 1, &[7; 1500]));
        far.expect_frame(&frame(2, 1, &[7; 1500]));
    }
    let (mut foreign, port) = need!(Peer::server(&["--cert", &certs.cert, "--key", &certs.key]));
    let switch = Switch::start(&[]);
    let url = format!("wss://localhost:{port}/");
    switch.add(&["client", "--cacerts", &certs.ca, &url]);
    assert_eq!(foreign.expect("open")["headers"]["host"], format!("localhost:{port}"));
    let (mut near, _) = switch.open();
    near.send_frame(&frame(255, 1, &[8; 1500]));
    foreign.expect_frame(&frame(255, 1, &[8; 1500]));
    foreign.send(&frame(1, 2, b"answer"));
    near.expect_frame(&frame(1, 2, b"answer"));
}

#[test]
fn openssl_s_client_verifies_us_and_gets_101() {
    let certs = need!(Certificates::new());
    let server = tls_switch(&certs);
    let address = server.tunnel.to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut command = Site::here().command("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", version]);
        command.args(["-verify_hostname", "localhost", "-servername", "localhost"]);
        command.args(["-CAfile", &certs.ca, "-connect", &address]);
        let mut client = Process::start(command);
        let head = http::request("GET", "/", &ws::UPGRADE, "");
        client.tell(String::from_utf8(head).unwrap().trim_end_matches('\n'));
        wait_until("101", || client.stdout.contains("101 Switching Protocols"));
    }
}

/// Keeps what TCP brings, as it is.
struct Record {
    tcp: TcpStream,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Read for Record {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.tcp.read(buffer)?;
        self.seen.lock().unwrap().extend(&buffer[..length]);
        Ok(length)
    }
}

impl Write for Record {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.tcp.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// How many TLS records of application data (type 23) the octets hold.
fn application_records(mut octets: &[u8]) -> usize {
    let mut records = 0;
    while let [kind, _, _, high, low, rest @ ..] = octets {
        records += usize::from(*kind == 23);
        octets = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..).expect("a record");
    }
    records
}

/// The original's client reads one message a record, and sends no User-Agent.
#[test]
fn each_message_is_a_record_to_a_client_without_user_agent() {
    let certs = need!(Certificates::new());
    let server = tls_switch(&certs);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = |tcp| Record { tcp, seen: Arc::clone(&seen) };
    let mut old = WebSocket::open_tls_over(server.tunnel, &certs.ca, "/", &[], record).unwrap();
    server.number_of(&old);
    let mut sender = WebSocket::open_tls(server.tunnel, &certs.ca, "/", &[]).unwrap();
    server.number_of(&sender);
    seen.lock().unwrap().clear();
    // In one record, so that the switch has them all at once.
    let frames: Vec<_> = (0..20).map(|round| frame(255, 1, &[round; 100])).collect();
    sender.send_raw(&frames.iter().flat_map(|frame| encode(0x82, frame)).collect::<Vec<_>>());
    for frame in &frames {
        old.expect_frame(frame);
    }
    assert_eq!(application_records(&seen.lock().unwrap()), frames.len());
}
