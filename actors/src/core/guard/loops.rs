//! The loop guard: small frames that a switch sends out of its ports and must never get back
//! by another one (docs/protocol.md, "Loop-detect frames").
//!
//! It says what to send, and which port is to be blocked; the Switch does it, and has it look
//! when that is due. Time is counted in rounds. What holds whatever others do:
//!
//! - Only a frame of our own, sent a moment ago, that comes back by *another* port of ours
//!   proves a loop, and only those two ports are concerned. One that comes back by the port
//!   that it left by proves a reflector there, and nothing is blocked.
//! - Of the two the one where it came in is blocked, since who returned it is behind that.
//!   If that one was there first, it asks back: its own frame must come in by the other.
//! - Of all switches on a loop only the one with the lowest id gets its frames back: it does
//!   not pass on those of higher ids, but looks itself. So one port is blocked, and not two.
//! - Another switch's frames go only where another switch was heard, and not back to where
//!   they were seen before.

#[cfg(test)]
mod model;
mod port;
mod probe;

use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

pub use self::probe::{PROBE_GROUP, is_probe};
use self::{
    port::{Blocked, Pending, Port},
    probe::{Id, Keys, Probe},
};
use crate::core::{
    fdb::PortNumber,
    frame::{Frame, Vid},
    packet::Ethernet,
    tick::TICK,
};

/// Length of a round, a fifth of a second: [`OFTEN`] of them are a tick. A blocked port carries
/// frames again after `PATIENCE` of these in which the loop was not heard: less than a second.
const ROUND: Duration = Duration::from_micros(204_800);

const _: () = assert!(ROUND.as_nanos() * OFTEN as u128 == TICK.as_nanos());

/// Rounds without a sign of the loop after which a port is unblocked.
const PATIENCE: u64 = 3;

/// The same at most: it doubles each time that the loop is heard again at once, as over a link
/// that stalls.
const MAX_PATIENCE: u64 = 32;

/// Rounds between two greetings of a port, where another switch may be in the network behind
/// it: a cable that somebody plugs in there is noticed in a second. 5 to 10 µs a second.
pub const OFTEN: u64 = 5;

/// The same where a tunnel is behind it. A new tunnel greets at once, and traffic that comes
/// round has the ports searched at once: this only keeps neighbors known. A thousand
/// tunnels cost a hundred frames a second.
pub const SELDOM: u64 = 50;

/// Rounds for which a switch that was heard counts as a neighbor: three greetings. And the number
/// of the first round, so that one before it is a number: a multiple of [`OFTEN`], as is each
/// round that begins at a tick.
const NEIGHBOR: u64 = 3 * SELDOM + 10;

/// Rounds for which an own frame counts as sent a moment ago: longer than any way there and
/// back, shorter than [`SEEN`].
const FRESH: u64 = 10;

/// Rounds for which another switch's frame is remembered, so that it does not pass twice.
const SEEN: u64 = 15;

/// Frames of other switches that are remembered: a second's, of twelve busy ports.
const REMEMBERED: usize = 1024;

/// Frames of other switches that are looked at in a round, for each port: a neighbor searches
/// once a round and port.
const MAX_FOREIGN: u32 = 16;

/// Rounds for which a port is searched after it was unblocked: what was dead may live again.
const TRIAL: u64 = 150;

/// How many switches a search may cross: a loop is as long at most.
const HOPS: u8 = 16;

/// Rounds for which a port is searched in the VLAN where something pointed to a loop: longer
/// than one may stay unheard.
const PINNED: u64 = 10;

/// Rounds in which the frames of a younger port come in by an older one, and none the other
/// way, before the older one is blocked.
const ONE_WAY: u64 = 5;

/// Rounds for which a loop is left to spanning tree where BPDUs are heard: three hello times
/// (IEEE 802.1D, 17.14), as after these a bridge that hears nothing acts.
const SPANNING_TREE: u64 = 30;

