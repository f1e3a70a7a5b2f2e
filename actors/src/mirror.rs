//! Mirrors: copies of the frames that pass the Switch, for those who look on.
//!
//! Beside the frame's path: the Switch shows each frame to its `Mirrors` once it has
//! decided on it, when it comes in and for each port that it goes out of. A mirror takes
//! a copy of what its [`Filter`] wants while its queue has room, and counts what it lost.
//! Nothing here may wait, or keep a frame or the block that it was read into.

mod hosts;
mod output;

use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::BytesMut;
use tokio::sync::mpsc;

pub(crate) use self::output::Output;
pub use self::output::{MirrorCounts, PortMirror, PortMirrorError, PortMirrorInfo};

use crate::core::{
    counters::Discard,
    fdb::PortNumber,
    filter::Expression,
    frame::{Frame, MacAddr, Vid},
    offload::segment::segment,
    packet::TagChange,
};

/// Most mirrors at once: each costs a look at every frame, and a queue.
pub const MAX_MIRRORS: usize = 16;

/// Octets that a capture's queue holds: some 3 ms of traffic at 10 Gbit/s, which is many
/// turns of a reader that keeps up. More would only delay the loss of one that does not.
pub const MIRROR_OCTETS: usize = 4 * 1024 * 1024;

/// Charged for each copy beside its octets, so that a queue of tiny frames is bounded in
/// memory too: what a [`Mirrored`] takes.
const COPY_OVERHEAD: usize = size_of::<Mirrored>();

/// Octets of the buffers that frames are copied to, so that a copy allocates nothing.
const ARENA_OCTETS: usize = 64 * 1024;

/// Which way a frame passed its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It came in.
    Rx,
    /// It went out.
    Tx,
}

/// Which frames a mirror takes: those for which all that is set is true.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// They passed one of these ports; empty: any.
    pub ports: Vec<PortNumber>,
    /// They passed it this way.
    pub direction: Option<Direction>,
    /// They are of this VLAN.
    pub vid: Option<Vid>,
    /// They are from or to this address.
    pub mac: Option<MacAddr>,
    /// They have this EtherType, behind VLAN tags if there are any, or such a tag outermost.
    pub ethertype: Option<u16>,
    /// This is true of them.
    pub expression: Option<Expression>,
    /// This says so. Called for each frame that passed all else: must be cheap.
    pub matches: Option<fn(&Frame) -> bool>,
}

impl fmt::Display for Filter {
    /// What is set of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.ports.iter().map(|port| format!("port {port}"));
        let direction = self.direction.map(|one| if one == Direction::Rx { "rx" } else { "tx" });
        let more = [
            direction.map(str::to_owned),
            self.vid.map(|vid| format!("vlan {}", vid.get())),
            self.mac.map(|mac| format!("mac {mac}")),
            self.ethertype.map(|ethertype| format!("ethertype 0x{ethertype:04x}")),
            self.expression.as_ref().map(|expression| format!("filter {expression}")),
        ];
        f.write_str(&ports.chain(more.into_iter().flatten()).collect::<Vec<_>>().join(", "))
    }
}

impl Filter {
    fn wants(&self, frame: &Frame, port: PortNumber, direction: Direction) -> bool {
        self.direction.is_none_or(|wanted| wanted == direction)
            && (self.ports.is_empty() || self.ports.contains(&port))
            && self.wants_header(frame)
            && self.expression.as_ref().is_none_or(|expression| expression.matches(frame))
            && self.matches.is_none_or(|matches| matches(frame))
    }

    fn wants_header(&self, frame: &Frame) -> bool {
        if (self.vid, self.mac, self.ethertype) == (None, None, None) {
            return true;
        }
        frame.header().is_some_and(|header| {
            self.vid.is_none_or(|vid| header.vid() == vid)
                && self.mac.is_none_or(|mac| header.src() == mac || header.dst() == mac)
                && self.ethertype.is_none_or(|ethertype| header.is_of(ethertype))
        })
    }
}

/// A copy of a frame, or of a super-frame with the work that is left on it.
#[derive(Debug)]
pub struct Mirrored {
    /// When the Switch dealt with it.
    pub time: Instant,
    /// The port that it passed, or should have.
    pub port: PortNumber,
    /// Which way.
    pub direction: Direction,
    /// Why it went no further.
    pub discard: Option<Discard>,
    /// Frames of this port that the mirror has lost since the one before.
    pub lost: u64,
    frame: Frame,
    /// Of the frame, of which the copy has up to `snaplen` octets.
    len: usize,
    snaplen: usize,
}

