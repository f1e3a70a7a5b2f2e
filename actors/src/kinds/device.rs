//! What `tap` and `netdev` have in common: a network device that is read one frame or
//! super-frame a system call, and written so or several at once, and its loop.
//!
//! First and last step of a frame's path on this host: frames are slices of one
//! read block, without a copy. No frame ends the loop, only the device's loss does.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io, mem,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use bytes::BytesMut;
use nix::libc;
use slog::{Logger, debug, info, warn};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};

use crate::{
    blocks::Blocks,
    core::{
        batch::{BATCH_FRAMES, BATCH_OCTETS},
        counters::{Counters, Discard},
        error::one_line,
        frame::{Frame, Gso},
        offload::{
            encapsulated::UdpTunnel,
            segment::{is_plain, outer_datagrams, segment},
        },
        settings::LinkSettings,
    },
    port::{EgressQueue, IngressSender, PortError, PortIo, io_error},
    sys::{self, READ_OCTETS},
    tick::{self, TICK},
};

/// How often the log says that frames are lost for the same reason.
const REMINDER: Duration = Duration::from_secs(60);

/// A network device that never waits.
pub(super) trait Device: AsFd + 'static {
    /// Name of the interface.
    fn name(&self) -> String;

    /// Reads one frame into the spare capacity of `block`, at least
    /// [`READ_OCTETS`], with the work that is left on it.
    fn recv(&self, block: &mut BytesMut) -> Result<Frame, Fault>;

    /// Whether it takes UDP super-frames, beside those of TCP.
    fn takes_datagrams(&self) -> bool;

    /// Whether it takes super-frames in UDP tunnels whole, too. What does is opened with the
    /// first.
    async fn takes_tunnels(&self) -> bool;

    /// Writes frames or super-frames, of which there is one at least: from the first on as
    /// many as it takes in one system call. How many; a fault is that of the first.
    fn send(&self, frames: &[Frame]) -> Result<usize, Fault>;

    /// Looks after the device, now and then: an error is its loss. What was lost since the
    /// last time, and why.
    async fn check(&self, settings: &LinkSettings) -> Result<(Discard, u64), PortError>;
}

/// Counts frames that are lost at the device, and says why: each reason once a minute.
struct Losses<'a> {
    device: String,
    counters: &'a Counters,
    log: &'a Logger,
    said: RefCell<BTreeMap<Discard, Instant>>,
}

impl<'a> Losses<'a> {
    fn new(device: &'a impl Device, counters: &'a Counters, log: &'a Logger) -> Self {
        Self { device: device.name(), counters, log, said: RefCell::default() }
    }

    /// Frames that came from the device.
    fn count(&self, reason: Discard, frames: u64) {
        if frames > 0 {
            self.counters.discarded(reason, frames);
            self.say(reason);
        }
    }

    /// Frames are lost, and were counted.
    fn say(&self, reason: Discard) {
        let device = &self.device;
        let what = match reason {
            Discard::TooLong => format!(
                "frames are longer than {device} takes; give all interfaces of this LAN one MTU"
            ),
            Discard::Truncated => format!(
                "frames from {device} are longer than what is read at once; where they come from: \
                 ip link set DEV gso_max_size 65536 gso_ipv4_max_size 65536"
            ),
            Discard::UnknownOffload => format!(
                "{device} gives super-frames with headers that are not known here; where they come \
                 from: ethtool -K DEV tso off gso off"
            ),
            Discard::DeviceQueue => format!(
                "the host sends faster by {device} than frames are read; setport \
                 --txqueuelen makes its queue longer"
            ),
            // Known to whoever looks at counters, and more than one cause.
            _ => return,
        };
        let now = Instant::now();
        let mut said = self.said.borrow_mut();
        if said.get(&reason).is_none_or(|last| now - *last >= REMINDER) {
            said.insert(reason, now);
            let discards = self.counters.discards(reason);
            warn!(self.log, "{what}"; "reason" => reason.name(), "frames" => discards);
        }
    }
}

