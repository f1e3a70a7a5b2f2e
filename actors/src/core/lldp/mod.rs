//! LLDP: tells whoever is at the other end of a cable what this switch is, and remembers what they
//! tell (IEEE 802.1AB-2016, clauses 6 and 9). An agent for each port, that of the nearest bridge.
//!
//! It says what to send and what is news; the Switch does it, and has it look when that is due.
//! All is done at ticks: an agent sends once a tick at most, which is less than the standard's
//! credits allow. Neighbors are strangers: what they tell is bounded for each port, for each
//! holder of ports and in all, where whoever has most gives way.

mod pdu;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    ops::Bound,
    time::{Duration, Instant},
};

pub use self::pdu::{Capabilities, Capability, ETHERTYPE_LLDP, Id, IdType, ManagementAddress, Pdu};
use super::{
    fdb::PortNumber,
    guard::bucket::{Bucket, Rate},
    packet::Ethernet,
    settings::LldpStatus,
    tick::{self, TICK},
};
use crate::names;

/// Time between two LLDPDUs (msgTxInterval; IEEE 802.1AB, 9.2.5.7).
const INTERVAL: Duration = Duration::from_secs(30);

/// Seconds that what we tell holds: four intervals (msgTxHold) and one (9.2.5.22).
pub const TTL: u16 = 121;

/// LLDPDUs that a new neighbor is sent in a row (txFastInit; 9.2.5.19).
const FAST: u8 = 4;

/// Time between these (msgFastTx; 9.2.5.5).
const FAST_INTERVAL: Duration = Duration::from_secs(1);

/// Neighbors of a port: more are behind something that passes LLDP on.
const MAX_ON_PORT: usize = 32;

/// Neighbors of all ports of a holder.
const MAX_OF_HOLDER: usize = 64;

/// Neighbors in all: some megabytes at worst.
pub const MAX_NEIGHBORS: usize = 1024;

/// LLDPDUs of a port that are read in a second, and at once: all of its neighbors, with four each.
const RATE: Rate = Rate { per_second: 10, burst: 128 };

/// Neighbors in one message: more would hold up frames.
pub const PAGE: usize = 64;

names! {
    /// What has become of a neighbor.
    pub enum News {
        /// It was heard for the first time.
        New = "new",
        /// It says something else than before.
        Changed = "changed",
        /// It has said that it goes, or was not heard for as long as it holds.
        Gone = "gone",
    }
}

/// What the Switch is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send an LLDPDU out of the port, which holds for so many seconds.
    Send(PortNumber, u16),
    /// Tell what has become of a neighbor.
    Tell(PortNumber, News, Box<Pdu>),
}

/// What became of an LLDPDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was taken, or the port does not listen.
    Taken,
    /// It is none.
    Malformed,
    /// It is of a neighbor for which there is no room.
    NoRoom,
    /// There are too many of them.
    TooMany,
}

/// A neighbor: the port that it is behind, its chassis and its port.
pub type Key = (PortNumber, Id, Id);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Neighbor {
    pdu: Pdu,
    until: Instant,
}

/// That of one port.
#[derive(Debug)]
struct Agent {
    status: LldpStatus,
    /// Place of the port's holder.
    held: usize,
    neighbors: usize,
    /// When it sends next.
    next: Instant,
    /// How many more are to follow fast.
    fast: u8,
    heard: Bucket,
}

/// The agents of a switch, and their neighbors.
#[derive(Debug)]
pub struct Lldp {
    /// The tick that the others are counted from.
    start: Instant,
    agents: BTreeMap<PortNumber, Agent>,
    neighbors: BTreeMap<Key, Neighbor>,
    /// Of each holder that has some.
    held: HashMap<usize, usize>,
    actions: Vec<Action>,
    due: Option<Instant>,
}

/// What a switch tells of itself by every port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System {
    /// Name of its machine.
    pub name: String,
    /// Program and version.
    pub description: String,
}

/// Whether a frame is one of LLDP: untagged, to one of the three addresses for it
/// (IEEE 802.1AB, table 7-1).
#[must_use]
pub fn is_lldp(header: Ethernet<'_>) -> bool {
    header.ethertype() == ETHERTYPE_LLDP
        && header.tag().is_none()
        && matches!(header.dst().link_local(), Some(0 | 3 | 14))
}

