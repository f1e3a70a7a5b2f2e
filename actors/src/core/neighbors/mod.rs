//! Neighbor suppression (RFC 9161): which station has said of which IP address that it has it, so
//! that not all others need be asked.
//!
//! Pure: time is an argument. What stations say is no proof. An address that a second one claims
//! is nobody's for a moment, in which the first is asked whether it is there still. If both are, it
//! is nobody's for long: all are asked, as without suppression. Bounded as all
//! [bindings](super::bindings) are.

mod message;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::message::{Message, tagged};
use super::{
    bindings::{Binding, BindingType, Bindings, Key},
    frame::MacAddr,
};

/// How long an address is believed to be where it was heard of last, as long as the FDB believes
/// of a station. Hosts that use each other ask more often; of others all are asked again.
const AGE: Duration = Duration::from_secs(300);

/// How long a station may take to say that an address is still its own: a few times what one that
/// sleeps does.
const CONFIRM: Duration = Duration::from_secs(3);

/// For so long an address is nobody's that two stations have (RFC 9161, 3.7).
const WINDOW: Duration = Duration::from_secs(180);

/// Addresses that are watched for duplicates at once, and of claims by one holder.
const MAX_DISPUTES: usize = 1024;
const PART: usize = 16;

/// What a claim has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing that somebody must do something about.
    Nothing,
    /// There is no room to note it.
    Full,
    /// This station has said the same before, and is to be asked whether it is true still.
    Disputed(MacAddr),
    /// It is true still, and this other one has said so as well: both have the address.
    Duplicate(MacAddr),
}

/// A claim of an address that another station has.
#[derive(Debug)]
struct Dispute {
    /// Whose station it is.
    holder: Arc<str>,
    mac: MacAddr,
    since: Instant,
}

impl Dispute {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

/// All that stations have said.
#[derive(Debug)]
pub(crate) struct Neighbors {
    heard: Bindings,
    disputes: HashMap<Key, Dispute>,
}

impl Neighbors {
    /// At most so many.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { heard: Bindings::new(capacity), disputes: HashMap::new() }
    }

    /// All addresses, those that are disputed among them.
    pub(crate) const fn all(&self) -> &Bindings {
        &self.heard
    }

    /// Who has an address, if nobody disputes it.
    pub(crate) fn get(&self, key: Key, now: Instant) -> Option<&Binding> {
        self.heard.get(key, now).filter(|heard| heard.kind != BindingType::Disputed)
    }

    /// A station has said that it has an address, alone and as what, or with others (`None`);
    /// `is_alive` says whether another one is still there.
    pub(crate) fn hear(
        &mut self,
        key: Key,
        station: (MacAddr, &Arc<str>),
        kind: Option<BindingType>,
        is_alive: impl FnOnce(MacAddr) -> bool,
        now: Instant,
    ) -> News {
        let (mac, holder) = station;
        let Some(known) = self.heard.get(key, now) else {
            return self.note(key, station, kind, now);
        };
        let is_disputed = known.kind == BindingType::Disputed;
        if known.mac == mac {
            if is_disputed {
                return self.confirm(key, station, kind, is_alive, now);
            }
            // Not for each frame.
            let left = known.until.saturating_duration_since(now);
            let is_news = (Some(known.kind), &known.holder) != (kind, holder) || left < AGE / 2;
            return if is_news { self.note(key, station, kind, now) } else { News::Nothing };
        }
        if is_disputed {
            return News::Nothing;
        }
        let (first, owner) = (known.mac, Arc::clone(&known.holder));
        if !is_alive(first) {
            return self.note(key, station, kind, now);
        }
        self.dispute(key, station, now);
        let until = now + CONFIRM;
        let binding = Binding { mac: first, holder: owner, until, kind: BindingType::Disputed };
        self.heard.bind(key, binding, now);
        News::Disputed(first)
    }

    /// The first one is there still.
    fn confirm(
        &mut self,
        key: Key,
        station: (MacAddr, &Arc<str>),
        kind: Option<BindingType>,
        is_alive: impl FnOnce(MacAddr) -> bool,
        now: Instant,
    ) -> News {
        let dispute = self.disputes.remove(&key);
        let other = dispute.map(|dispute| dispute.mac);
        if other.is_some_and(|other| !is_alive(other)) {
            return self.note(key, station, kind, now);
        }
        let (mac, holder) = (station.0, Arc::clone(station.1));
        let (until, kind) = (now + WINDOW, BindingType::Disputed);
        self.heard.bind(key, Binding { mac, holder, until, kind }, now);
        other.map_or(News::Nothing, News::Duplicate)
    }

    fn note(
        &mut self,
        key: Key,
        (mac, holder): (MacAddr, &Arc<str>),
        kind: Option<BindingType>,
        now: Instant,
    ) -> News {
        let Some(kind) = kind else {
            self.heard.unbind(key);
            return News::Nothing;
        };
        let binding = Binding { mac, holder: Arc::clone(holder), until: now + AGE, kind };
        if self.heard.bind(key, binding, now) { News::Nothing } else { News::Full }
    }

    /// Notes who claims an address, where there is room: nobody is told of others.
    fn dispute(&mut self, key: Key, (mac, holder): (MacAddr, &Arc<str>), now: Instant) {
        let own = self.disputes.values().filter(|one| one.holder == *holder).count();
        if self.disputes.len() < MAX_DISPUTES && own < MAX_DISPUTES / PART {
            let holder = Arc::clone(holder);
            self.disputes.insert(key, Dispute { holder, mac, since: now });
        }
    }

    /// Gives what was heard behind a port that has another name now to that name.
    pub(crate) fn rename(&mut self, from: &str, to: &Arc<str>) {
        self.heard.rename(from, to);
        let renamed = self.disputes.values_mut().filter(|dispute| &*dispute.holder == from);
        renamed.for_each(|dispute| dispute.holder = Arc::clone(to));
    }

    /// Forgets what has ended.
    pub(crate) fn collect(&mut self, now: Instant) {
        self.heard.collect(now);
        self.disputes.retain(|_, dispute| !dispute.is_over(now));
    }

    /// Whether there is nothing to [collect](Self::collect).
    pub(crate) fn is_empty(&self) -> bool {
        self.heard.is_empty() && self.disputes.is_empty()
    }

    /// Forgets all of it: nobody asks any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.heard.count().1);
    }
}

#[cfg(test)]
mod tests;