/// What the Switch is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send the frame out of the port, blocked or not.
    Send(PortNumber, Frame),
    /// The port is not to carry frames: it leads to the same network as `with`.
    Block {
        /// Which port.
        port: PortNumber,
        /// The other end of the loop, which goes on carrying frames.
        with: PortNumber,
    },
    /// The port carries frames again.
    Unblock {
        /// Which port.
        port: PortNumber,
        /// The port that has carried the frames until now, and may be dead.
        with: PortNumber,
    },
}

/// What a loop-detect frame was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Ours, from another port: there is a loop.
    Loop,
    /// Ours, by the port that it left by: a reflector, or a loop of others, is behind it.
    Returned,
    /// With our id, but not as we have sent any of late.
    Forged,
    /// Another switch's.
    Foreign,
    /// Another switch's, one too many in this round.
    TooMany,
    /// Ours, in another VLAN than it was sent in: something joins two VLANs, and there is no
    /// loop.
    OtherVlan,
}

/// The loop guard of one switch.
#[derive(Debug)]
pub struct LoopGuard {
    id: Id,
    keys: Keys,
    /// When the first round began.
    start: Instant,
    round: u64,
    /// Rounds of the last look and of the next.
    looked: u64,
    due: Option<u64>,
    comings: u64,
    ports: HashMap<PortNumber, Port, RandomState>,
    /// Searches of other switches by their signature, with the round in which they came.
    seen: Box<[Option<(u64, u64)>]>,
    actions: Vec<Action>,
}

