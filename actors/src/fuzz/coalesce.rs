//! Coalescing: whatever frames come, segmentation of what leaves gives them back.

use bytes::{Bytes, BytesMut};

use super::Input;
use crate::core::{
    frame::Frame,
    offload::{
        checksum::{fold, sum},
        coalesce::{Coalescer, Joined},
        segment,
    },
};

/// Most frames of one input.
const MAX_FRAMES: usize = 200;

/// Records. An even octet `n`: a frame of the next `n` octets. An odd one: the segment
/// after the last frame, with its next octet as the length of its payload (0: the
/// same), all lengths and checksums right, and the octet after it added to the octet
/// at the place that the fourth one names.
pub fn coalesce(data: &[u8]) {
    let mut input = Input(data);
    let mut frames: Vec<Vec<u8>> = Vec::new();
    while !input.is_empty() && frames.len() < MAX_FRAMES {
        let len = input.u8();
        match frames.last() {
            Some(last) if len & 1 == 1 => {
                let (len, delta, at) = (input.u8(), input.u8(), input.u8());
                let mut next = following(last, len.into());
                if let Some(octet) = next.get_mut(usize::from(at)) {
                    *octet = octet.wrapping_add(delta);
                }
                frames.push(next);
            }
            _ => {
                let mut frame = input.take(len.into()).to_vec();
                finish(&mut frame);
                frames.push(frame);
            }
        }
    }
    let frames: Vec<_> = frames.into_iter().map(|data| Frame::new(Bytes::from(data))).collect();
    check(&frames);
}

/// Joins frames, which can all be finished, cuts what comes of it, and compares.
pub(super) fn check(frames: &[Frame]) {
    let (mut block, mut coalescer) = (BytesMut::new(), Coalescer::default());
    let mut places = Vec::new();
    for frame in frames {
        // The header of its message.
        block.extend_from_slice(&[0xee; 8]);
        let start = block.len();
        block.extend_from_slice(frame.data());
        places.push((start..block.len(), *frame.offload()));
    }
    let mut joined = Vec::new();
    for (place, offload) in places {
        joined.extend(coalescer.push(&mut block, place, offload));
    }
    joined.extend(coalescer.finish(&mut block));
    assert_eq!(coalescer.finish(&mut block), None);

    let mut finished = Vec::new();
    for frame in frames {
        segment::segment(frame.clone(), |segment| finished.push(segment)).expect("it can be cut");
    }
    let mut frames = finished.iter();
    for Joined { place, offload } in joined {
        let whole = Frame::with_offload(Bytes::copy_from_slice(&block[place]), offload);
        segment::segment(whole, |segment| {
            let frame = frames.next().expect("no segment too many");
            assert!(is_same(&segment, frame), "{segment:02x?}\nwas\n{frame:02x?}");
        })
        .expect("offload fields that fit");
    }
    assert!(frames.next().is_none(), "a frame is missing");
}

/// Identifications of IPv4 may be counted up where all were the same, and with them
/// the header's checksum changes; nothing else may.
fn is_same(one: &Frame, other: &Frame) -> bool {
    let plain = |frame: &Frame| {
        let mut data = frame.data().to_vec();
        if let Some(ip) = ipv4(&data).filter(|&ip| fold(sum(&data[ip..ip + 20])) == 0xffff) {
            data[ip + 4..ip + 6].fill(0);
            data[ip + 10..ip + 12].fill(0);
        }
        data
    };
    one == other || plain(one) == plain(other)
}

/// Where the IPv4 header of a frame begins, if it has one without options.
fn ipv4(data: &[u8]) -> Option<usize> {
    let ip = if data.get(12..14)? == [0x81, 0x00] { 18 } else { 14 };
    (data.get(ip - 2..ip)? == [0x08, 0x00] && *data.get(ip)? == 0x45 && data.len() >= ip + 20)
        .then_some(ip)
}

/// Length of the headers of a whole TCP or UDP packet over IPv4, and what kind it is.
fn transport(data: &[u8]) -> Option<(usize, usize, bool)> {
    let ip = ipv4(data)?;
    let is_tcp = data[ip + 9] == 6;
    let header = if is_tcp { usize::from(data.get(ip + 32)? >> 4) * 4 } else { 8 };
    let payload = ip + 20 + header;
    let known = is_tcp && header >= 20 || data[ip + 9] == 17;
    (known && payload <= data.len()).then_some((ip, payload, is_tcp))
}

/// The segment that a sender would send after `last`.
fn following(last: &[u8], len: usize) -> Vec<u8> {
    let mut next = last.to_vec();
    if let Some((ip, payload, is_tcp)) = transport(last) {
        let id = u16::from_be_bytes([last[ip + 4], last[ip + 5]]).wrapping_add(1);
        next[ip + 4..ip + 6].copy_from_slice(&id.to_be_bytes());
        if is_tcp {
            let at = ip + 24;
            let sequence = u32::from_be_bytes(last[at..at + 4].try_into().expect("four octets"));
            let sequence = sequence.wrapping_add(u32::try_from(last.len() - payload).unwrap_or(0));
            next[at..at + 4].copy_from_slice(&sequence.to_be_bytes());
        }
        if len > 0 {
            next.resize(payload + len, 0xa5);
        }
        finish(&mut next);
    }
    next
}

/// Makes lengths and checksums right: no fuzzer guesses those.
fn finish(data: &mut [u8]) {
    let Some((ip, _, is_tcp)) = transport(data) else { return };
    let put = |data: &mut [u8], at: usize, value: usize| {
        let value = u16::try_from(value).expect("frames of some hundred octets");
        data[at..at + 2].copy_from_slice(&value.to_be_bytes());
    };
    let (len, at) = (data.len() - ip, ip + 20);
    put(data, ip + 2, len);
    put(data, ip + 10, 0);
    let checksum = !fold(sum(&data[ip..at]));
    put(data, ip + 10, checksum.into());
    let field = at + if is_tcp { 16 } else { 6 };
    if !is_tcp {
        put(data, at + 4, len - 20);
    }
    put(data, field, 0);
    let protocol = u64::from(data[ip + 9]);
    let pseudo = sum(&data[ip + 12..at]) + protocol + (len - 20) as u64;
    let checksum = match !fold(pseudo + sum(&data[at..])) {
        0 if !is_tcp => 0xffff,
        checksum => checksum,
    };
    put(data, field, checksum.into());
}
