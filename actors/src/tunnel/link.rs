//! An open tunnel: the [`Link`] that carries frames over a stream as WebSocket
//! messages, in both roles.
//!
//! Receiving and sending run side by side in one task, so that a peer that does
//! not read does not keep us from reading. Never sends an unsolicited pong, a text or
//! a fragment, and a ping to those alone that are known to answer: the original's
//! client stands still at each of them. Dead peers are found below, by TCP, and by
//! `heartbeat`.

mod held;

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::future::maybe_done;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::Notify,
    task::yield_now,
    time::{Instant, timeout},
};

use self::held::Held;
use super::{
    codec::{CloseCode, Event, Opcode, ProtocolError, Role},
    encode::{Encoder, Gather},
    heartbeat::Heartbeat,
    intake::{self, Next},
    messages::{Control, Messages, Wire},
    pace::Pace,
};
use crate::{
    core::{
        counters::{Counters, Discard},
        error::clean,
        frame::Frame,
        guard::chatter::Chatter,
        links::{LinkGrant, LinkMessage},
        memory::QueueMemory,
        offload::coalesce::Coalescer,
        state::Stop,
    },
    port::{EgressQueue, IngressSender, Link, PortError, PortIo, SwitchGone},
    turns::turn,
};

/// How long a peer may take to answer our close frame. The original waits as long.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// Octets that are taken of a peer until it has heard the farewell: what a long and fast path
/// holds. Who sends more does not listen.
const FAREWELL_OCTETS: usize = 8 * 1024 * 1024;

/// How long the queue of a deleted port may take to empty before that.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// The same for the program's end, where a second is all there is for both.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(500);

/// What a peer is told that has too much memory held for it.
const MEMORY: &str = "the memory of all queues is used up; try again later";

/// What a peer is told that sends too much of it.
const CHATTER: &str = "over 1,000 messages a second that are not frames";