/// Why a device gave or took no frame.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nothing to read, or no room to write.
    WouldBlock,
    /// A frame is lost, the device is not.
    Frame(Discard),
    /// The device does not take the frame with work left on it.
    MustBeCut,
    /// The device is there and down. It may come up again.
    Down,
    /// The device is lost.
    Lost(PortError),
}

/// What an error means that all devices have.
pub(super) fn common_fault(error: &io::Error) -> Option<Fault> {
    let frame = match (error.kind(), error.raw_os_error()) {
        (_, Some(libc::EAGAIN)) => return Some(Fault::WouldBlock),
        (sys::TRUNCATED, _) => Discard::Truncated,
        (sys::UNKNOWN_OFFLOAD, _) => Discard::UnknownOffload,
        (_, Some(libc::ENOBUFS | libc::ENOMEM)) => Discard::LackOfBuffers,
        // Too short.
        (io::ErrorKind::UnexpectedEof, _) | (_, Some(libc::EINVAL | libc::EINTR)) => {
            Discard::OnError
        }
        _ => return None,
    };
    Some(Fault::Frame(frame))
}

/// Declares the options of a kind that is an interface: its name.
macro_rules! interface_options {
    ($(#[$attribute:meta])* $options:ident, $help:literal) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "clap", derive(clap::Args))]
        #[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields)]
        pub struct $options {
            #[doc = $help]
            #[serde(rename = "target")]
            #[cfg_attr(feature = "clap", arg(id = "target", value_name = "TARGET"))]
            pub name: String,
        }

        impl $options {
            /// For the interface called `name`.
            #[must_use]
            pub fn new(name: impl Into<String>) -> Self {
                Self { name: name.into() }
            }
        }
    };
}

pub(super) use interface_options;

/// How reading ends.
enum Stopped {
    Down,
    Lost(PortError),
}

/// Carries frames between a device and the Switch until one of them is lost or
/// the port is to end.
pub(super) async fn carry<D: Device>(device: D, io: PortIo) -> Result<(), PortError> {
    let PortIo { mut ingress, mut egress, mut stop, counters, settings, log, .. } = io;
    let watch = || sys::watch(device.as_fd()).map_err(|e| io_error("cannot wait for a device", e));
    let mut ready = watch()?;
    let mut unsent = Unsent::default();
    let losses = Losses::new(&device, &counters, &log);
    loop {
        let stopped = tokio::select! {
            stopped = receive(&device, &ready, &mut ingress, &losses) => stopped,
            lost = transmit(&device, &ready, &mut egress, &mut unsent, &settings, &losses) => {
                Stopped::Lost(lost)
            }
            lost = look_after(&device, &settings, &losses) => Stopped::Lost(lost),
            _ = stop.wait() => return Ok(()),
        };
        match stopped {
            Stopped::Down => {
                info!(log, "the interface is down; waiting for it to come up");
                // An error event makes the descriptor count as writable for good:
                // waiting for room would spin. Registered anew, it waits.
                ready = watch()?;
            }
            Stopped::Lost(error) => {
                debug!(log, "device lost"; "reason" => one_line(&*error));
                return Err(error);
            }
        }
    }
}

/// Device to Switch.
async fn receive<D: Device>(
    device: &D,
    ready: &AsyncFd<OwnedFd>,
    ingress: &mut IngressSender,
    losses: &Losses<'_>,
) -> Stopped {
    let mut blocks = Blocks::default();
    let mut batch = Vec::new();
    loop {
        // A lost device may tell of it by an error event alone.
        let mut frames = match ready.ready(Interest::READABLE | Interest::ERROR).await {
            Ok(frames) => frames,
            Err(error) => return Stopped::Lost(io_error("cannot wait for frames", error)),
        };
        let fault = fill(device, &mut blocks, &mut batch, losses);
        if matches!(fault, Some(Fault::WouldBlock)) {
            frames.clear_ready();
        }
        if fault.is_none() && batch.is_empty() {
            // Frames are ready, and each is lost: they must not keep others waiting.
            tokio::task::yield_now().await;
        }
        if let Err(error) = ingress.send(mem::take(&mut batch)).await {
            return Stopped::Lost(error.into());
        }
        match fault {
            Some(Fault::Down) => return Stopped::Down,
            Some(Fault::Lost(error)) => return Stopped::Lost(error),
            Some(Fault::WouldBlock | Fault::Frame(_) | Fault::MustBeCut) | None => {}
        }
    }
}

/// Reads what is ready, up to a batch. `None`: there may be more.
fn fill<D: Device>(
    device: &D,
    blocks: &mut Blocks,
    batch: &mut Vec<Frame>,
    losses: &Losses<'_>,
) -> Option<Fault> {
    batch.reserve(BATCH_FRAMES);
    let mut octets = 0;
    while batch.len() < BATCH_FRAMES && octets + READ_OCTETS <= BATCH_OCTETS {
        match device.recv(blocks.with_room(READ_OCTETS)) {
            Ok(frame) => {
                octets += frame.len();
                batch.push(frame);
            }
            Err(Fault::Frame(reason)) => {
                losses.count(reason, 1);
                // Lost frames count too, so that they cannot hold us here.
                octets += READ_OCTETS;
            }
            Err(fault) => return Some(fault),
        }
    }
    None
}

/// A batch that is being written, and how many frames of it are done. It outlives a
/// call of [`transmit`] that is dropped.
#[derive(Default)]
struct Unsent {
    frames: Vec<Frame>,
    done: usize,
}

impl Unsent {
    /// Puts its segments in the place of the next frame, or the datagrams of its tunnel as
    /// super-frames; `false` where it has none.
    fn cut(&mut self, to_datagrams: bool) -> bool {
        let mut segments = Vec::new();
        let (frame, emit) = (self.frames[self.done].clone(), |frame| segments.push(frame));
        let cut = if to_datagrams { outer_datagrams(frame, emit) } else { segment(frame, emit) };
        if cut.is_ok() {
            self.frames.splice(self.done..=self.done, segments);
        }
        cut.is_ok()
    }
}

/// Switch to device.
async fn transmit<D: Device>(
    device: &D,
    ready: &AsyncFd<OwnedFd>,
    egress: &mut EgressQueue,
    unsent: &mut Unsent,
    settings: &LinkSettings,
    losses: &Losses<'_>,
) -> PortError {
    let mut slice = egress.time_slice();
    loop {
        while let Some(frame) = unsent.frames.get(unsent.done) {
            let gso = frame.offload().gso;
            let is_encapsulated = gso != Gso::None && !is_plain(frame);
            let is_cut = if is_encapsulated {
                UdpTunnel::find(frame).is_none() || !device.takes_tunnels().await
            } else {
                gso == Gso::Udp && !device.takes_datagrams()
            };
            let rest = &unsent.frames[unsent.done..];
            let sent = if is_cut {
                Err(Fault::MustBeCut)
            } else {
                slice.write(send(device, ready, rest)).await.0
            };
            let reason = match sent {
                Ok(sent) => {
                    unsent.done += sent;
                    continue;
                }
                Err(Fault::MustBeCut)
                    if unsent.cut(is_encapsulated && may_be_datagrams(device, settings)) =>
                {
                    continue;
                }
                Err(Fault::Frame(reason)) => reason,
                Err(Fault::MustBeCut) => Discard::UnknownOffload,
                Err(Fault::Down | Fault::WouldBlock) => Discard::OnError,
                Err(Fault::Lost(error)) => return error,
            };
            egress.refused(&unsent.frames[unsent.done], reason);
            losses.say(reason);
            unsent.done += 1;
        }
        unsent.frames.clear();
        unsent.done = 0;
        egress.done();
        // A device that always has room never waits: let others run.
        slice.end_batch().await;
        egress.recv(&mut unsent.frames).await;
    }
}

/// Whether super-frames of UDP may be written.
fn may_be_datagrams(device: &impl Device, settings: &LinkSettings) -> bool {
    device.takes_datagrams() && settings.offload().udp
}

/// Writes a frame or more, as soon as there is room.
async fn send<D: Device>(
    device: &D,
    ready: &AsyncFd<OwnedFd>,
    frames: &[Frame],
) -> Result<usize, Fault> {
    // A TAP that is down never has room, and says why only when it is written to:
    // so write first.
    match device.send(frames) {
        Err(Fault::WouldBlock) => {}
        done => return done,
    }
    loop {
        let waited = ready.writable().await;
        let mut room = waited.map_err(|e| Fault::Lost(io_error("cannot wait for room", e)))?;
        match device.send(frames) {
            Err(Fault::WouldBlock) => room.clear_ready(),
            done => return done,
        }
    }
}

/// Looks after the device until it is lost: at each tick, and when a setting has changed. A packet
/// socket is not told when an interface that is down is deleted; a second is soon enough for a
/// restart.
async fn look_after<D: Device>(
    device: &D,
    settings: &LinkSettings,
    losses: &Losses<'_>,
) -> PortError {
    let mut ticks = tick::every(TICK);
    loop {
        match device.check(settings).await {
            Ok((reason, frames)) => losses.count(reason, frames),
            Err(error) => return error,
        }
        tokio::select! {
            _ = ticks.tick() => {}
            () = settings.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{frame::Offload, offload::segment::tests::Shape};

    #[test]
    fn what_a_device_does_not_take_whole_is_cut_in_its_place() {
        let plain = |octet| Frame::new(bytes::Bytes::from(vec![octet; 60]));
        let datagrams = Shape::tcp4(3 * 500, 500).frame();
        let mut unsent =
            Unsent { frames: vec![plain(1), plain(2), datagrams.clone(), plain(3)], done: 2 };
        assert!(unsent.cut(true));
        let lens: Vec<_> = unsent.frames.iter().map(Frame::len).collect();
        let one = datagrams.len() - 2 * 500;
        assert_eq!(lens, [60, 60, one, one, one, 60]);
        assert!(unsent.frames.iter().all(|frame| frame.offload().is_none()));
        let nonsense = Offload { gso: Gso::Udp, gso_size: 9, csum: Some((9, 9)), ecn: false };
        unsent.frames[5] = Frame::with_offload(plain(3).into_data(), nonsense);
        unsent.done = 5;
        assert!(!unsent.cut(true));
        assert_eq!(unsent.frames.len(), 6, "it is left to be refused");
    }
}

#[cfg(test)]
pub(super) mod harness {
    //! A link with a test in the Switch's place.

    use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

    use actix::prelude::*;
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use crate::{
        core::{
            batch::Source,
            counters::Counters,
            fdb::PortNumber,
            frame::Frame,
            gauge::Gauge,
            line::Line,
            memory::QueueMemory,
            offload::finish::Finisher,
            settings::{LinkSettings, PortSettings},
            state::Stop,
        },
        message::Ingress,
        port::{IngressSender, Link, Medium, PortError, PortIo, StopSignal, queue},
    };

    /// For what needs a few milliseconds, on a busy machine.
    const LIMIT: Duration = Duration::from_secs(20);

    /// Waits until `condition` holds.
    pub(in crate::kinds) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "{what}");
    }

    struct Collector(Rc<RefCell<Vec<Frame>>>);

    impl Actor for Collector {
        type Context = Context<Self>;
    }

    impl Handler<Ingress> for Collector {
        type Result = ();

        fn handle(&mut self, ingress: Ingress, _: &mut Context<Self>) {
            assert!(ingress.frames.len() <= crate::core::batch::BATCH_FRAMES);
            self.0.borrow_mut().extend(ingress.frames);
        }
    }

    /// A running link.
    pub(in crate::kinds) struct Rig {
        received: Rc<RefCell<Vec<Frame>>>,
        queue: queue::Sender,
        gauge: Gauge,
        stop: Option<oneshot::Sender<Stop>>,
        pub(in crate::kinds) counters: Arc<Counters>,
        settings: Arc<LinkSettings>,
        task: actix_rt::task::JoinHandle<Result<(), PortError>>,
    }

    impl Rig {
        pub(in crate::kinds) async fn open(medium: &mut impl Medium) -> Self {
            let link = medium.open().await.expect("the medium opens");
            let received = Rc::<RefCell<Vec<Frame>>>::default();
            let switch = Collector(Rc::clone(&received)).start();
            let gauge = Gauge::alone(queue::QUEUE_OCTETS);
            let counters = Arc::<Counters>::default();
            let plain = !medium.takes_offload();
            let settings = Arc::<LinkSettings>::default();
            let finisher = Finisher::new(Arc::clone(&settings), plain, Arc::clone(&counters));
            let (queue, egress) = queue::channel(gauge.clone(), finisher, Line::plain());
            let (stop, stopped) = oneshot::channel();
            let io = PortIo {
                ingress: IngressSender::new(
                    switch.recipient(),
                    PortNumber::FIRST,
                    Finisher::default(),
                ),
                egress,
                memory: QueueMemory::new(usize::MAX),
                stop: StopSignal::new(stopped),
                counters: Arc::clone(&counters),
                pings: Arc::default(),
                settings: Arc::clone(&settings),
                log: slog::Logger::root(slog::Discard, slog::o!()),
            };
            let task = actix_rt::spawn(link.run(io));
            Self { received, queue, gauge, stop: Some(stop), counters, settings, task }
        }

        /// All frames that have come in since the last call.
        pub(in crate::kinds) fn take(&self) -> Vec<Frame> {
            std::mem::take(&mut *self.received.borrow_mut())
        }

        /// Sets what is in force, as the Switch does.
        pub(in crate::kinds) fn set(&self, settings: &PortSettings) {
            self.settings.apply(settings);
        }

        /// Gives the device its carrier, or takes it away, as the Switch does.
        pub(in crate::kinds) fn set_carrier(&self, has_carrier: bool) {
            self.settings.set_carrier(has_carrier);
        }

        /// Queues what there is room for, as the Switch does.
        pub(in crate::kinds) fn send(&mut self, frames: Vec<Frame>) {
            let admitted =
                frames.into_iter().filter(|frame| self.gauge.admit(frame, Source::OWN)).collect();
            self.queue.push(Source::OWN, admitted);
        }

        pub(in crate::kinds) fn send_octets(&mut self, octets: &[u8]) {
            self.send(vec![Frame::new(Bytes::copy_from_slice(octets))]);
        }

        /// Waits for a frame that `wanted` accepts; others are dropped.
        pub(in crate::kinds) async fn expect(
            &self,
            what: &str,
            wanted: impl Fn(&Frame) -> bool,
        ) -> Frame {
            let mut found = None;
            until(what, || {
                found = found.take().or_else(|| self.take().into_iter().find(&wanted));
                found.is_some()
            })
            .await;
            found.expect("the condition has held")
        }

        pub(in crate::kinds) fn is_running(&self) -> bool {
            !self.task.is_finished()
        }

        /// Waits for the link's own end.
        pub(in crate::kinds) async fn end(self) -> Result<(), PortError> {
            let end = tokio::time::timeout(LIMIT, self.task).await;
            end.expect("the link ends").expect("without a panic")
        }

        /// Ends the link.
        pub(in crate::kinds) async fn stop(mut self) -> Result<(), PortError> {
            if let Some(stop) = self.stop.take() {
                stop.send(Stop::Deleted).expect("the link runs");
            }
            self.end().await
        }
    }

    /// A broadcast frame of the local experimental EtherType, which no network
    /// stack answers.
    pub(in crate::kinds) fn probe(text: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
        frame.extend(text);
        frame.resize(60.max(frame.len()), 0);
        frame
    }

    pub(in crate::kinds) fn is_probe(frame: &Frame) -> bool {
        frame.header().is_some_and(|header| header.ethertype() == 0x88b5)
    }
}
