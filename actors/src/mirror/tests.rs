use bytes::Bytes;

use super::*;
use crate::core::{
    frame::{Gso, Offload},
    packet::{Tag, reference},
};

const PORTS: [PortNumber; 2] = [PortNumber::FIRST, PortNumber::FIRST.next()];

fn frame(len: usize) -> Frame {
    Frame::new(vec![7; len].into())
}

/// What the reader has got: length and octets of each frame.
fn read(reader: &mut MirrorReader) -> Vec<(usize, Vec<u8>)> {
    let mut read = Vec::new();
    while let Ok(batch) = reader.batches.try_recv() {
        reader.used.fetch_sub(batch.frames.iter().map(cost).sum(), Relaxed);
        for copy in batch.frames {
            copy.on_wire(|data, len| read.push((len, data.to_vec())));
        }
    }
    read
}

#[test]
fn a_filter_takes_what_all_of_it_is_true_for() {
    let mut data = [MacAddr([2; 6]).0, MacAddr([4; 6]).0].concat();
    data.extend([0x81, 0x00, 0x20, 0x0a, 0x08, 0x06]);
    let tagged = Frame::new(data.into());
    let wants = |filter: &Filter| filter.wants(&tagged, PORTS[0], Direction::Rx);
    let any = Filter::default();
    assert!(wants(&any) && any.wants(&frame(3), PORTS[1], Direction::Tx));
    for (filter, yes) in [
        (Filter { ports: PORTS.to_vec(), ..any.clone() }, true),
        (Filter { ports: vec![PORTS[1]], ..any.clone() }, false),
        (Filter { direction: Some(Direction::Rx), ..any.clone() }, true),
        (Filter { direction: Some(Direction::Tx), ..any.clone() }, false),
        (Filter { vid: Vid::new(10), ..any.clone() }, true),
        (Filter { vid: Vid::new(0), ..any.clone() }, false),
        (Filter { mac: Some(MacAddr([2; 6])), ..any.clone() }, true),
        (Filter { mac: Some(MacAddr([4; 6])), ..any.clone() }, true),
        (Filter { mac: Some(MacAddr([6; 6])), ..any.clone() }, false),
        (Filter { ethertype: Some(0x0806), ..any.clone() }, true),
        (Filter { ethertype: Some(0x8100), ..any.clone() }, true),
        (Filter { expression: "vlan 10 and arp".parse().ok(), ..any.clone() }, true),
        (Filter { expression: "not broadcast and ip".parse().ok(), ..any.clone() }, false),
        (Filter { matches: Some(|frame| frame.len() == 18), ..any.clone() }, true),
        (Filter { matches: Some(|frame| frame.len() > 18), ..any.clone() }, false),
        (Filter { vid: Vid::new(10), ethertype: Some(0x0800), ..any.clone() }, false),
    ] {
        assert_eq!(wants(&filter), yes, "{filter:?}");
    }
    let short = Filter { vid: Vid::new(0), ..any };
    assert!(!short.wants(&frame(13), PORTS[0], Direction::Rx), "it has no header");
}

#[test]
fn a_full_queue_loses_copies_and_tells_how_many_of_which_port() {
    let (mut mirrors, now) = (Mirrors::default(), Instant::now());
    let limit = 2 * (100 + COPY_OVERHEAD);
    let mut reader = mirrors.add(Filter::default(), 1000, limit).unwrap();
    for _ in 0..5 {
        mirrors.received(PORTS[0], &frame(100), None, now);
    }
    mirrors.sent(PORTS[1], &frame(100), None, now);
    mirrors.flush();
    assert!(mirrors.have_lost());
    mirrors.collect();
    assert_eq!(read(&mut reader).len(), 2, "what fits, and no word of loss between");
    mirrors.received(PORTS[0], &frame(100), None, now);
    mirrors.flush();
    let batch = reader.batches.try_recv().unwrap();
    assert_eq!(batch.frames[0].lost, 3);
    reader.used.store(0, Relaxed);
    mirrors.collect();
    let rest = reader.batches.try_recv().unwrap();
    assert_eq!((rest.frames.len(), rest.lost), (0, BTreeMap::from([(PORTS[1], 1)])));
    assert!(reader.batches.try_recv().is_err() && !mirrors.have_lost());
}

