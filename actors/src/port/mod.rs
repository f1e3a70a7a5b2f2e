//! The port actor, and the two traits that a kind of port implements.
//!
//! All kinds have the same shape: a [`Medium`] knows how to open something that
//! carries frames; the [`Link`] it opens carries them until it ends. The supervisor
//! opens, the `Port` actor stands between the Switch and the link, and restarts
//! are none of a kind's business.

mod inlet;
mod pump;
pub mod queue;
mod slice;

use std::{any::Any, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use actix::{fut::wrap_future, prelude::*};
use slog::Logger;
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinError},
};

pub use inlet::{IngressSender, SwitchGone};
pub use pump::FrameIo;
pub use queue::EgressQueue;
pub use slice::TimeSlice;

use crate::{
    core::{
        batch::Source,
        counters::Counters,
        holder::Holder,
        interface::Interface,
        links::{LinkId, Place},
        memory::QueueMemory,
        settings::{LinkSettings, PortSettings},
        state::{Details, Stop},
    },
    message::{Egress, GiveUp, Pings},
};

/// Why a port's medium did not open, or why its link ended: an error that names
/// the thing, the value and the way out. Its sources are the causes.
pub type PortError = Box<dyn std::error::Error + Send + Sync>;

/// A kind of port: what can be opened, and opened again after it was lost.
pub trait Medium: 'static {
    /// What [`open`](Self::open) gives.
    type Link: Link;

    /// The word for it in `listport`.
    fn kind(&self) -> &'static str;

    /// What it is joined to, as `listport` shows it. Must not hold a password.
    /// Asked after each [`open`](Self::open).
    fn target(&self) -> String;

    /// Name of the network interface, for kinds that are one.
    fn interface(&self) -> Option<String> {
        None
    }

    /// What else `showport` shows of it: named values, never a password. Asked after
    /// each [`open`](Self::open).
    fn details(&self) -> Details {
        Details::new()
    }

    /// Whether its link takes frames with work left on them
    /// ([`Frame::offload`](crate::frame::Frame::offload),
    /// [`Frame::tag_change`](crate::frame::Frame::tag_change)). For others the queue finishes
    /// frames and cuts super-frames as they leave it.
    fn takes_offload(&self) -> bool {
        false
    }

    /// Whether the supervisor is to open it again after its link has ended.
    fn restarts(&self) -> bool {
        true
    }

    /// Whether the Switch announces what is behind its other ports when this one has
    /// been lost and is up again: for media with a switch at the other end.
    fn announces(&self) -> bool {
        false
    }

    /// Whether nothing but a station is behind it, which can lead to no other port: the loop
    /// guard sends it no frames.
    fn is_leaf(&self) -> bool {
        false
    }

    /// Whether this host's own network stack is behind it: the interface's address is then
    /// that of a station behind the port.
    fn is_host(&self) -> bool {
        false
    }

    /// Takes the port's settings as they are in force. Called before each
    /// [`open`](Self::open).
    fn set(&mut self, settings: &PortSettings) {
        let _ = settings;
    }

    /// Takes other options of its kind, which are good: the next [`open`](Self::open) is with
    /// these. Only for kinds that say so ([`Kind::takes`](crate::kinds::Kind::takes)).
    fn change(&mut self, options: &(dyn Any + Send + Sync)) {
        let _ = options;
    }

    /// Whose session it is, for ports that somebody opens: the former one of the same
    /// holder ends when this is added.
    fn holder(&self) -> Option<Holder> {
        None
    }

    /// Which link of its port it is, where several of them make one port. Such a link must
    /// take what it is to say ([`EgressQueue::message`]), and hand over what its peer says
    /// ([`IngressSender::say`]).
    fn place(&self) -> Place {
        Place::ONLY
    }

    /// The connection, which both ends know by this number, if the port may have several.
    /// Asked after each [`open`](Self::open).
    fn link_id(&self) -> LinkId {
        LinkId::ONLY
    }

    /// Sets on an interface that was made anew what control had set on it. Called
    /// after each [`open`](Self::open) but the first, if anything was set.
    fn configure(&mut self, settings: &Interface) -> impl Future<Output = Result<(), PortError>> {
        let _ = settings;
        async { Ok(()) }
    }

    /// Opens the medium. Dropping the future, or what it gives, leaves nothing
    /// behind.
    fn open(&mut self) -> impl Future<Output = Result<Self::Link, PortError>>;
}

/// An open medium.
pub trait Link: 'static {
    /// Carries frames both ways until the medium is lost (an error), its peer ends
    /// it, or [`PortIo::stop`] says so; after the latter it may take a moment for
    /// its farewell. Runs as a task of its own and must yield.
    fn run(self, io: PortIo) -> impl Future<Output = Result<(), PortError>> + 'static;
}

