//! The server's side of the handshake, and the rules about what it never sends.

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use crate::support::{
    TempDir, frame, http, need,
    peers::tool,
    process::{Process, Site, run},
    switch::Switch,
    wait_until,
    ws::{self, WebSocket},
};

/// Longer than the silence after which others are pinged: nothing comes in it.
const SILENCE: Duration = Duration::from_secs(4);

#[test]
fn a_request_is_answered_as_the_original_answers() {
    let switch = Switch::start(&[]);
    let port = switch.tunnel.port();
    let host = format!("127.0.0.1:{port}");
    let origin = format!("http://{host}");
    let foreign = "http://example.org";
    // Changes to a good upgrade; an empty value leaves the header out.
    let table: &[(&[(&str, &str)], u16)] = &[
        (&[], 101),
        (&[("Host", &host), ("Origin", &origin)], 101),
        (&[("Host", "127.0.0.1"), ("Origin", "http://127.0.0.1:80")], 403),
        (&[("Host", &host), ("Origin", foreign)], 403),
        (&[("Host", &host), ("Origin", "null")], 403),
        (&[("Sec-WebSocket-Version", "8")], 426),
        (&[("Sec-WebSocket-Version", "")], 426),
        (&[("Sec-WebSocket-Protocol", "binary")], 101),
        (&[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")], 101),
        (&[("Sec-WebSocket-Key", "")], 400),
        (&[("Sec-WebSocket-Key", "short")], 400),
        (&[("Upgrade", "")], 400),
        (&[("Upgrade", "h2c")], 400),
        (&[("Connection", "")], 400),
        (&[("Connection", "keep-alive, Upgrade")], 101),
        (&[("Upgrade", "WebSocket")], 101),
        (&[("Authorization", "Basic Tm9uZTpOb25l")], 101),
    ];
    for (headers, status) in table {
        match WebSocket::open_with(switch.tunnel, "/", headers) {
            Ok(socket) => {
                assert_eq!(*status, 101, "{headers:?}");
                // Neither is accepted, whoever offers it.
                assert_eq!(socket.response.header("sec-websocket-protocol"), None);
                assert_eq!(socket.response.header("sec-websocket-extensions"), None);
            }
            Err(response) => {
                assert_eq!(response.status, *status, "{headers:?}");
                if *status == 426 {
                    assert_eq!(response.header("sec-websocket-version"), Some("13"));
                }
            }
        }
    }
    for (method, path, status) in [
        ("GET", "/other", 404),
        ("GET", "/?any=query", 101),
        ("POST", "/", 405),
        ("PUT", "/", 405),
        ("GET", "/ctl", 404),
    ] {
        let head = http::request(method, path, &ws::UPGRADE, "");
        let mut stream = http::connect(switch.tunnel);
        std::io::Write::write_all(&mut stream, &head).unwrap();
        let response = http::Response::read_head(&mut stream).expect("a reply");
        assert_eq!(response.status, status, "{method} {path}");
    }
}

#[test]
fn another_origin_is_let_in_where_it_is_allowed() {
    let page = "https://v86.example";
    for (allowed, origin, status) in
        [(page, page, 101), (page, "https://other.example", 403), ("*", "http://any.example", 101)]
    {
        let switch = Switch::start(&["--allow-origin", allowed]);
        let opened = WebSocket::open_with(switch.tunnel, "/", &[("Origin", origin)]);
        assert_eq!(opened.map_or_else(|response| response.status, |_| 101), status);
    }
}

#[test]
fn curl_is_answered_by_status() {
    need!(tool("curl"));
    let switch = Switch::start(&[]);
    let url = format!("http://{}", switch.tunnel);
    for (path, status) in [("/", "400"), ("/other", "404")] {
        let mut curl = Site::here().command("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", &format!("{url}{path}")]);
        assert_eq!(run(curl).ok().stdout, status, "{path}");
    }
}

#[test]
fn an_idle_tunnel_is_silent() {
    let switch = Switch::start(&[]);
    let (mut socket, _) = switch.open();
    assert!(socket.is_silent_for(SILENCE), "a ping would freeze the original's client");
}

#[test]
fn both_ends_send_segments_no_longer_than_the_mss_of_either() {
    // Of a connection as its other end sees it; loopback carries 64 KiB.
    let segments = |socket: &TcpStream| SockRef::from(socket).tcp_mss().unwrap();
    let dir = TempDir::new();
    let listen = |mss: &str| {
        format!(
            "[tunnel]\nhost = \"127.0.0.1\"\nport = 0\n{mss}\n\
             [control]\nhost = \"127.0.0.2\"\nport = 0\n"
        )
    };
    let file = dir.file("etherws.toml", listen("mss = 700"));
    let switch = Switch::start(&["--config", &file]);
    let open = || segments(&WebSocket::open(switch.tunnel, "/").into_tcp());
    assert!(open() <= 700, "{}", open());
    // Another one counts from the next connection on, and so does none.
    for (mss, range) in [("mss = 900", 701..=900), ("", 1400..=65_536)] {
        std::fs::write(&file, listen(mss)).unwrap();
        assert_eq!(switch.json(&["reload"]).len(), 1);
        assert!(range.contains(&open()), "{mss}: {}", open());
    }
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    let asked = switch.ctl_command(&["addport", "client", "--mss", "600", &url]);
    let _asking = Process::start(asked);
    let (client, _) = server.accept().unwrap();
    assert!(segments(&client) <= 600, "{}", segments(&client));
}

#[test]
fn frames_come_and_go_whole_whatever_their_length() {
    let switch = Switch::start(&[]);
    let (mut one, number) = switch.open();
    let (mut other, _) = switch.open();
    // Around the three forms of a message's length, up to the longest frame.
    let lengths = [14, 15, 60, 125, 126, 127, 1514, 1518, 65_535, 65_536, 65_550];
    for length in lengths {
        let sent = frame(255, 1, &vec![0xa5; length - 14]);
        one.send_frame(&sent);
        other.expect_frame(&sent);
    }
    wait_until("the counts", || switch.port(number)["rx"] == lengths.len());
}

#[test]
fn a_known_address_gets_its_frames_alone() {
    let switch = Switch::start(&[]);
    let [(mut a, _), (mut b, _), (mut c, _)] = [(); 3].map(|()| switch.open());
    a.send_frame(&frame(255, 1, b"learn a"));
    b.expect_frame(&frame(255, 1, b"learn a"));
    c.expect_frame(&frame(255, 1, b"learn a"));
    b.send_frame(&frame(1, 2, b"to a"));
    a.expect_frame(&frame(1, 2, b"to a"));
    // Back where it came from: dropped, and not flooded either.
    a.send_frame(&frame(1, 3, b"to itself"));
    a.send_frame(&frame(255, 1, b"to all"));
    for socket in [&mut b, &mut c] {
        socket.expect_frame(&frame(255, 1, b"to all"));
    }
    assert_eq!(switch.port(1)["discards"]["same-port"], 1);
    assert!(a.is_silent_for(Duration::from_millis(50)));
}

#[test]
fn vlans_are_learned_apart_and_their_tags_kept() {
    let switch = Switch::start(&[]);
    let [(mut a, _), (mut b, _), (mut c, _)] = [(); 3].map(|()| switch.open());
    let tagged = |to: u8, from: u8, tci: u16| {
        let mut octets = frame(to, from, b"");
        octets.splice(12..12, [[0x81, 0x00], tci.to_be_bytes()].concat());
        octets
    };
    // Priority 5, VLAN 10: the priority is no part of the VLAN's identity.
    a.send_frame(&tagged(255, 1, 0xa00a));
    for socket in [&mut b, &mut c] {
        socket.expect_frame(&tagged(255, 1, 0xa00a));
    }
    b.send_frame(&tagged(1, 2, 10));
    a.expect_frame(&tagged(1, 2, 10));
    // The same address in another VLAN is unknown: a flood.
    b.send_frame(&tagged(1, 2, 11));
    a.expect_frame(&tagged(1, 2, 11));
    c.expect_frame(&tagged(1, 2, 11));
    let fdb = switch.json(&["listfdb"]);
    let seen: Vec<_> = fdb.iter().map(|entry| entry["vid"].as_u64().unwrap()).collect();
    assert_eq!(seen, [10, 10, 11]);
}

#[test]
fn a_vanished_ports_addresses_go_at_once() {
    let switch = Switch::start(&[]);
    let (mut one, _) = switch.open();
    let (mut other, _) = switch.open();
    one.send_frame(&frame(255, 1, b"x"));
    other.expect_frame(&frame(255, 1, b"x"));
    drop(one);
    wait_until("an empty table", || switch.json(&["listfdb"]).is_empty());
    assert_eq!(switch.ports().len(), 1);
}

#[test]
fn an_instance_counts_under_its_own_user_alone_and_only_in_its_form() {
    let dir = TempDir::new();
    let secret = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
    let users = dir.file("users", format!("alice:{secret}\nbob:{secret}\n"));
    let switch = Switch::start(&["--htpasswd", &users]);
    let id = "0123456789abcdef0123456789abcdef";
    let open = |user: &str, id: &str| {
        let basic = http::basic(user, "secret");
        let headers = [("Authorization", basic.as_str()), ("Etherws-Instance", id)];
        let socket = WebSocket::open_with(switch.tunnel, "/", &headers).expect("101");
        let number = switch.number_of(&socket);
        (socket, number)
    };
    let (mut former, _) = open("alice", id);
    assert_eq!(former.response.header("etherws-instance"), Some(id), "given back");
    let (_bob, bob) = open("bob", id);
    let (_site, site) = open("alice", &id.replace('0', "f"));
    for malformed in ["0123", "x123456789abcdef0123456789abcdef"] {
        let (stranger, _) = open("alice", malformed);
        assert_eq!(stranger.response.header("etherws-instance"), None);
        open("alice", malformed);
    }
    wait_until("the strangers' end", || switch.ports().len() == 3);

    let (_again, again) = open("alice", id);
    former.expect_close(1000);
    let numbers: Vec<_> = switch.ports().iter().map(|port| port["port"].clone()).collect();
    assert_eq!(numbers, [bob, site, again]);
    let report = switch.json(&["showport", &bob.to_string()]).remove(0);
    assert_eq!(report["details"]["user"], "bob");
}
