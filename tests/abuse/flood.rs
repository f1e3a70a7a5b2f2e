//! Floods and odd frames from a peer: addresses without end, a storm of broadcasts,
//! and what is Ethernet but seldom seen.

use serde_json::Value;

use crate::support::{
    frame,
    switch::Switch,
    wait_until,
    ws::{BINARY, WebSocket, encode},
};

/// Everything that `showport` says of a port.
fn report(switch: &Switch, number: u64) -> Value {
    switch.json(&["showport", &number.to_string()]).remove(0)
}

fn counter(switch: &Switch, number: u64, name: &str) -> u64 {
    report(switch, number)["counters"][name].as_u64().unwrap_or_else(|| panic!("no {name}"))
}

/// Frames in messages, many to a write.
fn send_all(socket: &mut WebSocket, frames: impl Iterator<Item = Vec<u8>>) {
    let mut octets = Vec::new();
    for frame in frames {
        octets.extend(encode(0x80 | BINARY, &frame));
        if octets.len() > 60_000 {
            socket.send_raw(&octets);
            octets.clear();
        }
    }
    socket.send_raw(&octets);
}

/// Reads until `wanted` comes.
fn find(socket: &mut WebSocket, wanted: &[u8]) {
    while socket.receive().expect("a message, not the end").payload != wanted {}
}

/// Resident memory, in KiB.
fn memory(switch: &Switch) -> u64 {
    let path = format!("/proc/{}/status", switch.process.pid());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_hundred_thousand_addresses_fill_one_ports_share_and_no_more() {
    let switch = Switch::start(&[]);
    let ((mut a, number), mut b) =
        (switch.open(), WebSocket::open_from([127, 0, 0, 7], switch.tunnel));
    let mut c = WebSocket::open_from([127, 0, 0, 8], switch.tunnel);
    b.send_frame(&frame(255, 2, b"here I am"));
    find(&mut c, &frame(255, 2, b"here I am"));
    a.send_frame(&frame(255, 1, b"and I"));
    find(&mut c, &frame(255, 1, b"and I"));
    let before = memory(&switch);
    // Xorshift: sources that neither repeat nor have an order. They write to A's own
    // side of the switch, so that nobody has to read what is about learning alone.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let frames = (0..100_000).map(|_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut frame = frame(1, 0, b"flood");
        frame[6..12].copy_from_slice(&random.to_be_bytes()[..6]);
        frame[6] = 2;
        frame
    });
    send_all(&mut a, frames);
    wait_until("all of it", || counter(&switch, number, "frame-rx") == 100_001);
    let seen = report(&switch, number);
    assert_eq!(seen["limits"]["macs"]["value"], 8192, "{seen}");
    assert_eq!(seen["limits"]["macs"]["limit"], "8192");
    let refused = seen["counters"]["learned-entry-discards"].as_u64().unwrap();
    assert!((91_000..=91_809).contains(&refused), "{refused}");
    assert!(memory(&switch) < before + 16 * 1024, "{} KiB from {before}", memory(&switch));
    assert!(switch.process.stderr.contains("forwarding database is full"));
    // Others are learned as before, and what was known still is.
    c.send_frame(&frame(2, 3, b"to B alone"));
    find(&mut b, &frame(2, 3, b"to B alone"));
    b.send_frame(&frame(3, 2, b"to C alone"));
    find(&mut c, &frame(3, 2, b"to C alone"));
    let fdb = switch.json(&["listfdb"]);
    assert_eq!(fdb.len(), 8192 + 2);
    switch.ctl(&["flushfdb", &number.to_string()]).ok();
    assert_eq!(switch.json(&["listfdb"]).len(), 2);
}

