//! WebSocket framing: an input cut into pieces means what it means whole, no message
//! is over the limit, and what we write is read back.

use bytes::{Buf, BytesMut};

use super::Input;
use crate::tunnel::codec::{
    Decoder, Event, Header, MAX_HEADER_LEN, Opcode, ProtocolError, Role, mask_copy,
};

/// Small, so that a fuzzer reaches it.
const LIMIT: usize = 300;

/// Events, with the octets of binary messages in place of where they stand.
type Outcome = (Vec<(Event, Vec<u8>)>, Option<ProtocolError>);

fn decode<'a>(role: Role, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(role, LIMIT);
    let (mut events, mut block) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        block.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match decoder.decode(&mut block, &mut at) {
                Ok(Some(Event::Binary(place))) => {
                    assert!(place.len() <= LIMIT && place.end == at);
                    let octets = block[place].to_vec();
                    events.push((Event::Binary(0..0), octets));
                }
                Ok(Some(event)) => events.push((event, Vec::new())),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        block.advance(at);
        assert!(block.len() < LIMIT + MAX_HEADER_LEN, "{} octets wait", block.len());
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

    for (event, octets) in whole.0 {
        match event {
            Event::Binary(_) => round_trip(role, octets),
            Event::Fragmented(payload) => {
                assert!(payload.len() <= LIMIT);
                round_trip(role, payload.to_vec());
            }
            Event::Text(len) | Event::Fragment(len) => assert!(len <= LIMIT),
            Event::Ping(_) | Event::Pong(_) | Event::Close(..) => {}
        }
    }
}

/// Sends `payload` as the peer of `role` would, and reads it as `role` does.
fn round_trip(role: Role, payload: Vec<u8>) {
    let mask = (role == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]);
    let mut wire = Header::new(Opcode::Binary, payload.len(), mask).as_slice().to_vec();
    let at = wire.len();
    wire.extend_from_slice(&payload);
    mask_copy(&mut wire[at..], &payload, mask.unwrap_or_default());
    let read = decode(role, [&wire[..]].into_iter());
    assert_eq!(read, (vec![(Event::Binary(0..0), payload)], None));
}