impl LoopGuard {
    /// A guard with an id of its own, whose rounds begin at `start`, which is a tick.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        let keys = Keys::new();
        Self {
            id: keys.id(),
            keys,
            start,
            round: NEIGHBOR,
            looked: NEIGHBOR,
            due: None,
            comings: 0,
            ports: HashMap::default(),
            seen: vec![None; REMEMBERED].into(),
            actions: Vec::new(),
        }
    }

    /// Which round it is at `now`.
    fn keep_time(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.start);
        let rounds = u64::try_from(passed.as_micros() / ROUND.as_micros()).unwrap_or(u64::MAX);
        self.round = self.round.max(rounds.saturating_add(NEIGHBOR));
    }

    /// When it is to look next; `None` while there is nothing to look at.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let rounds = u32::try_from(self.due? - NEIGHBOR).unwrap_or(u32::MAX);
        Some(self.start + ROUND.saturating_mul(rounds))
    }

    /// There is something to look at in the next round.
    fn is_due_soon(&mut self) {
        let next = self.round + 1;
        self.due = Some(self.due.map_or(next, |due| due.min(next)));
    }

    /// What is to be done now, in this order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        mem::take(&mut self.actions)
    }

    /// The port carries frames now, if nothing blocks it, or its settings have changed.
    /// Without `guarded` it sends nothing of its own and is never blocked; it greets every
    /// `interval` rounds, a multiple of [`OFTEN`].
    pub fn open(&mut self, number: PortNumber, guarded: bool, interval: u64, now: Instant) {
        self.keep_time(now);
        self.is_due_soon();
        let greets = match self.ports.entry(number) {
            Entry::Occupied(entry) => {
                let port = entry.into_mut();
                let greets = guarded && !port.guarded;
                (port.guarded, port.interval) = (guarded, interval);
                greets
            }
            Entry::Vacant(entry) => {
                self.comings += 1;
                entry.insert(Port::new(self.comings, guarded, interval));
                guarded
            }
        };
        if !guarded && self.ports[&number].blocked.is_some() {
            self.unblock(number);
        }
        if greets {
            self.greet(number);
        }
    }

    /// The port carries no frames any more: those that it has kept blocked do instead.
    pub fn close(&mut self, number: PortNumber, now: Instant) {
        self.keep_time(now);
        if self.ports.remove(&number).is_some() {
            for port in self.blocked(|blocked| blocked.with == number) {
                self.unblock(port);
                self.search(port);
            }
        }
    }

    /// Whether another switch was heard by the port.
    #[must_use]
    pub fn is_neighbor(&self, port: PortNumber) -> bool {
        self.neighbor(port).is_some()
    }

    /// The switch that was last heard by the port.
    fn neighbor(&self, port: PortNumber) -> Option<Id> {
        self.ports.get(&port)?.neighbor(self.round)
    }

    fn blocked(&self, which: impl Fn(&Blocked) -> bool) -> Vec<PortNumber> {
        let is_it = |port: &Port| port.blocked.as_ref().is_some_and(&which);
        self.ports.iter().filter(|(_, port)| is_it(port)).map(|(&number, _)| number).collect()
    }

    /// Greets, and looks at the loops that are known. To be called when it is [due](Self::due),
    /// or later.
    pub fn look(&mut self, now: Instant) {
        self.keep_time(now);
        let round = self.round;
        let before = mem::replace(&mut self.looked, round);
        let is_now = |next: Option<u64>| next.is_some_and(|next| next <= round);
        let (mut greeting, mut watched) = (Vec::new(), Vec::new());
        for (&number, port) in &mut self.ports {
            if is_now(port.greets(number, before)) {
                greeting.push(number);
            }
            if port.pending.take_if(|pending| round - pending.last > PATIENCE).is_none()
                && let Some(Pending { with, .. }) = port.pending
            {
                watched.extend([number, with]);
            }
            if let Some(Blocked { with, since, last, .. }) = port.blocked {
                if round - since > MAX_PATIENCE {
                    port.patience = PATIENCE;
                }
                if round - last > port.patience {
                    port.freed = Some((round, with));
                    port.unblock(round);
                    self.actions.push(Action::Unblock { port: number, with });
                }
                watched.extend([with, number]);
            }
            if is_now(port.is_tried(before)) {
                watched.push(number);
            }
        }
        self.due = self.ports.iter().filter_map(|(&at, port)| port.due(at, round)).min();
        watched.into_iter().for_each(|port| self.search(port));
        for number in greeting {
            if self.ports[&number].searched != Some(round) {
                self.greet(number);
            }
        }
    }

    /// Has the port send in this VLAN from now on, unless it is looking at another one. A loop
    /// may be in any of its VLANs: who gives them in turn has all of them looked at.
    pub fn turn(&mut self, number: PortNumber, vid: Vid) {
        if let Some(port) = self.ports.get_mut(&number)
            && port.pinned < self.round
        {
            port.vid = vid;
        }
    }

    /// Has both ports send in this VLAN for a while.
    fn pin(&mut self, ports: [PortNumber; 2], vid: Vid) {
        for number in ports {
            if let Some(port) = self.ports.get_mut(&number) {
                (port.vid, port.pinned) = (vid, self.round + PINNED);
            }
        }
    }

    /// Something says that these two ports may lead to the same network: traffic of this VLAN
    /// that comes in by the one had come in by the other.
    pub fn suspect(&mut self, one: PortNumber, other: PortNumber, vid: Vid, now: Instant) {
        self.keep_time(now);
        self.pin([one, other], vid);
        self.search(one);
        self.search(other);
    }

    /// A BPDU, from somebody who is believed, came in by the port: a loop through it is left
    /// to spanning tree for a while, once.
    pub fn hear_bpdu(&mut self, number: PortNumber, now: Instant) {
        self.keep_time(now);
        let round = self.round;
        let Some(port) = self.ports.get_mut(&number) else { return };
        if port.tree.replace(round) == Some(round) {
            return;
        }
        for (&at, port) in &mut self.ports {
            if let Some(Blocked { with, tree_had_time: false, .. }) = port.blocked
                && (at == number || with == number)
            {
                port.unblock(round);
                port.pending = Some(Pending { with, since: round, last: round });
                self.actions.push(Action::Unblock { port: at, with });
            }
        }
        self.is_due_soon();
    }

    /// A loop-detect frame came in by the port.
    pub fn receive(&mut self, number: PortNumber, frame: &Frame, now: Instant) -> Heard {
        self.keep_time(now);
        let Some(probe) = Probe::read(frame) else { return Heard::Foreign };
        let vid = frame.header().map_or(Vid::UNTAGGED, Ethernet::vid);
        if probe.id != self.id {
            return self.receive_foreign(number, probe, vid);
        }
        let fresh = probe.round <= self.round && self.round - probe.round <= FRESH;
        // A guessed tag is right once in 2^64 times: comparing it tells nothing.
        match PortNumber::new(probe.port) {
            Some(sender) if fresh && probe.tag == self.keys.tag(sender, probe.round, probe.vid) => {
                if sender == number {
                    return Heard::Returned;
                }
                if probe.vid != vid {
                    return Heard::OtherVlan;
                }
                self.pin([sender, number], vid);
                self.receive_own(sender, number);
                Heard::Loop
            }
            _ => Heard::Forged,
        }
    }

    /// What left by `sender` came in by `receiver`.
    fn receive_own(&mut self, sender: PortNumber, receiver: PortNumber) {
        let (Some(from), Some(at)) = (self.ports.get(&sender), self.ports.get(&receiver)) else {
            return; // Gone while the frame was on its way.
        };
        let (from_blocked, at_blocked) = (from.blocked, at.blocked);
        if from_blocked.is_some() || at_blocked.is_some() {
            for (port, with) in [(receiver, sender), (sender, receiver)] {
                self.hear_again(port, with);
            }
            return;
        }
        let younger_receives = at.came > from.came;
        let (younger, older) =
            if younger_receives { (receiver, sender) } else { (sender, receiver) };
        let loser = match (self.ports[&younger].guarded, self.ports[&older].guarded) {
            (false, false) => return,
            (false, true) => older,
            (true, false) => younger,
            (true, true) => receiver,
        };
        let winner = if loser == sender { receiver } else { sender };
        let asks_back = loser == older && self.ports[&younger].guarded;
        let tree = [younger, older].iter().any(|port| self.hears_tree(*port));
        let wait = match (tree, asks_back) {
            (true, _) => SPANNING_TREE,
            (false, true) => ONE_WAY,
            (false, false) => 0,
        };
        let round = self.round;
        let Some(port) = self.ports.get_mut(&loser) else { return };
        let since = match port.pending {
            Some(Pending { with, since, .. }) if with == winner => since,
            _ => round,
        };
        if round - since >= wait {
            self.block(loser, winner, tree);
        } else {
            port.pending = Some(Pending { with: winner, since, last: round });
            self.search(loser);
            self.is_due_soon();
        }
    }

    fn hears_tree(&self, port: PortNumber) -> bool {
        let is_fresh = |heard| self.round - heard <= SPANNING_TREE;
        self.ports.get(&port).and_then(|port| port.tree).is_some_and(is_fresh)
    }

    /// The loop between `number`, if it is blocked, and `with` is still there.
    fn hear_again(&mut self, number: PortNumber, with: PortNumber) {
        let round = self.round;
        let other_blocked = self.ports.get(&with).is_some_and(|port| port.blocked.is_some());
        let Some(port) = self.ports.get_mut(&number) else { return };
        let Some(blocked) = &mut port.blocked else { return };
        // There may be several loops; one that is heard keeps it blocked.
        if blocked.with != with && !other_blocked && blocked.last + 1 < round {
            blocked.with = with;
        }
        if blocked.with == with {
            blocked.last = round;
        }
    }

    fn block(&mut self, number: PortNumber, with: PortNumber, tree_had_time: bool) {
        let round = self.round;
        let Some(port) = self.ports.get_mut(&number) else { return };
        let is_same = |(freed, was_with)| was_with == with && round - freed <= MAX_PATIENCE;
        let stalls = port.freed.is_some_and(is_same);
        port.patience = if stalls { (port.patience * 2).min(MAX_PATIENCE) } else { PATIENCE };
        port.pending = None;
        port.blocked = Some(Blocked { with, since: round, last: round, tree_had_time });
        if let Some(port) = self.ports.get_mut(&with) {
            port.pending = None;
        }
        self.actions.push(Action::Block { port: number, with });
        self.is_due_soon();
    }

    fn unblock(&mut self, number: PortNumber) {
        let round = self.round;
        let unblocked = self.ports.get_mut(&number).and_then(|port| port.unblock(round));
        if let Some(Blocked { with, .. }) = unblocked {
            self.actions.push(Action::Unblock { port: number, with });
            self.is_due_soon();
        }
    }

    /// A frame of another switch came in by the port: it is a neighbor, or its frame is on
    /// its way round a loop that may lead through us.
    fn receive_foreign(&mut self, number: PortNumber, probe: Probe, vid: Vid) -> Heard {
        let (round, was_neighbor) = (self.round, self.is_neighbor(number));
        let Some(port) = self.ports.get_mut(&number) else { return Heard::Foreign };
        let count = if port.came_in.0 == round { port.came_in.1 } else { 0 };
        if count >= MAX_FOREIGN {
            return Heard::TooMany;
        }
        port.came_in = (round, count + 1);
        port.heard = Some((probe.id, round));
        let (guarded, blocked) = (port.guarded, port.blocked.is_some());
        // A loop of several switches leads through two neighbors of each.
        let (mut may_lead, mut is_there_too) = (false, false);
        for (_, other) in self.ports.iter().filter(|(other, _)| **other != number) {
            let neighbor = other.neighbor(round);
            may_lead |= neighbor.is_some();
            is_there_too |= neighbor == Some(probe.id);
        }
        let is_ours_to_find = guarded && self.id < probe.id && probe.hops > 0;
        let is_news = !was_neighbor || (is_there_too && probe.hops == 0);
        if may_lead && !blocked && (is_ours_to_find || is_news) {
            self.search(number);
        } else if !was_neighbor {
            // It may not have heard us.
            self.greet(number);
        }
        if !guarded {
            // As a bridge does, which has no part in this.
            return self.pass_on(number, probe, vid, |_, _| true);
        }
        if probe.hops == 0 || blocked || is_ours_to_find || !may_lead {
            return Heard::Foreign;
        }
        let signature = self.keys.signature(&probe);
        #[expect(clippy::cast_possible_truncation, reason = "its low bits are wanted")]
        let slot = &mut self.seen[signature as usize % REMEMBERED];
        if slot.is_some_and(|(seen, at)| seen == signature && round - at <= SEEN) {
            return Heard::Foreign;
        }
        *slot = Some((signature, round));
        let probe = Probe { hops: probe.hops - 1, ..probe };
        self.pass_on(number, probe, vid, Self::is_neighbor)
    }

    /// Passes another switch's frame on, in its VLAN, to the ports that are `wanted`.
    fn pass_on(
        &mut self,
        number: PortNumber,
        probe: Probe,
        vid: Vid,
        wanted: impl Fn(&Self, PortNumber) -> bool,
    ) -> Heard {
        let frame = probe.frame(vid);
        for (&to, port) in &self.ports {
            if to != number && port.blocked.is_none() && wanted(self, to) {
                self.actions.push(Action::Send(to, frame.clone()));
            }
        }
        Heard::Foreign
    }

    /// Shows the switches behind the port that we are here.
    fn greet(&mut self, number: PortNumber) {
        self.send(number, 0);
    }

    /// Looks for a loop through the port, once in a round.
    fn search(&mut self, number: PortNumber) {
        let round = self.round;
        if let Some(port) = self.ports.get_mut(&number)
            && port.searched != Some(round)
        {
            port.searched = Some(round);
            self.send(number, HOPS);
        }
    }

    fn send(&mut self, number: PortNumber, hops: u8) {
        let Some(Port { guarded: true, vid, .. }) = self.ports.get(&number) else { return };
        let (round, vid) = (self.round, *vid);
        let tag = self.keys.tag(number, round, vid);
        let probe = Probe { id: self.id, port: number.get(), round, vid, tag, hops };
        self.actions.push(Action::Send(number, probe.frame(vid)));
    }
}