#[test]
fn a_broadcast_storm_is_cut_to_its_limit_and_unicast_goes_on() {
    let switch = Switch::start(&["--storm-broadcast", "100/400"]);
    // B is somebody else: ports of one address share what is limited.
    let ((mut a, number), mut b) =
        (switch.open(), WebSocket::open_from([127, 0, 0, 7], switch.tunnel));
    let (mut c, _) = switch.open();
    b.send_frame(&frame(255, 2, b"here I am"));
    find(&mut c, &frame(255, 2, b"here I am"));
    send_all(&mut a, (0..20_000_u32).map(|n| frame(255, 1, &n.to_be_bytes())));
    wait_until("all of it", || counter(&switch, number, "frame-rx") == 20_000);
    let cut = counter(&switch, number, "discard-storm-broadcast");
    assert!((15_000..=19_600).contains(&cut), "{cut}");
    assert!(switch.process.stderr.contains("storm: frames over the limit"));
    // Who sends the storm may still talk to one station; others may do all they like.
    a.send_frame(&frame(2, 1, b"to B"));
    find(&mut b, &frame(2, 1, b"to B"));
    b.send_frame(&frame(255, 2, b"to all"));
    find(&mut c, &frame(255, 2, b"to all"));
    switch.ctl(&["setport", "--storm-broadcast", "off", &number.to_string()]).ok();
    send_all(&mut a, (0..1000_u32).map(|n| frame(255, 1, &n.to_be_bytes())));
    wait_until("all of it", || counter(&switch, number, "frame-rx") == 21_001);
    assert_eq!(counter(&switch, number, "discard-storm-broadcast"), cut);
}

#[test]
fn odd_frames_pass_as_they_are() {
    let switch = Switch::start(&[]);
    let ((mut a, number), (mut b, _)) = (switch.open(), switch.open());
    let addresses = frame(255, 1, b"")[..12].to_vec();
    for (what, rest) in [
        ("VLAN 0", vec![0x81, 0x00, 0xe0, 0x00, 0x08, 0x00, 1]),
        ("VLAN 4095", vec![0x81, 0x00, 0xff, 0xff, 0x08, 0x00, 1]),
        ("two customer tags", vec![0x81, 0x00, 0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00, 1]),
        ("a service tag", vec![0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00, 1]),
        ("LLC", vec![0, 3, 0x42, 0x42, 3]),
        ("SNAP", vec![0, 8, 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0]),
        ("a length over what is there", vec![0x05, 0xdc, 1]),
        ("no payload", vec![0x08, 0x00]),
        ("no payload behind a tag", vec![0x81, 0x00, 0, 5, 0x08, 0x00]),
        ("experiments of somebody else", vec![0x88, 0xb5, 1, 2, 3]),
    ] {
        let frame = [addresses.clone(), rest].concat();
        a.send_frame(&frame);
        let message = b.receive().expect("a message, not the end");
        assert_eq!(message.payload, frame, "{what}");
    }
    // Cut inside the tag, or no header at all.
    for short in [&[addresses.clone(), vec![0x81, 0x00, 0]].concat()[..], &addresses, &[0xff], &[]]
    {
        a.send_frame(short);
    }
    wait_until("four discards", || counter(&switch, number, "discard-on-error") == 4);
    a.send_frame(&frame(255, 1, b"the end"));
    b.expect_frame(&frame(255, 1, b"the end"));
}

#[test]
fn a_loop_detect_frame_of_another_switch_is_passed_on_and_blocks_nothing() {
    let (switch, other) = (Switch::start(&[]), Switch::start_guarded(&[]));
    let (mut from_other, _) = other.open();
    let probe = from_other.receive().expect("one at once when the port comes up").payload;
    assert_eq!((probe.len(), &probe[..6]), (60, &[3, b'e', b't', b'h', b'w', b's'][..]));
    let ((mut a, number), (mut b, _)) = (switch.open(), switch.open());
    for _ in 0..10 {
        a.send_frame(&probe);
        b.expect_frame(&probe);
    }
    assert_eq!(switch.port(number)["state"], "up");
    assert!(switch.json(&["listfdb"]).is_empty());
    // Where it comes from it shows a reflector, and blocks nothing either.
    from_other.send_frame(&probe);
    let number = other.ports()[0]["port"].as_u64().unwrap();
    wait_until("its return", || counter(&other, number, "returned-probes") == 1);
    assert_eq!(other.port(number)["state"], "up");
}
