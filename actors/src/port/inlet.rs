//! Where a link hands its frames to the Switch: at once, with a credit for each batch, or by a
//! queue of their own where a line is set for what comes in by the port.
//!
//! That queue is bounded like the one of what leaves, and what it has no room for is discarded.
//! Reading later would be no way to slow a tunnel's peer down: its pings and its farewell would
//! wait behind its frames, for many seconds where a line is slow.

use std::sync::Arc;

use actix::prelude::*;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, yield_now},
};

use super::queue::{self, EgressQueue, QUEUE_OCTETS};
use crate::{
    core::{
        batch::{INGRESS_CREDITS, Source},
        counters::Discard,
        fdb::PortNumber,
        frame::Frame,
        gauge::{Gauge, cost},
        line::{Buckets, Direction, Line},
        links::{LinkId, LinkMessage, Place},
        memory::QueueMemory,
        offload::finish::Finisher,
        settings::OffloadTypes,
    },
    message::{Credit, Ingress},
};

/// Where a link hands its frames to the Switch.
#[derive(Debug)]
pub struct IngressSender {
    gate: Gate,
    /// What must be finished before the Switch sees it.
    finisher: Finisher,
    /// What the holder's lines pay into, and whose memory a queue takes.
    buckets: Arc<Buckets>,
    memory: QueueMemory,
    inlet: Option<Inlet>,
}

/// The Switch has ended: there is nobody to take frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the switch has ended")]
pub struct SwitchGone;

/// The way to the Switch.
#[derive(Debug, Clone)]
struct Gate {
    switch: Recipient<Ingress>,
    port: PortNumber,
    link: LinkId,
    credits: Arc<Semaphore>,
    /// Its holder's turns, if he may have several ports.
    turns: Option<Arc<Semaphore>>,
}

/// A queue before the Switch, and the task that takes its frames there.
#[derive(Debug)]
struct Inlet {
    queue: queue::Sender,
    gauge: Gauge,
    task: JoinHandle<()>,
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl IngressSender {
    pub(crate) fn new(switch: Recipient<Ingress>, port: PortNumber, finisher: Finisher) -> Self {
        let credits = Arc::new(Semaphore::new(INGRESS_CREDITS));
        let gate = Gate { switch, port, link: LinkId::ONLY, credits, turns: None };
        let (buckets, memory) = (Arc::default(), QueueMemory::new(usize::MAX));
        Self { gate, finisher, buckets, memory, inlet: None }
    }

    /// Has it be of a link in this place of its port. The links share the port's credits: with
    /// as many each, they would overrun the queue that what they carry goes to. Each has two at
    /// least, so that one that carries everything reads while a batch of it is on its way: with
    /// one it takes a third more CPU for an octet.
    pub(crate) fn of_link(mut self, link: LinkId, place: Place) -> Self {
        let credits = (INGRESS_CREDITS / usize::from(place.of.max(1))).max(2);
        (self.gate.link, self.gate.credits) = (link, Arc::new(Semaphore::new(credits)));
        self
    }

    /// Has it wait for its turn among the ports of its holder.
    pub(crate) fn in_turn(mut self, turns: Option<Arc<Semaphore>>) -> Self {
        self.gate.turns = turns;
        self
    }

    /// What its line pays into, and what its queue takes, if it is to have them.
    pub(crate) fn sharing(mut self, buckets: Arc<Buckets>, memory: QueueMemory) -> Self {
        (self.buckets, self.memory) = (buckets, memory);
        self
    }

    /// Waits for a credit, hands over a batch, and yields to the runtime, so that a
    /// busy port does not keep its receivers from running. `frames` should hold at
    /// most [`BATCH_FRAMES`](crate::core::batch::BATCH_FRAMES) and
    /// [`BATCH_OCTETS`](crate::core::batch::BATCH_OCTETS).
    ///
    /// # Errors
    /// The Switch has ended.
    pub async fn send(&mut self, frames: Vec<Frame>) -> Result<(), SwitchGone> {
        if frames.is_empty() {
            return Ok(());
        }
        let frames = self.finished(frames);
        let has_line = self.finisher.settings().has_line(Direction::In);
        if has_line || self.inlet.is_some() {
            return self.queue(frames, has_line).await;
        }
        self.gate.pass(frames, None).await
    }

    /// Hands over what the peer has said between frames, behind those before it.
    ///
    /// # Errors
    /// The Switch has ended.
    pub async fn say(&mut self, message: LinkMessage) -> Result<(), SwitchGone> {
        if let Some(inlet) = self.inlet.take() {
            inlet.empty().await;
        }
        self.gate.pass(Vec::new(), Some(message)).await
    }

    /// The frames as they may enter the port. Almost always as they are.
    fn finished(&self, frames: Vec<Frame>) -> Vec<Frame> {
        let allowed = self.finisher.allowed();
        if allowed == OffloadTypes::ALL {
            return frames;
        }
        let mut finished = Vec::with_capacity(frames.len());
        for frame in frames {
            self.finisher.pass(frame, allowed, |frame| finished.push(frame));
        }
        finished
    }

    /// Queues those that there is room for. Without a line no more, once the queue is empty.
    async fn queue(&mut self, mut frames: Vec<Frame>, has_line: bool) -> Result<(), SwitchGone> {
        if !has_line {
            if let Some(inlet) = self.inlet.take() {
                inlet.empty().await;
            }
            return self.gate.pass(frames, None).await;
        }
        let inlet = self.inlet.get_or_insert_with(|| {
            let finisher = self.finisher.clone();
            let settings = Arc::clone(finisher.settings());
            let line = Line::new(Direction::In, settings, Arc::clone(&self.buckets));
            Inlet::open(self.gate.clone(), finisher, line, &self.memory)
        });
        if inlet.task.is_finished() {
            return Err(SwitchGone);
        }
        let counters = self.finisher.counters();
        frames.retain(|frame| {
            let refused = inlet.refuses(frame);
            if let Some(reason) = refused {
                let (frames, octets) = frame.on_wire();
                counters.received(frames, octets);
                counters.discarded(reason, frames);
            }
            refused.is_none()
        });
        inlet.queue.push(Source::OWN, frames);
        yield_now().await;
        Ok(())
    }
}

impl Gate {
    async fn pass(
        &self,
        frames: Vec<Frame>,
        message: Option<LinkMessage>,
    ) -> Result<(), SwitchGone> {
        let permit = Arc::clone(&self.credits).acquire_owned().await.map_err(|_| SwitchGone)?;
        let turn = match &self.turns {
            None => None,
            Some(turns) => Some(Arc::clone(turns).acquire_owned().await.map_err(|_| SwitchGone)?),
        };
        if !self.switch.connected() {
            return Err(SwitchGone);
        }
        // Bounded by the credits, so it may pass by the mailbox's own limit.
        let (Self { port, link, .. }, credit) = (self, Credit::new(permit));
        let (port, link) = (*port, *link);
        self.switch.do_send(Ingress { port, link, frames, message, credit, turn });
        yield_now().await;
        Ok(())
    }
}

impl Inlet {
    fn open(gate: Gate, finisher: Finisher, line: Line, memory: &QueueMemory) -> Self {
        let gauge = Gauge::new(QUEUE_OCTETS, memory.clone());
        let (queue, out) = queue::channel(gauge.clone(), finisher, line);
        let task = actix_rt::spawn(carry(out, gate));
        Self { queue, gauge, task }
    }