impl Mirrored {
    /// Gives `emit` each frame as it is on a wire: super-frames cut, checksums
    /// finished, as [`Counters`](crate::core::counters::Counters) count them. Of each its first
    /// octets, as many as the mirror takes, and its length. This is work: not for the
    /// frame's path.
    pub fn on_wire(self, mut emit: impl FnMut(&[u8], usize)) {
        let Self { frame, len, snaplen, .. } = self;
        if frame.offload().is_none() {
            return emit(frame.data(), len);
        }
        let cut = |data: &[u8]| data.len().min(snaplen);
        let whole = frame.clone();
        if segment(frame, |segment| emit(&segment.data()[..cut(segment.data())], segment.len()))
            .is_err()
        {
            // It is discarded where it should leave, and shown as it came.
            emit(&whole.data()[..cut(whole.data())], len);
        }
    }
}

/// What a mirror has copied since it was last asked.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which the Switch dealt with them.
    pub frames: Vec<Mirrored>,
    /// What was lost, by port, and is not in any frame's count. Only while nothing else
    /// is said.
    pub lost: BTreeMap<PortNumber, u64>,
}

impl Batch {
    /// Octets that were copied.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.frames.iter().map(|copy| copy.frame.len()).sum()
    }
}

/// The reader's end of a mirror. Who drops it ends the mirror.
#[derive(Debug)]
pub struct MirrorReader {
    batches: mpsc::UnboundedReceiver<Batch>,
    used: Arc<AtomicUsize>,
}

impl MirrorReader {
    /// Waits for frames, or for word of those that were lost; `None`: the switch has
    /// ended. Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Batch> {
        let batch = self.batches.recv().await?;
        self.used.fetch_sub(batch.frames.iter().map(cost).sum(), Relaxed);
        Some(batch)
    }
}

fn cost(copy: &Mirrored) -> usize {
    copy.frame.len() + COPY_OVERHEAD
}

/// Why there is no mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_MIRRORS} captures are running already; stop one first")]
pub struct TooManyMirrors;

/// The Switch's end of a mirror.
#[derive(Debug)]
struct Mirror {
    filter: Filter,
    snaplen: usize,
    /// Bounds what is between both ends: the Switch alone adds.
    used: Arc<AtomicUsize>,
    limit: usize,
    batches: mpsc::UnboundedSender<Batch>,
    /// Copies of the batch at hand.
    pending: Vec<Mirrored>,
    /// What was lost and not told yet, by port.
    lost: BTreeMap<PortNumber, u64>,
    arena: BytesMut,
    /// The copy of the frame at hand, which each port shares that it leaves by with the
    /// same change of its tag.
    current: Option<(TagChange, Frame)>,
}

impl Mirror {
    fn show(
        &mut self,
        frame: &Frame,
        port: PortNumber,
        direction: Direction,
        discard: Option<Discard>,
        now: Instant,
    ) {
        if !self.filter.wants(frame, port, direction) {
            return;
        }
        // Segments can be made of a whole frame alone.
        let len =
            if frame.offload().is_none() { frame.len().min(self.snaplen) } else { frame.len() };
        let used = self.used.load(Relaxed);
        if used > 0 && used + len + COPY_OVERHEAD > self.limit {
            *self.lost.entry(port).or_default() += frame.on_wire().0;
            return;
        }
        let octets = match &self.current {
            Some((change, octets)) if *change == frame.tag_change() => octets.clone(),
            _ => copy(&mut self.arena, frame, len),
        };
        if direction == Direction::Rx {
            self.current = Some((frame.tag_change(), octets.clone()));
        }
        let copy = Mirrored {
            time: now,
            port,
            direction,
            discard,
            lost: if self.lost.is_empty() { 0 } else { self.lost.remove(&port).unwrap_or(0) },
            frame: octets,
            len: frame.len(),
            snaplen: self.snaplen,
        };
        self.used.fetch_add(cost(&copy), Relaxed);
        self.pending.push(copy);
    }

    /// Hands over what was copied, bounded by `used`. Gives whether the reader is still there.
    fn flush(&mut self) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        let frames = self.pending.drain(..).collect();
        self.batches.send(Batch { frames, lost: BTreeMap::new() }).is_ok()
    }

    /// Tells a reader that has taken everything what was lost since.
    fn tell_lost(&mut self) {
        if !self.lost.is_empty() && self.used.load(Relaxed) == 0 {
            let lost = mem::take(&mut self.lost);
            let _ = self.batches.send(Batch { frames: Vec::new(), lost });
        }
    }
}

/// A copy of the first `len` octets of `frame` in `arena`. A copy lives as long as others
/// of its arena: all are of one queue.
fn copy(arena: &mut BytesMut, frame: &Frame, len: usize) -> Frame {
    if arena.capacity() < len {
        *arena = BytesMut::with_capacity(ARENA_OCTETS.max(len));
    }
    frame.copy_to(arena, len)
}

/// All mirrors of a switch.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    mirrors: Vec<Mirror>,
    /// Those that copy to a port, by number.
    outputs: Vec<Output>,
    last_output: u32,
    /// Whether any of them wants frames that go out.
    want_sent: bool,
}