/// Why a tunnel was lost.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// We closed the connection for it.
    #[error("closed with code {}: the peer violated the protocol", .0.close_code().get())]
    Protocol(#[source] ProtocolError),
    /// The peer sent a close frame for a reason.
    #[error("closed by the peer{}{}", code(.0), reason(.1))]
    Closed(Option<CloseCode>, Box<str>),
    /// A process that is killed ends like this.
    #[error("the peer ended the connection without a close frame")]
    NoCloseFrame,
    /// We closed the connection for it.
    #[error("closed with code {}: {CHATTER}", CloseCode::POLICY.get())]
    Chatter,
    /// We closed the connection for it, since its holder has most.
    #[error("closed with code {}: {MEMORY}", CloseCode::TRY_AGAIN_LATER.get())]
    Memory,
    /// We closed the connection for it.
    #[error("closed with code {}: a message of links that is none", CloseCode::PROTOCOL_ERROR.get())]
    BadLinkMessage,
    /// It answers no ping, and sends nothing else.
    #[error("peer timed out: nothing received for 10 s, not even a pong")]
    Silent,
    /// The connection failed.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    /// There is nobody to take frames.
    #[error(transparent)]
    SwitchGone(#[from] SwitchGone),
}

fn code(code: &Option<CloseCode>) -> String {
    code.map(|code| format!(" with code {code}")).unwrap_or_default()
}

fn reason(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", clean(reason)) }
}

/// An open WebSocket over `S`: TCP, or TLS over it.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    role: Role,
    wire: Wire,
    pub(crate) read: BytesMut,
    single: bool,
    pinged: bool,
    grant: Option<LinkGrant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> WebSocket<S> {
    /// A connection on which the handshake is done; `read` is what was read of it
    /// beyond the handshake.
    #[must_use]
    pub const fn new(stream: S, role: Role, read: BytesMut) -> Self {
        Self { stream, role, wire: Wire::Plain, read, single: false, pinged: false, grant: None }
    }

    /// Has messages of this kind, as both ends have agreed on in the handshake.
    #[must_use]
    pub const fn with_wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// What its messages are.
    #[must_use]
    pub const fn wire(&self) -> Wire {
        self.wire
    }

    /// Has it be a link of a port of several, as the server has granted.
    #[must_use]
    pub const fn with_grant(mut self, grant: Option<LinkGrant>) -> Self {
        self.grant = grant;
        self
    }

    /// What the server has granted, if it knows links.
    #[must_use]
    pub const fn grant(&self) -> Option<LinkGrant> {
        self.grant
    }

    /// Gives each message a write, and so a TLS record, of its own: the original's
    /// client reads one message a record, and finds the others in it only when the
    /// next record comes.
    #[must_use]
    pub const fn single_messages(mut self) -> Self {
        self.single = true;
        self
    }

    /// Has the peer pinged while it is silent. For peers that are known to answer.
    #[must_use]
    pub const fn with_pings(mut self) -> Self {
        self.pinged = true;
        self
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Ends a tunnel that has carried nothing as a port that is deleted does.
    pub(crate) async fn end(mut self) {
        let mut close = Encoder::new(Messages::new(self.role, self.wire), Gather::Messages);
        let code = CloseCode::NORMAL.get().to_be_bytes();
        let farewell = async {
            close.control(Opcode::Close, &code)?;
            close.write(&mut self.stream, &[], |_| {}).await?;
            self.stream.flush().await?;
            // Its answer, and whatever it has sent before.
            let mut taken = (&mut self.stream).take(FAREWELL_OCTETS as u64);
            tokio::io::copy(&mut taken, &mut tokio::io::sink()).await
        };
        within(FLUSH_LIMIT, farewell).await;
    }
}

impl TunnelError {
    /// What to close the connection with, and the reason that the peer is told.
    const fn close(&self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::Protocol(error) => Some((error.close_code(), "")),
            Self::BadLinkMessage => Some((CloseCode::PROTOCOL_ERROR, "")),
            Self::Chatter => Some((CloseCode::POLICY, CHATTER)),
            Self::Memory => Some((CloseCode::TRY_AGAIN_LATER, MEMORY)),
            _ => None,
        }
    }
}

/// What ended the exchange of frames.
enum End {
    /// The peer sent a close frame.
    Closed(Option<CloseCode>, Box<str>),
    Failed(TunnelError),
    Stopped(Stop),
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Link for WebSocket<S> {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        let PortIo { mut ingress, egress, memory, mut stop, counters, pings, .. } = io;
        let Self { stream, role, wire, read, single, pinged, grant } = self;
        let gather = match role {
            _ if single => Gather::Single,
            Role::Server if stream.is_write_vectored() => Gather::Headers,
            _ => Gather::Messages,
        };
        let (reader, writer) = tokio::io::split(stream);
        let pongs = Pongs::default();
        pings.possible.store(pinged, Relaxed);
        let heartbeat = if pinged {
            Heartbeat::new(Arc::clone(&counters)).asked_by(pings)
        } else {
            Heartbeat::none()
        };
        let mut receiver = Receiver::new(reader, Messages::new(role, wire), read, memory);
        let mut sender = Sender {
            stream: writer,
            encoder: Encoder::new(Messages::new(role, wire), gather),
            says: grant.is_some(),
            egress,
            batch: Vec::new(),
            pace: Pace::new(),
        };
        let end = tokio::select! {
            result = receiver.run(&mut ingress, &pongs, &heartbeat, &counters) => match result {
                Ok((code, reason)) => End::Closed(code, reason),
                Err(error) => End::Failed(error),
            },
            Err(error) = sender.run(&pongs, &heartbeat) => End::Failed(error),
            () = heartbeat.silence() => End::Failed(TunnelError::Silent),
            stop = stop.wait() => End::Stopped(stop),
        };
        if !matches!(end, End::Stopped(_)) {
            // With its network thousands may end at once, and each takes its port down.
            drop(turn().await);
        }
        match end {
            End::Closed(code, reason) => {
                within(CLOSE_LIMIT, sender.close(code, "")).await;
                if code.is_none_or(|code| code == CloseCode::NORMAL) && reason.is_empty() {
                    return Ok(());
                }
                Err(TunnelError::Closed(code, reason).into())
            }
            End::Failed(error) => {
                if let Some((code, reason)) = error.close() {
                    // Octets left unread would reset the connection, and the
                    // close frame with it.
                    let close = sender.close(Some(code), reason);
                    within(CLOSE_LIMIT, async { tokio::join!(close, receiver.drain()) }).await;
                }
                Err(error.into())
            }
            End::Stopped(stop) => {
                let (code, flush, close) = match stop {
                    Stop::Deleted => (CloseCode::NORMAL, FLUSH_LIMIT, CLOSE_LIMIT),
                    Stop::Shutdown => (CloseCode::GOING_AWAY, SHUTDOWN_LIMIT, SHUTDOWN_LIMIT),
                    Stop::Unauthorized => (CloseCode::POLICY, Duration::ZERO, CLOSE_LIMIT),
                };
                let mut answer = pin!(maybe_done(receiver.until_close()));
                tokio::select! {
                    () = within(flush, sender.empty()) => {}
                    () = answer.as_mut() => {}
                }
                let farewell = async { tokio::join!(sender.send_close(Some(code), ""), answer) };
                within(close, farewell).await;
                // Whether or not the peer has answered, TCP ends here, and at once.
                within(Duration::ZERO, sender.stream.shutdown()).await;
                Ok(())
            }
        }
    }
}

/// A farewell is a courtesy: how it ends, or that it takes too long, changes nothing.
async fn within<T>(limit: Duration, farewell: impl Future<Output = T>) {
    let _ = timeout(limit, farewell).await;
}

/// The pong that is due. Only the last ping need be answered (RFC 6455, 5.5.3):
/// what a peer can make us hold ends there.
#[derive(Default)]
struct Pongs {
    due: RefCell<Option<Bytes>>,
    ready: Notify,
}

impl Pongs {
    fn answer(&self, payload: Bytes) {
        self.due.replace(Some(payload));
        self.ready.notify_one();
    }
}

/// How the peer has ended it, or what it did that ends it.
type Closed = Result<(Option<CloseCode>, Box<str>), TunnelError>;

/// Where a batch ends before its time.
enum Break {
    /// The peer says something between frames.
    Said(LinkMessage),
    /// It has ended the connection, or must be ended.
    Closed(Closed),
}

/// From the stream to the Switch.
struct Receiver<S> {
    stream: ReadHalf<S>,
    messages: Messages,
    coalescer: Coalescer,
    chatter: Chatter,
    read: BytesMut,
    intake: Held,
}

impl<S: AsyncRead> Receiver<S> {
    fn new(stream: ReadHalf<S>, messages: Messages, read: BytesMut, memory: QueueMemory) -> Self {
        let (coalescer, chatter) = (Coalescer::default(), Chatter::default());
        let intake = Held::new(memory);
        Self { stream, messages, coalescer, chatter, read, intake }
    }

    /// Hands frames to the Switch until the peer closes.
    async fn run(
        &mut self,
        ingress: &mut IngressSender,
        pongs: &Pongs,
        heartbeat: &Heartbeat,
        counters: &Counters,
    ) -> Closed {
        loop {
            let (batch, next) = self.take(pongs, heartbeat, counters);
            if batch.is_empty() {
                // Whatever comes, others have their turn.
                yield_now().await;
            } else {
                ingress.send(batch).await?;
            }
            match next {
                Next::Frames => {}
                Next::Read => {
                    self.room().await?;
                    heartbeat.listen(self.read()).await?;
                }
                Next::End(end) => match end.map_err(TunnelError::Protocol)? {
                    Break::Said(message) => ingress.say(message).await?,
                    Break::Closed(closed) => return closed,
                },
            }
        }
    }

    /// Takes a batch of frames out of what was read.
    fn take(
        &mut self,
        pongs: &Pongs,
        heartbeat: &Heartbeat,
        counters: &Counters,
    ) -> (Vec<Frame>, Next<Result<Break, ProtocolError>>) {
        let Self { messages, coalescer, chatter, read, .. } = self;
        let mut clock = None;
        intake::take(messages, coalescer, read, |control| {
            let now = *clock.get_or_insert_with(|| Instant::now().into_std());
            let event = match control {
                Control::Event(event) => event,
                Control::Unknown(len) => {
                    let is_over = !chatter.admits(len, now);
                    return is_over.then_some(Break::Closed(Err(TunnelError::Chatter)));
                }
                Control::Link(message) => {
                    let said = message.ok_or(TunnelError::BadLinkMessage);
                    let said = said.and_then(|message| {
                        let is_over = !chatter.admits(LinkMessage::LEN, now);
                        if is_over { Err(TunnelError::Chatter) } else { Ok(message) }
                    });
                    // What follows counts only behind it.
                    return Some(said.map_or_else(|e| Break::Closed(Err(e)), Break::Said));
                }
                Control::BadOffload => {
                    counters.discarded(Discard::UnknownOffload, 1);
                    return None;
                }
            };
            let admitted = match event {
                Event::Fragment(len) => chatter.admits_fragment(len, now),
                Event::Text(len) => {
                    counters.text_message();
                    chatter.admits(len, now)
                }
                Event::Ping(payload) => {
                    pongs.answer(payload);
                    chatter.admits(0, now)
                }
                Event::Pong(payload) => {
                    heartbeat.pong(&payload);
                    chatter.admits(0, now)
                }
                Event::Close(code, reason) => return Some(Break::Closed(Ok((code, reason)))),
                // Frames do not come here.
                Event::Binary(_) | Event::Fragmented(_) => true,
            };
            (!admitted).then_some(Break::Closed(Err(TunnelError::Chatter)))
        })
    }

    /// Reads what is ready, when there is room for it.
    async fn fill(&mut self) -> Result<(), TunnelError> {
        self.room().await?;
        self.read().await
    }

    /// Waits for room for what is to be read.
    async fn room(&mut self) -> Result<(), TunnelError> {
        let kept = self.read.len() + self.messages.held();
        if !self.intake.keep(kept) {
            return Err(TunnelError::Memory);
        }
        while self.intake.is_crowded() {
            yield_now().await;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), TunnelError> {
        let read = intake::read(&mut self.stream, &mut self.read).await;
        self.intake.enter(self.read.len());
        match read {
            Ok(0) => Err(TunnelError::NoCloseFrame),
            Ok(_) => Ok(()),
            Err(error) => Err(TunnelError::Lost(error)),
        }
    }

    /// Throws away what comes until the peer's close frame, or the end.
    async fn until_close(&mut self) {
        let mut left = FAREWELL_OCTETS;
        loop {
            let Self { messages, coalescer, read, .. } = self;
            let is_close =
                |control| matches!(control, Control::Event(Event::Close(..))).then_some(());
            match intake::take(messages, coalescer, read, is_close).1 {
                Next::End(_) => return,
                Next::Read if !self.fill_for_farewell(&mut left).await => return,
                Next::Read | Next::Frames => yield_now().await,
            }
        }
    }

    /// Throws away what comes until the stream ends.
    async fn drain(&mut self) {
        let mut left = FAREWELL_OCTETS;
        while self.fill_for_farewell(&mut left).await {
            self.read.clear();
            yield_now().await;
        }
    }

    /// Reads what is ready; whether there was something, and not too much in all.
    async fn fill_for_farewell(&mut self, left: &mut usize) -> bool {
        let before = self.read.len();
        if self.fill().await.is_err() {
            return false;
        }
        *left = left.saturating_sub(self.read.len().saturating_sub(before));
        *left > 0
    }
}

/// From the egress queue to the stream. What is being written is kept here, not in
/// a future: when one is dropped, the next goes on at the same octet.
struct Sender<S> {
    stream: WriteHalf<S>,
    encoder: Encoder<Messages>,
    egress: EgressQueue,
    /// Whether the peer knows what a link of several says.
    says: bool,
    /// Frames that are being written.
    batch: Vec<Frame>,
    pace: Pace,
}

impl<S: AsyncWrite> Sender<S> {
    /// Sends what comes until the connection is lost.
    async fn run(
        &mut self,
        pongs: &Pongs,
        heartbeat: &Heartbeat,
    ) -> Result<Infallible, TunnelError> {
        let mut slice = self.egress.time_slice();
        loop {
            let was_busy = !self.batch.is_empty();
            let (written, waited) = slice.write(self.flush_paced()).await;
            written?;
            if waited {
                heartbeat.alive();
            } else if was_busy {
                // Others have the thread in between, however much waits here.
                slice.end_batch().await;
            }
            if let Some(payload) = pongs.due.take() {
                self.encoder.control(Opcode::Pong, &payload).map_err(TunnelError::Lost)?;
                continue;
            }
            if let Some(payload) = heartbeat.take_ping() {
                self.encoder.control(Opcode::Ping, &payload).map_err(TunnelError::Lost)?;
                continue;
            }
            if let Some(message) = self.egress.message() {
                if self.says {
                    self.encoder.link(message).map_err(TunnelError::Lost)?;
                }
                continue;
            }
            tokio::select! {
                () = self.egress.recv(&mut self.batch) => {}
                () = pongs.ready.notified() => {}
                () = heartbeat.ready() => {}
            }
        }
    }

    /// Writes the batch at hand, and sets the length of the next by the time that it
    /// took.
    async fn flush_paced(&mut self) -> Result<(), TunnelError> {
        let octets = self.batch.iter().map(Frame::len).sum();
        let began = Instant::now();
        self.flush().await?;
        if self.pace.wrote(octets, began.elapsed()) {
            self.egress.filled();
        }
        self.egress.set_batch_octets(self.pace.octets());
        Ok(())
    }

    /// Sends what is in the queue.
    async fn empty(&mut self) -> Result<(), TunnelError> {
        self.flush().await?;
        while self.egress.try_recv(&mut self.batch) {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what is pending to its last octet.
    async fn flush(&mut self) -> Result<(), TunnelError> {
        let Self { stream, encoder, egress, batch, .. } = self;
        let refused = |frame: &Frame| egress.refused(frame, Discard::UnknownOffload);
        encoder.write(stream, batch, refused).await.map_err(TunnelError::Lost)?;
        batch.clear();
        egress.done();
        self.stream.flush().await.map_err(TunnelError::Lost)
    }

    /// Ends our side: what is being written, a close frame, the end of the stream.
    async fn close(&mut self, code: Option<CloseCode>, reason: &str) -> Result<(), TunnelError> {
        self.send_close(code, reason).await?;
        self.stream.shutdown().await.map_err(TunnelError::Lost)
    }

    async fn send_close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
    ) -> Result<(), TunnelError> {
        self.flush().await?;
        let code = code.map(|code| code.get().to_be_bytes());
        let payload = code.map_or_else(Vec::new, |code| [&code, reason.as_bytes()].concat());
        self.encoder.control(Opcode::Close, &payload).map_err(TunnelError::Lost)?;
        self.flush().await
    }
}

#[cfg(test)]
mod tests;
