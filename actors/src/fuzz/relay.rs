//! Frame view and relay: the view reads what stands there, and the relay decides as
//! the naive model does, whatever frames come in whatever order.

use bytes::Bytes;

use super::Input;
use crate::core::{
    frame::{Frame, Header},
    relay::model::{self, Step},
};

/// The first octet: how many frames of any octets, each with its length before it.
/// Behind them come steps for the relay, four octets each.
pub fn relay(data: &[u8]) {
    let mut input = Input(data);
    for _ in 0..input.u8() % 16 {
        let len = input.u8();
        let frame = Frame::new(Bytes::copy_from_slice(input.take(len.into())));
        view(frame.data());
        model::any_octets(&frame);
    }
    let mut steps = Vec::new();
    while !input.is_empty() {
        let (kind, number, src, dst) = (input.u8(), input.u8(), input.u8(), input.u8());
        let port = u32::from(number % 4) + 1;
        steps.push(match kind % 16 {
            0 => Step::Wait(u64::from(number % 12)),
            1 => Step::Flush(port),
            2 => Step::Collect,
            _ => {
                let vid = u16::from(kind >> 4) % 3;
                Step::Frame { ingress: port, vid, src: src % 8, dst: dst % 8 }
            }
        });
    }
    model::check(steps);
}

fn view(data: &[u8]) {
    let ethertype = |at: usize| Some(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?]));
    let outer = ethertype(12);
    let is_tagged = outer == Some(0x8100);
    let Some(header) = Header::new_checked(data) else {
        assert!(data.len() < if is_tagged { 18 } else { 14 });
        return;
    };
    assert_eq!(header.dst().0, data[..6]);
    assert_eq!(header.src().0, data[6..12]);
    assert_eq!(header.is_tagged(), is_tagged);
    assert_eq!(Some(header.ethertype()), if is_tagged { ethertype(16) } else { outer });
    let vid = if is_tagged { ethertype(14).map(|tci| tci & 0x0fff) } else { Some(0) };
    assert_eq!(Some(header.vid().get()), vid);
}