/// The link's side of its port.
#[derive(Debug)]
pub struct PortIo {
    /// Takes what the medium has received.
    pub ingress: IngressSender,
    /// Holds what the medium is to send.
    pub egress: EgressQueue,
    /// What the queue takes; a link adds what a peer can make it hold.
    pub memory: QueueMemory,
    /// Resolves when the port is to end.
    pub stop: StopSignal,
    /// The port's counters. The Switch counts what comes in, the queue what goes out; a
    /// link counts what its medium gives and no frame can be made of.
    pub counters: Arc<Counters>,
    /// What is in force of the settings that a link looks after itself.
    pub settings: Arc<LinkSettings>,
    /// Pings that control asks for, where the peer answers them.
    pub pings: Arc<Pings>,
    /// Names the port in each record.
    pub log: Logger,
}

/// Resolves when the port is to end.
#[derive(Debug)]
pub struct StopSignal(oneshot::Receiver<Stop>);

impl StopSignal {
    pub(crate) const fn new(stop: oneshot::Receiver<Stop>) -> Self {
        Self(stop)
    }

    /// Waits for it. To be called again only after it was dropped unresolved.
    pub async fn wait(&mut self) -> Stop {
        // Who held the sender is gone: the supervisor's task was dropped.
        (&mut self.0).await.unwrap_or(Stop::Shutdown)
    }
}

/// How a port actor ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The link ended by itself.
    Closed,
    /// The link was lost.
    Lost(PortError),
    /// It was ended, to be opened with other settings.
    SettingsChanged,
    /// The link or the actor panicked.
    Panicked(String),
}

type LinkFuture = Pin<Box<dyn Future<Output = Result<(), PortError>>>>;

/// A port that is up. One actor a link: a restarted port has a new one.
#[derive(Debug)]
pub(crate) struct Port {
    queue: queue::Sender,
    link: AbortHandle,
    /// Dropped with the actor: how the supervisor hears of a panic in here.
    ended: Option<oneshot::Sender<End>>,
}

impl Port {
    /// Starts the actor and the link's task on this Arbiter.
    pub(crate) fn start(
        queue: queue::Sender,
        link: LinkFuture,
    ) -> (Addr<Self>, oneshot::Receiver<End>) {
        let (ended, end) = oneshot::channel();
        let link = actix_rt::spawn(link);
        let addr = Self::create(|ctx| {
            let port = Self { queue, link: link.abort_handle(), ended: Some(ended) };
            ctx.spawn(wrap_future(link).map(|result, port: &mut Self, ctx: &mut Context<Self>| {
                port.end(result);
                ctx.stop();
            }));
            port
        });
        (addr, end)
    }

    fn give_up(&mut self, reason: &'static str, ctx: &mut Context<Self>) {
        self.end(Ok(Err(reason.into())));
        ctx.stop();
    }

    fn end(&mut self, result: Result<Result<(), PortError>, JoinError>) {
        let end = match result {
            Ok(Ok(())) => End::Closed,
            Ok(Err(error)) => End::Lost(error),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => End::from_panic(&*panic),
                Err(_) => End::Closed, // Aborted: the actor is on its way out.
            },
        };
        if let Some(ended) = self.ended.take() {
            // The supervisor is gone only when the whole program ends.
            let _ = ended.send(end);
        }
    }
}

impl End {
    /// The text that a panic was raised with.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a text");
        Self::Panicked(text.to_owned())
    }
}

impl Port {
    /// Sees to it that a link that takes little holds no credit for long.
    fn check_after(delay: Option<Duration>, ctx: &mut Context<Self>) {
        if let Some(delay) = delay {
            ctx.run_later(delay, |port, ctx| Self::check_after(port.queue.check(), ctx));
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.link.abort();
    }
}

impl Actor for Port {
    type Context = Context<Self>;
}

/// Ends the port actor and aborts its link. Supervisor to port.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Terminate;

impl Handler<Terminate> for Port {
    type Result = ();

    fn handle(&mut self, _: Terminate, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<GiveUp> for Port {
    type Result = ();

    fn handle(&mut self, _: GiveUp, ctx: &mut Context<Self>) {
        self.give_up("the peer has given this link up", ctx);
    }
}

impl Handler<Egress> for Port {
    type Result = ();

    fn handle(&mut self, egress: Egress, ctx: &mut Context<Self>) {
        if let Some(message) = egress.message
            && !self.queue.say(message)
        {
            let reason = "it took nothing while other links of its port came and went";
            return self.give_up(reason, ctx);
        }
        self.queue.push(egress.source, egress.frames);
        self.queue.push(Source { flooded: true, ..egress.source }, egress.flooded);
        if egress.alone {
            Self::check_after(self.queue.hold(egress.credit), ctx);
        }
    }
}

/// Puts the name of what failed before an error of the system.
pub(crate) fn io_error(what: impl Into<String>, source: io::Error) -> PortError {
    #[derive(Debug, thiserror::Error)]
    #[error("{what}")]
    struct NamedIoError {
        what: String,
        source: io::Error,
    }
    Box::new(NamedIoError { what: what.into(), source })
}
