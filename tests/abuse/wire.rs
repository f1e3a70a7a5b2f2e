//! What a WebSocket server must refuse, octet by octet (RFC 6455), and that nobody
//! else notices.

use crate::support::{
    frame,
    switch::Switch,
    wait_until,
    ws::{self, BINARY, PING, PONG, TEXT, encode, head},
};

/// A masked head that announces `length` in the 64-bit form.
fn announce(length: u64) -> Vec<u8> {
    let mut octets = vec![0x82, 0xff];
    octets.extend(length.to_be_bytes());
    octets.extend([1, 2, 3, 4]);
    octets
}

/// A masked head with a length in a form longer than needed.
fn long_form(form: u8, length: &[u8]) -> Vec<u8> {
    [&[0x82, 0x80 | form], length, &[0; 4], &[0; 60]].concat()
}

#[test]
fn each_breach_ends_the_connection_with_its_code() {
    let unmasked = [head(0x82, 60), vec![0; 60]].concat();
    let table: &[(&str, Vec<u8>, u16)] = &[
        ("not masked", unmasked, 1002),
        ("reserved bit 1", encode(0xc2, &[0; 60]), 1002),
        ("reserved bit 2", encode(0xa2, &[0; 60]), 1002),
        ("reserved bit 3", encode(0x92, &[0; 60]), 1002),
        ("opcode 3", encode(0x83, &[0; 60]), 1002),
        ("opcode 7", encode(0x87, &[0; 60]), 1002),
        ("opcode 11", encode(0x8b, b""), 1002),
        ("opcode 15", encode(0x8f, b""), 1002),
        ("16-bit form of 60", long_form(126, &[0, 60]), 1002),
        ("64-bit form of 60", long_form(127, &[0, 0, 0, 0, 0, 0, 0, 60]), 1002),
        ("2^63", announce(1 << 63), 1002),
        ("2^64 - 1", announce(u64::MAX), 1002),
        ("2^63 - 1", announce((1 << 63) - 1), 1009),
        ("2^32", announce(1 << 32), 1009),
        ("one too long", announce(65_567), 1009),
        ("too long in parts", [encode(0x02, &[0; 65_000]), encode(0x00, &[0; 567])].concat(), 1009),
        ("ping in parts", encode(PING, b""), 1002),
        ("long ping", encode(0x89, &[0; 126]), 1002),
        ("continuation of nothing", encode(0x80, &[0; 60]), 1002),
        ("message in a message", [encode(0x02, b"a"), encode(0x82, b"b")].concat(), 1002),
        ("close of one octet", encode(0x88, &[3]), 1002),
        ("close 999", encode(0x88, &999_u16.to_be_bytes()), 1002),
        ("close 1005", encode(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close 1006", encode(0x88, &1006_u16.to_be_bytes()), 1002),
        ("close 5000", encode(0x88, &5000_u16.to_be_bytes()), 1002),
        ("close without UTF-8", encode(0x88, &[3, 0xe8, 0xff]), 1007),
    ];
    let switch = Switch::start(&[]);
    let (mut bystander, number) = switch.open();
    for (what, octets, code) in table {
        let (mut socket, _) = switch.open();
        socket.send_raw(octets);
        let message = socket.receive().unwrap_or_else(|| panic!("{what}: no close frame"));
        assert_eq!(message.close_code(), Some(*code), "{what}");
        socket.send(ws::CLOSE, &message.payload);
        socket.expect_end();
    }
    wait_until("their ports' end", || switch.ports().len() == 1);
    // None of it was a frame, and the others' ports are as they were.
    let (mut other, _) = switch.open();
    other.send_frame(&frame(255, 1, b"after"));
    bystander.expect_frame(&frame(255, 1, b"after"));
    assert_eq!(switch.port(number)["tx"], 1);
}

#[test]
fn every_length_is_taken_up_to_the_longest_frame() {
    let switch = Switch::start(&[]);
    let (mut socket, number) = switch.open();
    let lengths = (0..=70).chain([125, 126, 127, 1518, 65_535, 65_536, 65_550]);
    let mut frames = 0;
    for length in lengths {
        socket.send_raw(&encode(0x82, &vec![0x5a; length]));
        socket.send(PING, &length.to_be_bytes());
        let pong = socket.receive().unwrap_or_else(|| panic!("{length} octets ended it"));
        assert_eq!((pong.opcode, &pong.payload[..]), (PONG, &length.to_be_bytes()[..]));
        frames += 1;
    }
    wait_until("the count", || {
        let port = switch.port(number);
        let refused = port["discards"]["on-error"].as_u64().unwrap();
        // The octets are no VLAN tag: 14 of them are a frame.
        (port["rx"].as_u64(), refused) == (Some(frames), 14)
    });
    for length in [65_567, 1 << 16 | 1 << 15, 1 << 31, (1 << 63) - 1] {
        let (mut socket, _) = switch.open();
        socket.send_raw(&announce(length));
        socket.expect_close(1009);
    }
    for length in [1 << 63, u64::MAX] {
        let (mut socket, _) = switch.open();
        socket.send_raw(&announce(length));
        socket.expect_close(1002);
    }
}

#[test]
fn every_reserved_opcode_is_refused_in_every_form() {
    let switch = Switch::start(&[]);
    for opcode in (3..=7).chain(11..=15) {
        for fin in [0x80, 0] {
            for payload in [&b""[..], &[0; 60], &[0; 300]] {
                let (mut socket, _) = switch.open();
                socket.send_raw(&encode(fin | opcode, payload));
                socket.expect_close(1002);
            }
        }
    }
}

#[test]
fn a_close_is_answered_with_its_code() {
    let switch = Switch::start(&[]);
    for (payload, answer) in [
        (&[][..], &[][..]),
        (&[3, 0xe8], &[3, 0xe8]),
        (&[3, 0xe9, b'b', b'y', b'e'], &[3, 0xe9]),
        (&[0x0f, 0xa0], &[0x0f, 0xa0]),
    ] {
        let (mut socket, _) = switch.open();
        socket.send(ws::CLOSE, payload);
        let message = socket.receive().expect("a close frame");
        assert_eq!((message.opcode, message.payload.as_slice()), (ws::CLOSE, answer));
        socket.expect_end();
    }
}

#[test]
fn a_message_in_parts_is_one_frame() {
    let switch = Switch::start(&[]);
    let (mut one, number) = switch.open();
    let (mut other, _) = switch.open();
    let whole = frame(255, 1, b"in three parts");
    one.send_raw(&encode(BINARY, &whole[..3]));
    // Control frames may come between.
    one.send_raw(&encode(0x80 | PING, b"between"));
    one.send_raw(&encode(0x00, &whole[3..3]));
    one.send_raw(&encode(0x80, &whole[3..]));
    other.expect_frame(&whole);
    let pong = one.receive().expect("a pong");
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, &b"between"[..]));
    wait_until("the count", || switch.port(number)["rx"] == 1);
}

