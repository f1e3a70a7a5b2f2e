//! Header views and relay: the views read what stands there, whatever change of its tag
//! waits for a frame, and the relay decides as the naive model does, whatever frames come
//! in whatever order.

use bytes::Bytes;

use super::Input;
use crate::core::{
    frame::Frame,
    packet::reference,
    relay::model::{self, Step},
};

/// The first octet: how many frames of any octets, each with its length before it.
/// Behind them come steps for the relay, four octets each.
pub fn relay(data: &[u8]) {
    let mut input = Input(data);
    for _ in 0..input.u8() % 16 {
        let len = input.u8();
        let frame = Frame::new(Bytes::copy_from_slice(input.take(len.into())));
        reference::check(frame.data());
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