#[test]
fn a_copy_is_cut_short_keeps_the_length_and_pins_no_block() {
    let (mut mirrors, now) = (Mirrors::default(), Instant::now());
    let mut reader = mirrors.add(Filter::default(), 64, MIRROR_OCTETS).unwrap();
    let block = Bytes::from(vec![9; 1514]);
    let frame = Frame::new(block.clone());
    mirrors.received(PORTS[0], &frame, None, now);
    mirrors.sent(PORTS[1], &frame, None, now);
    mirrors.flush();
    drop(frame);
    assert!(block.is_unique());
    assert_eq!(read(&mut reader), vec![(1514, vec![9; 64]); 2]);
}

#[test]
fn a_frame_is_shown_with_the_tag_that_it_has_at_each_port() {
    let (mut mirrors, now) = (Mirrors::default(), Instant::now());
    let mut reader = mirrors.add(Filter::default(), 17, MIRROR_OCTETS).unwrap();
    let filter = Filter { vid: Vid::new(7), ..Filter::default() };
    let mut of_vlan = mirrors.add(filter, 60, MIRROR_OCTETS).unwrap();
    let plain = frame(60);
    let tagged = plain.clone().push_tag(Tag::customer(7));
    let untagged = reference::by_hand(&tagged).pop_tag();
    mirrors.received(PORTS[0], &plain, None, now);
    for sent in [&tagged, &plain, &untagged] {
        mirrors.sent(PORTS[1], sent, None, now);
    }
    mirrors.flush();
    let with_tag = [&[7; 12][..], &[0x81, 0, 0, 7], &[7; 48]].concat();
    let (cut, whole) = ((60, vec![7; 17]), (64, with_tag[..17].to_vec()));
    assert_eq!(read(&mut reader), [cut.clone(), whole, cut.clone(), cut]);
    assert_eq!(read(&mut of_vlan), [(64, with_tag[..60].to_vec())]);
}

#[test]
fn super_frames_are_shown_as_on_a_wire() {
    let (mut mirrors, now) = (Mirrors::default(), Instant::now());
    let mut reader = mirrors.add(Filter::default(), 60, MIRROR_OCTETS).unwrap();
    // IPv4 and TCP, three segments of 100 octets, the last of 50.
    let mut data = vec![0; 14 + 20 + 20 + 250];
    data[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, 1, 34]);
    data[23] = 6;
    data[46..48].copy_from_slice(&[0x50, 0x18]);
    let offload = Offload { gso: Gso::Tcp4, gso_size: 100, csum: Some((34, 16)), ecn: false };
    let super_frame = Frame::with_offload(data.into(), offload);
    mirrors.received(PORTS[0], &super_frame, None, now);
    mirrors.flush();
    let frames = read(&mut reader);
    assert_eq!(frames.iter().map(|f| f.0).collect::<Vec<_>>(), [154, 154, 104]);
    let sequences = frames.iter().map(|f| f.1[41]).collect::<Vec<_>>();
    assert_eq!((sequences, frames[0].1.len()), (vec![0, 100, 200], 60));
    // What cannot be cut is shown as it came.
    let bad = Offload { csum: Some((2000, 16)), ..offload };
    mirrors.received(PORTS[0], &Frame::with_offload(vec![1; 80].into(), bad), None, now);
    mirrors.flush();
    assert_eq!(read(&mut reader), [(80, vec![1; 60])]);
}

#[test]
fn mirrors_end_with_their_readers_and_are_bounded() {
    let mut mirrors = Mirrors::default();
    let filter = Filter { direction: Some(Direction::Rx), ..Filter::default() };
    let mut readers: Vec<_> =
        (0..MAX_MIRRORS).map(|_| mirrors.add(filter.clone(), 64, 1000).unwrap()).collect();
    assert!(!mirrors.want_sent);
    assert_eq!(mirrors.add(Filter::default(), 64, 1000).err(), Some(TooManyMirrors));
    readers.pop();
    let _both = mirrors.add(Filter::default(), 64, 1000).unwrap();
    assert!(mirrors.want_sent);
    readers.clear();
    mirrors.received(PORTS[0], &frame(60), None, Instant::now());
    mirrors.flush();
    assert_eq!(mirrors.mirrors.len(), 1, "the next frame has no copies for them");
}