#[test]
fn octets_may_arrive_one_by_one() {
    let switch = Switch::start(&[]);
    let (mut one, _) = switch.open();
    let (mut other, _) = switch.open();
    let sent = frame(255, 1, &[9; 200]);
    for octet in encode(0x82, &sent) {
        one.send_raw(&[octet]);
    }
    other.expect_frame(&sent);
}

#[test]
fn a_ping_is_answered_and_a_pong_is_not() {
    let switch = Switch::start(&[]);
    let (mut socket, _) = switch.open();
    socket.send(PONG, b"unasked");
    for payload in [&b""[..], &[0; 125]] {
        socket.send(PING, payload);
        let pong = socket.receive().expect("a pong");
        assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, payload));
    }
}

#[test]
fn text_is_ignored_and_counted() {
    let switch = Switch::start(&[]);
    let (mut one, number) = switch.open();
    let (mut other, _) = switch.open();
    one.send(TEXT, &frame(255, 1, b"as text"));
    one.send_frame(&frame(255, 1, b"as it should be"));
    other.expect_frame(&frame(255, 1, b"as it should be"));
    let port = switch.port(number);
    assert_eq!((&port["text"], &port["rx"]), (&1.into(), &1.into()));
}

#[test]
fn short_frames_are_discarded_and_counted() {
    let switch = Switch::start(&[]);
    let (mut one, number) = switch.open();
    let (mut other, _) = switch.open();
    let mut cut = frame(255, 1, b"");
    cut[12..14].copy_from_slice(&[0x81, 0x00]);
    let short = frame(255, 1, b"");
    for bad in [&[][..], &[0xff], &[0xff; 7], &short[..13], &cut] {
        one.send_frame(bad);
    }
    // 14 octets are a frame: foreign programs do not pad.
    one.send_frame(&short);
    other.expect_frame(&short);
    wait_until("the counts", || switch.port(number)["discards"]["on-error"] == 5);
}
