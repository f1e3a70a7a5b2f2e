//! The codec against RFC 6455, and against itself.

use proptest::{collection::vec, prelude::*};

use crate::tunnel::codec::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as the peer of `role` sends it.
fn frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = (role == Role::Server).then_some(KEY);
    let header = Header::new(Opcode::Binary, payload.len(), mask);
    let mut octets = header.as_slice().to_vec();
    octets[0] = first;
    let at = octets.len();
    octets.extend_from_slice(payload);
    if let Some(mask) = mask {
        mask_copy(&mut octets[at..], payload, mask);
    }
    octets
}

impl Decoder {
    /// The next whole message, taken off the start of `buf`; every binary one as
    /// [`binary`].
    pub(in crate::tunnel) fn next(
        &mut self,
        buf: &mut BytesMut,
    ) -> Result<Option<Event>, ProtocolError> {
        loop {
            let mut at = 0;
            let event = self.decode(buf, &mut at)?;
            let taken = buf.split_to(at).freeze();
            match event {
                Some(Event::Fragment(_)) => {}
                Some(Event::Binary(place)) => return Ok(Some(binary(taken.slice(place)))),
                event => return Ok(event),
            }
        }
    }
}

/// What [`Decoder::next`] gives for a binary message.
pub(in crate::tunnel) fn binary(data: impl Into<Bytes>) -> Event {
    Event::Fragmented(data.into())
}

fn decode_all(decoder: &mut Decoder, buf: &mut BytesMut) -> Result<Vec<Event>, ProtocolError> {
    std::iter::from_fn(|| decoder.next(buf).transpose()).collect()
}

fn decode(role: Role, octets: &[u8]) -> Result<Vec<Event>, ProtocolError> {
    decode_all(&mut Decoder::new(role, MAX_MESSAGE_LEN), &mut BytesMut::from(octets))
}

#[test]
fn the_examples_of_rfc_6455_are_read() {
    let text = Event::Text(5);
    assert_eq!(decode(Role::Client, b"\x81\x05Hello"), Ok(vec![text.clone()]));
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode(Role::Server, &masked), Ok(vec![text.clone()]));
    assert_eq!(decode(Role::Client, b"\x01\x03Hel\x80\x02lo"), Ok(vec![text]));
    let ping = Event::Ping(Bytes::from_static(b"Hello"));
    assert_eq!(decode(Role::Client, b"\x89\x05Hello"), Ok(vec![ping]));
    assert_eq!(decode(Role::Client, b"\x88\x02\x03\xe8"), Ok(vec![close_event(1000)]));
    assert_eq!(decode(Role::Client, b"\x88\x00"), Ok(vec![Event::Close(None, "".into())]));
    assert_eq!(
        decode(Role::Client, b"\x88\x04\x0b\xb8ok"),
        Ok(vec![Event::Close(CloseCode::new(3000), "ok".into())])
    );
}

fn close_event(code: u16) -> Event {
    Event::Close(CloseCode::new(code), "".into())
}

#[test]
fn an_unfragmented_message_is_not_copied() {
    for role in [Role::Client, Role::Server] {
        let octets = frame(role, 0x82, &[7; 1514]);
        let (mut block, mut at) = (octets.clone(), 0);
        let event = Decoder::new(role, MAX_MESSAGE_LEN).decode(&mut block, &mut at);
        assert_eq!(event, Ok(Some(Event::Binary(octets.len() - 1514..octets.len()))));
        assert_eq!((at, &block[octets.len() - 1514..]), (octets.len(), &[7; 1514][..]));
    }
}

#[test]
fn what_breaks_the_protocol_is_refused_with_the_right_code() {
    let long = [0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255];
    let half = [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
    let all = [0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255];
    let over = [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 31];
    let fragments = [&[0x02, 126, 255, 255][..], &[0; 65_535], &[0x80, 32]].concat();
    let cases: &[(&str, &[u8], u16)] = &[
        ("RSV1", &[0xc2, 0], 1002),
        ("RSV2", &[0xa2, 0], 1002),
        ("RSV3", &[0x92, 0], 1002),
        ("opcode 3", &[0x83, 0], 1002),
        ("opcode 7", &[0x87, 0], 1002),
        ("opcode 11", &[0x8b, 0], 1002),
        ("opcode 15", &[0x8f, 0], 1002),
        ("masked by a server", &[0x82, 0x80], 1002),
        ("ping in fragments", &[0x09, 0], 1002),
        ("close in fragments", &[0x08, 0], 1002),
        ("ping of 126 octets", &[0x89, 126], 1002),
        ("125 in two octets", &[0x82, 126, 0, 125], 1002),
        ("65535 in eight octets", &[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], 1002),
        ("2^63", &half, 1002),
        ("2^64 - 1", &all, 1002),
        ("2^63 - 1", &long, 1009),
        ("the limit and 1", &over, 1009),
        ("the limit and 1 in fragments", &fragments, 1009),
        ("text over the limit", &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 31], 1009),
        ("continuation of nothing", &[0x80, 0], 1002),
        ("message in a message", &[0x02, 0, 0x82, 0], 1002),
        ("text in a message", &[0x02, 0, 0x81, 0], 1002),
        ("half a close code", &[0x88, 1, 3], 1002),
        ("close reason", &[0x88, 4, 3, 0xe8, 0xc3, 0x28], 1007),
    ];
    for (name, octets, code) in cases {
        let error = decode(Role::Client, octets).expect_err(name);
        assert_eq!(error.close_code().get(), *code, "{name}: {error}");
    }
    let error = decode(Role::Server, &[0x82, 0]).expect_err("unmasked");
    assert_eq!(error, ProtocolError::NotMasked);
}

