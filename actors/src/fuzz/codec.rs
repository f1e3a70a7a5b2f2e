//! WebSocket framing: an input cut into pieces means what it means whole, no message
//! is over the limit, and what we write is read back.

use bytes::{Bytes, BytesMut};

use super::Input;
use crate::tunnel::codec::{
    Decoder, Event, Header, MAX_HEADER_LEN, Opcode, ProtocolError, Role, mask_copy,
};

/// Small, so that a fuzzer reaches it.
const LIMIT: usize = 300;

type Outcome = (Vec<Event>, Option<ProtocolError>);

fn decode<'a>(role: Role, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(role, LIMIT);
    let (mut events, mut buf) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(buf.len() < LIMIT + MAX_HEADER_LEN, "{} octets wait", buf.len());
    }
    (events, None)
}

/// The first octet is the role, the next eight are lengths of pieces, in turn; all
/// others are what the peer sends.
pub fn codec(data: &[u8]) {
    let mut input = Input(data);
    let role = if input.u8() & 1 == 0 { Role::Server } else { Role::Client };
    let mut lens = input.take(8).iter().cycle();
    let stream = input.0;

    let whole = decode(role, [stream].into_iter());
    let mut rest = stream;
    let pieces = std::iter::from_fn(|| {
        let len = lens.next().map_or(1, |&len| usize::from(len).max(1)).min(rest.len());
        let piece = rest.split_off(..len)?;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(decode(role, pieces), whole);

    for event in whole.0 {
        match event {
            Event::Binary(payload) => {
                assert!(payload.len() <= LIMIT);
                round_trip(role, Opcode::Binary, payload.clone(), &Event::Binary(payload));
            }
            Event::Ping(payload) => round_trip(role, Opcode::Pong, payload, &Event::Pong),
            Event::Text(len) => assert!(len <= LIMIT),
            Event::Pong | Event::Close(_) => {}
        }
    }
}

/// Sends `payload` as the peer of `role` would, and reads it as `role` does.
fn round_trip(role: Role, opcode: Opcode, payload: Bytes, expected: &Event) {
    let mask = (role == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]);
    let mut wire = Header::new(opcode, payload.len(), mask).as_slice().to_vec();
    let at = wire.len();
    wire.extend_from_slice(&payload);
    mask_copy(&mut wire[at..], &payload, mask.unwrap_or_default());
    let (events, error) = decode(role, [&wire[..]].into_iter());
    assert_eq!((&events[..], error), (std::slice::from_ref(expected), None));
}
