//! What passes through a tunnel: agreed on in the handshake, shown, and plain where one end
//! knows or wants nothing else.

use crate::support::{frame, switch::Switch, wait_until, ws::WebSocket};

/// What the port with this number has as its wire.
fn wire(switch: &Switch, port: u64) -> String {
    let shown = switch.json(&["showport", &port.to_string()]);
    shown[0]["details"]["wire"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn super_frames_pass_whole_where_both_ends_want_it() {
    for (server, client, expected) in [
        (&[][..], &[][..], "super-frames"),
        (&["--wire", "plain"], &[], "plain"),
        (&[], &["--wire", "plain"], "plain"),
        (&["--wire", "super-frames"], &["--wire", "super-frames"], "super-frames"),
    ] {
        let hub = Switch::start(server);
        let leaf = Switch::start(&[]);
        let url = hub.url();
        let port = leaf.add(&[&["client", &url], client].concat());
        leaf.wait_state(port, "up");
        assert_eq!(wire(&leaf, port), expected, "{server:?} {client:?}");
        let session = hub.ports()[0]["port"].as_u64().expect("a number");
        assert_eq!(wire(&hub, session), expected, "{server:?} {client:?}");
    }
}

#[test]
fn a_stranger_gets_finished_frames_unless_he_asks_for_others() {
    let switch = Switch::start(&[]);
    for (offer, answer, shown) in [
        ("", None, "plain"),
        ("binary", None, "plain"),
        ("etherws22, xetherws2", None, "plain"),
        ("binary, etherws2", Some("etherws2"), "super-frames"),
    ] {
        let headers = [("Sec-WebSocket-Protocol", offer)];
        let socket = WebSocket::open_with(switch.tunnel, "/", &headers).expect("a tunnel");
        assert_eq!(socket.response.header("sec-websocket-protocol"), answer, "{offer}");
        let number = switch.number_of(&socket);
        assert_eq!(wire(&switch, number), shown, "{offer}");
    }
}

#[test]
fn a_message_begins_with_its_type_and_what_does_not_fit_is_counted() {
    let switch = Switch::start(&[]);
    let (mut plain, _) = switch.open();
    let headers = [("Sec-WebSocket-Protocol", "etherws2")];
    let mut typed = WebSocket::open_with(switch.tunnel, "/", &headers).expect("a tunnel");
    let number = switch.number_of(&typed);
    let frame = frame(0xff, 2, b"typed");
    let typed_frame = [&[0], &frame[..]].concat();
    // A type that nobody knows, fields that are cut off, and a super-frame of nothing.
    for bad in [&[9, 1, 2][..], &[1, 0, 0], &[1, 0x81, 0, 9, 0, 34, 0, 16, 1, 2, 3]] {
        typed.send_frame(bad);
    }
    typed.send_frame(&typed_frame);
    plain.expect_frame(&frame);
    plain.send_frame(&frame);
    typed.expect_frame(&typed_frame);
    wait_until("what does not fit is counted", || {
        switch.port(number)["discards"]["unknown-offload"] == 2
    });
}