#[test]
fn close_codes_that_must_not_be_sent_are_refused() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let [high, low] = u16::to_be_bytes(code);
        let result = decode(Role::Client, &[0x88, 2, high, low]);
        assert_eq!(result, Err(ProtocolError::CloseCode(code)));
    }
    for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
        let [high, low] = u16::to_be_bytes(code);
        let result = decode(Role::Client, &[0x88, 2, high, low]);
        assert_eq!(result, Ok(vec![close_event(code)]));
    }
}

#[test]
fn the_limit_itself_is_taken() {
    for len in [0, 125, 126, 65_535, 65_536, MAX_MESSAGE_LEN] {
        let payload = vec![1; len];
        let events = decode(Role::Server, &frame(Role::Server, 0x82, &payload));
        assert_eq!(events, Ok(vec![binary(payload)]), "{len} octets");
    }
}

#[test]
fn each_fragment_is_an_event_so_that_none_are_worked_off_unseen() {
    let empty = frame(Role::Server, CONTINUATION, &[]);
    let mut block = [frame(Role::Server, BINARY, &[1, 2]), empty.repeat(100)].concat();
    let (mut decoder, mut at) = (Decoder::new(Role::Server, MAX_MESSAGE_LEN), 0);
    assert_eq!(decoder.decode(&mut block, &mut at), Ok(Some(Event::Fragment(2))));
    for _ in 0..100 {
        let before = at;
        assert_eq!(decoder.decode(&mut block, &mut at), Ok(Some(Event::Fragment(0))));
        assert_eq!(at - before, empty.len());
    }
    assert_eq!(decoder.decode(&mut block, &mut at), Ok(None));
}

#[test]
fn an_announced_length_sets_no_memory_aside() {
    let mut buf = BytesMut::with_capacity(64);
    buf.extend_from_slice(&[0x02, 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3]);
    let mut decoder = Decoder::new(Role::Client, MAX_MESSAGE_LEN);
    assert_eq!(decoder.next(&mut buf), Ok(None));
    assert!(buf.capacity() <= 64 && decoder.fragments.is_none());
}

/// A message cut into fragments, with control frames between them.
fn message() -> impl Strategy<Value = (bool, Vec<Vec<u8>>, Vec<u8>)> {
    let fragment = prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 120..300)];
    (any::<bool>(), vec(fragment, 1..5), vec(any::<u8>(), 0..=MAX_CONTROL_LEN))
}

proptest! {
    #[test]
    fn messages_survive_every_fragmentation_and_every_split(
        server in any::<bool>(),
        messages in vec(message(), 1..6),
        reads in vec(1_usize..400, 1..40),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let (mut octets, mut expected) = (Vec::new(), Vec::new());
        for (text, fragments, control) in messages {
            for (i, fragment) in fragments.iter().enumerate() {
                let opcode = match (i, text) { (0, true) => TEXT, (0, false) => BINARY, _ => 0 };
                let fin = if i + 1 == fragments.len() { FIN } else { 0 };
                if i > 0 {
                    octets.extend(frame(role, FIN | PING, &control));
                    expected.push(Event::Ping(control.clone().into()));
                }
                octets.extend(frame(role, fin | opcode, fragment));
            }
            let whole = fragments.concat();
            expected.push(
                if text { Event::Text(whole.len()) } else { binary(whole) },
            );
        }
        let mut decoder = Decoder::new(role, MAX_MESSAGE_LEN);
        let (mut buf, mut events) = (BytesMut::new(), Vec::new());
        let mut reads = reads.iter().cycle();
        while !octets.is_empty() {
            let len = octets.len().min(*reads.next().expect("at least one"));
            buf.extend(octets.drain(..len));
            events.extend(decode_all(&mut decoder, &mut buf)?);
        }
        prop_assert_eq!(events, expected);
        prop_assert!(buf.is_empty());
    }

    #[test]
    fn a_frame_read_octet_by_octet_is_the_frame(
        server in any::<bool>(),
        payload in vec(any::<u8>(), 0..70_000_usize.min(MAX_MESSAGE_LEN)),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let octets = frame(role, FIN | BINARY, &payload);
        let mut decoder = Decoder::new(role, MAX_MESSAGE_LEN);
        let mut buf = BytesMut::new();
        for octet in &octets[..octets.len() - 1] {
            buf.extend_from_slice(&[*octet]);
            prop_assert_eq!(decoder.next(&mut buf)?, None);
        }
        buf.extend_from_slice(&octets[octets.len() - 1..]);
        prop_assert_eq!(decoder.next(&mut buf)?, Some(binary(payload)));
    }

    #[test]
    fn no_input_panics_or_is_taken_beyond_its_limit(
        server in any::<bool>(),
        octets in vec(any::<u8>(), 0..600),
        limit in 0_usize..300,
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let mut decoder = Decoder::new(role, limit);
        let mut buf = BytesMut::from(&octets[..]);
        while let Ok(Some(event)) = decoder.next(&mut buf) {
            if let Event::Fragmented(data) = event {
                prop_assert!(data.len() <= limit);
            }
        }
    }

    #[test]
    fn masking_twice_is_nothing(data in vec(any::<u8>(), 0..100), mask: [u8; 4]) {
        let mut masked = vec![0; data.len()];
        mask_copy(&mut masked, &data, mask);
        let plain = data.iter().zip(mask.into_iter().cycle()).map(|(a, b)| a ^ b);
        prop_assert!(masked.iter().copied().eq(plain));
        unmask(&mut masked, mask);
        prop_assert_eq!(masked, data);
    }
}