impl Mirrors {
    /// A mirror of frames that `filter` wants, of each its first `snaplen` octets, whose
    /// queue holds `octets`.
    pub(crate) fn add(
        &mut self,
        filter: Filter,
        snaplen: usize,
        octets: usize,
    ) -> Result<MirrorReader, TooManyMirrors> {
        self.collect();
        if self.mirrors.len() >= MAX_MIRRORS {
            return Err(TooManyMirrors);
        }
        let (sender, batches) = mpsc::unbounded_channel();
        let used = Arc::<AtomicUsize>::default();
        self.mirrors.push(Mirror {
            filter,
            snaplen,
            used: Arc::clone(&used),
            limit: octets,
            batches: sender,
            pending: Vec::new(),
            lost: BTreeMap::new(),
            arena: BytesMut::new(),
            current: None,
        });
        self.note_wants();
        Ok(MirrorReader { batches, used })
    }

    /// A mirror that copies to a port. Its number is new.
    pub(crate) fn add_output(&mut self, what: PortMirror) -> Result<u32, PortMirrorError> {
        if self.outputs.len() >= MAX_MIRRORS {
            return Err(PortMirrorError::TooMany);
        }
        self.last_output += 1;
        self.outputs.push(Output::new(self.last_output, what));
        self.note_wants();
        Ok(self.last_output)
    }

    /// Ends such a mirror.
    pub(crate) fn remove_output(&mut self, number: u32) -> Option<PortMirrorInfo> {
        let at = self.outputs.iter().position(|output| output.number() == number)?;
        let output = self.outputs.remove(at);
        self.note_wants();
        Some(output.info())
    }

    /// Those that copy to a port.
    pub(crate) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Takes them, for as long as somebody works on them.
    pub(crate) fn take_outputs(&mut self) -> Vec<Output> {
        mem::take(&mut self.outputs)
    }

    /// Puts them back.
    pub(crate) fn put_outputs(&mut self, outputs: Vec<Output>) {
        self.outputs = outputs;
    }

    /// Whether copies wait for their ports.
    pub(crate) fn has_copies(&self) -> bool {
        self.outputs.iter().any(|output| !output.copies.is_empty())
    }

    /// Copies a frame to ports, to each of them once.
    fn copy_out(&mut self, frame: &Frame, port: PortNumber, direction: Direction) {
        for at in 0..self.outputs.len() {
            let output = &self.outputs[at];
            let has = |other: &Output| other.has_taken && other.is_of(output);
            if output.wants(frame, port, direction) && !self.outputs.iter().any(has) {
                self.outputs[at].take(frame);
            }
        }
    }

    /// The next frame that is sent is one of the Switch's own.
    pub(crate) fn another(&mut self) {
        self.mirrors.iter_mut().for_each(|mirror| mirror.current = None);
        self.outputs.iter_mut().for_each(|output| output.has_taken = false);
    }

    /// Shows a frame that came in by `port`, or was to.
    pub(crate) fn received(
        &mut self,
        port: PortNumber,
        frame: &Frame,
        discard: Option<Discard>,
        now: Instant,
    ) {
        self.another();
        for mirror in &mut self.mirrors {
            mirror.show(frame, port, Direction::Rx, discard, now);
        }
        // What is discarded later has come in all the same; where nothing may come in it has not.
        if !matches!(discard, Some(Discard::PortDown | Discard::MirrorOutput)) {
            self.copy_out(frame, port, Direction::Rx);
        }
    }

    /// Shows a frame that goes out of `port`, or was to: the one that
    /// [came in](Self::received) last, or [another](Self::another).
    pub(crate) fn sent(
        &mut self,
        port: PortNumber,
        frame: &Frame,
        discard: Option<Discard>,
        now: Instant,
    ) {
        if self.want_sent {
            for mirror in &mut self.mirrors {
                mirror.show(frame, port, Direction::Tx, discard, now);
            }
            if discard.is_none() {
                self.copy_out(frame, port, Direction::Tx);
            }
        }
    }

    /// Hands over what was shown, and forgets mirrors whose readers have gone; at the end of each
    /// batch.
    pub(crate) fn flush(&mut self) {
        self.another();
        let before = self.mirrors.len();
        self.mirrors.retain_mut(Mirror::flush);
        if self.mirrors.len() < before {
            self.note_wants();
        }
    }

    /// Whether readers are to be told of what they lost, once they have read all else.
    pub(crate) fn have_lost(&self) -> bool {
        self.mirrors.iter().any(|mirror| !mirror.lost.is_empty())
    }

    /// Forgets mirrors whose readers have gone, and tells the others what they have lost.
    pub(crate) fn collect(&mut self) {
        self.mirrors.retain_mut(|mirror| {
            mirror.tell_lost();
            !mirror.batches.is_closed()
        });
        self.note_wants();
    }

    fn note_wants(&mut self) {
        let wants = |filter: &Filter| filter.direction != Some(Direction::Rx);
        self.want_sent = self.mirrors.iter().any(|mirror| wants(&mirror.filter))
            || self.outputs.iter().any(|output| wants(output.filter()));
    }
}

#[cfg(test)]
mod tests {
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
}
