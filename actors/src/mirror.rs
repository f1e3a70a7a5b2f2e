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
mod tests;
