//! Other people's WebSocket libraries and programs at the other end, in both roles.

use crate::support::{
    frame, need,
    peers::Peer,
    switch::Switch,
    wait_until,
    ws::{BINARY, PING, PONG, WebSocket, encode},
};

#[test]
fn foreign_clients_carry_frames_both_ways() {
    for library in ["websockets", "websocket-client"] {
        let switch = Switch::start(&[]);
        let mut peer = need!(Peer::client(library, &switch.url(), &[]));
        let (mut socket, _) = switch.open();
        for length in [14, 60, 125, 126, 1514, 65_550] {
            let sent = frame(255, 1, &vec![1; length - 14]);
            peer.send(&sent);
            socket.expect_frame(&sent);
            let answer = frame(1, 2, &vec![2; length - 14]);
            socket.send_frame(&answer);
            peer.expect_frame(&answer);
        }
        peer.tell("ping aabb");
        assert_eq!(peer.expect("pong")["hex"], "aabb");
        peer.tell("close");
        wait_until("the port's end", || switch.ports().len() == 1);
    }
}

#[test]
fn a_client_that_offers_compression_gets_none() {
    let switch = Switch::start(&[]);
    let mut peer = need!(Peer::client("websockets", &switch.url(), &["--deflate"]));
    let (mut socket, _) = switch.open();
    let sent = frame(255, 1, &[0; 1000]);
    peer.send(&sent);
    socket.expect_frame(&sent);
}

#[test]
fn a_foreign_server_carries_frames_both_ways() {
    let (mut server, port) = need!(Peer::server(&[]));
    let switch = Switch::start(&[]);
    let url = format!("ws://127.0.0.1:{port}/path?query=1");
    let number = switch.add(&["client", &url]);
    let opened = server.expect("open");
    assert_eq!(opened["path"], "/path?query=1");
    let headers = &opened["headers"];
    assert_eq!(headers["host"], format!("127.0.0.1:{port}"));
    assert_eq!(headers["sec-websocket-version"], "13");
    for absent in ["origin", "authorization", "sec-websocket-extensions"] {
        assert!(headers[absent].is_null(), "{absent}: {headers}");
    }
    // The server knows no such thing.
    assert_eq!(headers["sec-websocket-protocol"], "etherws2");
    assert!(headers["user-agent"].as_str().unwrap().starts_with("etherws/"));
    assert_eq!(switch.port(number)["target"], url.replace("=1", "=(secret)"));

    let (mut socket, _) = switch.open();
    for length in [14, 60, 125, 126, 1514, 65_550] {
        let sent = frame(255, 1, &vec![1; length - 14]);
        server.send(&sent);
        socket.expect_frame(&sent);
        let answer = frame(1, 2, &vec![2; length - 14]);
        socket.send_frame(&answer);
        server.expect_frame(&answer);
    }
    server.tell("ping aabb");
    assert_eq!(server.expect("pong")["hex"], "aabb");
    server.tell("text ignored");
    server.send(&frame(255, 1, b"after text"));
    socket.expect_frame(&frame(255, 1, b"after text"));
    assert_eq!(switch.port(number)["text"], 1);

    switch.ctl(&["delport", &number.to_string()]).ok();
    assert_eq!(server.expect("close")["code"], 1000);
    assert!(switch.ports().iter().all(|port| port["port"] != number));
}

#[test]
fn credentials_are_sent_as_basic() {
    let (mut server, port) = need!(Peer::server(&[]));
    let switch = Switch::start(&[]);
    let url = format!("ws://127.0.0.1:{port}/");
    switch.add(&["client", "--user", "alice", "--passwd", "open: sesame", &url]);
    let headers = &server.expect("open")["headers"];
    assert_eq!(headers["authorization"], "Basic YWxpY2U6b3Blbjogc2VzYW1l");
}

#[test]
fn a_client_port_comes_back_when_its_server_closes() {
    let (mut server, port) = need!(Peer::server(&[]));
    let switch = Switch::start(&[]);
    let number = switch.add(&["client", &format!("ws://127.0.0.1:{port}/")]);
    server.expect("open");
    server.tell("close");
    server.expect("open");
    switch.wait_state(number, "up");
    let (mut socket, _) = switch.open();
    server.send(&frame(255, 1, b"again"));
    socket.expect_frame(&frame(255, 1, b"again"));
}

#[test]
fn two_switches_carry_frames_through_a_client_port() {
    let [server, client] = [(); 2].map(|()| Switch::start(&[]));
    let number = client.add(&["client", &server.url()]);
    let (mut near, _) = client.open();
    let (mut far, _) = server.open();
    let sent = frame(255, 1, &[1; 1500]);
    near.send_frame(&sent);
    far.expect_frame(&sent);
    far.send_frame(&frame(1, 2, b"answer"));
    near.expect_frame(&frame(1, 2, b"answer"));
    assert_eq!(client.port(number)["type"], "client");
    assert_eq!(client.port(number)["tx"], 1);
}

/// The emulator v86 in a browser: a query string, compression offered, short frames.
#[test]
fn a_browsers_emulator_gets_in() {
    let switch = Switch::start(&["--allow-origin", "https://v86.example"]);
    let headers = [
        ("Origin", "https://v86.example"),
        ("User-Agent", "Mozilla/5.0"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Cookie", "a=b"),
        ("Accept-Encoding", "gzip, deflate, br"),
    ];
    let mut guest = WebSocket::open_with(switch.tunnel, "/?room=1", &headers).unwrap();
    switch.number_of(&guest);
    // A browser answers by itself.
    let ping = guest.receive().expect("a ping");
    assert_eq!(ping.opcode, PING);
    guest.send(PONG, &ping.payload);
    let (mut other, _) = switch.open();
    for length in 14..=60 {
        let sent = frame(255, 1, &vec![3; length - 14]);
        guest.send_raw(&encode(0x80 | BINARY, &sent));
        other.expect_frame(&sent);
    }
    let answer = frame(1, 2, &[4; 1500]);
    other.send_frame(&answer);
    guest.expect_frame(&answer);
}