    /// Why there is no room for `frame`; if there is, it is taken.
    fn refuses(&self, frame: &Frame) -> Option<Discard> {
        let refused = self.gauge.refuses(frame, Source::OWN, 0, 0);
        if refused.is_none() {
            self.gauge.take(Source::OWN, cost(frame));
        }
        refused
    }

    /// Waits until the Switch has all of it.
    async fn empty(mut self) {
        self.queue.close();
        // What it ends with, the next batch sees as well.
        let _ = (&mut self.task).await;
    }
}

/// Takes frames to the Switch, until there are none and will be none.
async fn carry(mut queue: EgressQueue, gate: Gate) {
    let mut batch = Vec::new();
    while queue.recv_or_end(&mut batch).await {
        if gate.pass(std::mem::take(&mut batch), None).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::timeout;

    use super::*;

    /// A switch that keeps all batches, with their credits.
    #[derive(Default)]
    struct Keeper(Vec<Ingress>);

    impl Actor for Keeper {
        type Context = Context<Self>;
    }

    impl Handler<Ingress> for Keeper {
        type Result = ();

        fn handle(&mut self, ingress: Ingress, _: &mut Context<Self>) {
            self.0.push(ingress);
        }
    }

    #[actix::test]
    async fn the_links_of_a_port_share_its_credits() {
        tokio::time::pause();
        for (of, wanted) in [(1, INGRESS_CREDITS), (2, 2), (4, 2), (8, 2)] {
            let switch = Keeper::default().start().recipient();
            let place = Place { of, ..Place::ONLY };
            let mut link = IngressSender::new(switch, PortNumber::FIRST, Finisher::default())
                .of_link(LinkId::ONLY, place);
            let mut batches = 0;
            let batch = || vec![Frame::new(Bytes::from_static(&[7; 60]))];
            while timeout(Duration::from_secs(1), link.send(batch())).await.is_ok() {
                batches += 1;
            }
            assert_eq!(batches, wanted, "{of} links");
        }
    }
}