impl Lldp {
    /// Without ports; `start` is a tick.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        let (agents, neighbors, held, actions) = Default::default();
        Self { start, agents, neighbors, held, actions, due: None }
    }

    /// How many neighbors there are, and may be.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.neighbors.len(), MAX_NEIGHBORS)
    }

    /// What the port, of the holder at this place, does from now on, after anything that may have
    /// changed it. One that is not open does nothing, and has no neighbors.
    pub fn set(&mut self, port: PortNumber, held: usize, status: LldpStatus, now: Instant) {
        let before = self.agents.get(&port).map_or(LldpStatus::Disabled, |agent| agent.status);
        if before == status {
            return;
        }
        if before.transmits() && !status.transmits() {
            self.actions.push(Action::Send(port, 0));
        }
        if !status.receives() {
            self.forget_neighbors(port);
        }
        if status == LldpStatus::Disabled {
            self.agents.remove(&port);
            return;
        }
        let agent = self.agents.entry(port).or_insert_with(|| Agent {
            status,
            held,
            neighbors: 0,
            next: now,
            fast: 0,
            heard: Bucket::default(),
        });
        agent.status = status;
        if !before.transmits() && status.transmits() {
            agent.next = now;
            self.hasten(now);
        }
    }

    /// Forgets a port that is no more.
    pub fn remove(&mut self, port: PortNumber) {
        self.forget_neighbors(port);
        self.agents.remove(&port);
    }

    /// What is told by the port, or by all of them, may be something else than before.
    pub fn change(&mut self, port: Option<PortNumber>, now: Instant) {
        let all = match port {
            Some(port) => self.agents.range_mut(port..=port),
            None => self.agents.range_mut(..),
        };
        let mut any = false;
        for (_, agent) in all.filter(|(_, agent)| agent.status.transmits()) {
            agent.next = agent.next.min(now);
            any = true;
        }
        if any {
            self.hasten(now);
        }
    }

    /// The switch ends: whoever was told something hears that it holds no longer.
    pub fn end(&mut self, now: Instant) {
        let all: Vec<_> = self.agents.iter().map(|(port, agent)| (*port, agent.held)).collect();
        for (port, held) in all {
            self.set(port, held, LldpStatus::Disabled, now);
        }
    }

    /// An LLDPDU came in by the port: what stands behind its header.
    pub fn receive(&mut self, port: PortNumber, octets: &[u8], now: Instant) -> Heard {
        let Some(agent) = self.agents.get_mut(&port).filter(|agent| agent.status.receives()) else {
            return Heard::Taken;
        };
        if !agent.heard.admit(RATE, 1, now) {
            return Heard::TooMany;
        }
        let Some(pdu) = Pdu::read(octets) else { return Heard::Malformed };
        let key = (port, pdu.chassis.clone(), pdu.port.clone());
        if pdu.ttl == 0 {
            self.lose(&key);
            return Heard::Taken;
        }
        let until = now + Duration::from_secs(pdu.ttl.into());
        if let Some(known) = self.neighbors.get_mut(&key) {
            known.until = until;
            let mut before = mem::replace(&mut known.pdu, pdu);
            before.ttl = known.pdu.ttl;
            if before != known.pdu {
                let news = Action::Tell(port, News::Changed, known.pdu.clone().into());
                self.actions.push(news);
            }
        } else {
            let (is_full, held) = (agent.neighbors >= MAX_ON_PORT, agent.held);
            if is_full || !self.has_room(held) {
                return Heard::NoRoom;
            }
            let Some(agent) = self.agents.get_mut(&port) else { return Heard::Taken };
            agent.neighbors += 1;
            *self.held.entry(agent.held).or_default() += 1;
            if agent.status.transmits() {
                // It is told of us at once, and what is lost of that is sent again soon.
                agent.fast = if agent.fast == 0 { FAST } else { agent.fast };
                agent.next = now;
                self.hasten(now);
            }
            self.actions.push(Action::Tell(port, News::New, pdu.clone().into()));
            self.neighbors.insert(key, Neighbor { pdu, until });
        }
        self.hasten(until);
        Heard::Taken
    }

    /// When to look next, if at all: at a tick.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Does what is due.
    pub fn look(&mut self, now: Instant) {
        let is_over = |(_, known): &(&Key, &Neighbor)| known.until <= now;
        let over: Vec<_> =
            self.neighbors.iter().filter(is_over).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| self.lose(key));
        let mut next = self.neighbors.values().map(|known| known.until).min();
        for (port, agent) in self.agents.iter_mut().filter(|(_, agent)| agent.status.transmits()) {
            if agent.next <= now {
                self.actions.push(Action::Send(*port, TTL));
                agent.fast = agent.fast.saturating_sub(1);
                agent.next = now + if agent.fast > 0 { FAST_INTERVAL } else { INTERVAL };
            }
            next = Some(next.map_or(agent.next, |next| next.min(agent.next)));
        }
        self.due = next.map(|next| self.tick(next));
    }

    /// What is to be done.
    pub fn take_actions(&mut self) -> Vec<Action> {
        mem::take(&mut self.actions)
    }

    /// Some neighbors with the time that is left of them, by port and ids: those behind `after`, of
    /// the port that is asked for. No more than [`PAGE`]; the last of them, if there are more.
    #[must_use]
    pub fn page(
        &self,
        port: Option<PortNumber>,
        after: Option<&Key>,
        now: Instant,
    ) -> (Vec<(PortNumber, Pdu, Duration)>, Option<Key>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let is_asked_for = |(key, _): &(&Key, &Neighbor)| port.is_none_or(|port| port == key.0);
        let mut rest = self.neighbors.range((from, Bound::Unbounded)).filter(is_asked_for);
        let (mut page, mut last) = (Vec::new(), None);
        for (key, Neighbor { pdu, until }) in rest.by_ref().take(PAGE) {
            page.push((key.0, pdu.clone(), until.saturating_duration_since(now)));
            last = Some(key);
        }
        let more = rest.next().is_some();
        (page, last.filter(|_| more).cloned())
    }

    /// The first tick that is not before `at`.
    fn tick(&self, at: Instant) -> Instant {
        let before = at.checked_sub(Duration::from_nanos(1)).filter(|at| *at >= self.start);
        tick::next(self.start, before.unwrap_or(at), TICK)
    }

    fn hasten(&mut self, at: Instant) {
        let at = self.tick(at);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Whether the holder at this place may have one more neighbor; makes room for it.
    fn has_room(&mut self, held: usize) -> bool {
        let own = self.held.get(&held).copied().unwrap_or_default();
        if own >= MAX_OF_HOLDER || self.neighbors.len() < MAX_NEIGHBORS {
            return own < MAX_OF_HOLDER;
        }
        let most = self.held.iter().max_by_key(|(place, count)| (**count, **place));
        let Some((&most, _)) = most.filter(|(_, count)| **count > own + 1) else { return false };
        let is_of = |port| self.agents.get(port).is_some_and(|agent| agent.held == most);
        let of_most = self.neighbors.iter().filter(|(key, _)| is_of(&key.0));
        let first = of_most.min_by_key(|(_, known)| known.until).map(|(key, _)| key.clone());
        first.iter().for_each(|key| self.lose(key));
        first.is_some()
    }

    /// A neighbor is no more.
    fn lose(&mut self, key: &Key) {
        let Some(known) = self.neighbors.remove(key) else { return };
        self.count_out(key.0, 1);
        self.actions.push(Action::Tell(key.0, News::Gone, known.pdu.into()));
    }

    /// Forgets what was heard by a port that does not listen any more.
    fn forget_neighbors(&mut self, port: PortNumber) {
        let count = self.agents.get(&port).map_or(0, |agent| agent.neighbors);
        if count > 0 {
            self.neighbors.retain(|key, _| key.0 != port);
            self.count_out(port, count);
        }
    }

    fn count_out(&mut self, port: PortNumber, count: usize) {
        let Some(agent) = self.agents.get_mut(&port) else { return };
        agent.neighbors -= count;
        if let Some(of_holder) = self.held.get_mut(&agent.held) {
            *of_holder -= count;
            if *of_holder == 0 {
                self.held.remove(&agent.held);
            }
        }
    }
}
