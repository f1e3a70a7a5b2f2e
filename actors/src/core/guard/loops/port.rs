//! What the loop guard knows of a port, and in which round there is something to do for it.

use super::{NEIGHBOR, OFTEN, PATIENCE, TRIAL, probe::Id};
use crate::core::{fdb::PortNumber, frame::Vid};

#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    pub(super) with: PortNumber,
    pub(super) since: u64,
    /// Round in which the loop was last heard.
    pub(super) last: u64,
    /// Whether spanning tree had its time.
    pub(super) tree_had_time: bool,
}

/// A loop that was heard and is not cut yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) with: PortNumber,
    pub(super) since: u64,
    pub(super) last: u64,
}

#[derive(Debug)]
pub(super) struct Port {
    /// Counts up: who came later waits.
    pub(super) came: u64,
    pub(super) guarded: bool,
    /// Rounds between two greetings.
    pub(super) interval: u64,
    /// The VLAN in which it sends, and the round until which it stays with that.
    pub(super) vid: Vid,
    pub(super) pinned: u64,
    /// Which other switch was last heard, and in which round.
    pub(super) heard: Option<(Id, u64)>,
    /// Round in which a BPDU was last heard.
    pub(super) tree: Option<u64>,
    /// Round of the last search.
    pub(super) searched: Option<u64>,
    /// Last round in which it is on trial because it was blocked until lately.
    pub(super) on_trial: u64,
    /// Frames of other switches that came in in a round.
    pub(super) came_in: (u64, u32),
    pub(super) blocked: Option<Blocked>,
    pub(super) pending: Option<Pending>,
    pub(super) patience: u64,
    /// Round in which its loop was heard no more, and with which port it had been.
    pub(super) freed: Option<(u64, PortNumber)>,
}

impl Port {
    /// A port that carries frames from now on; `came` counts up.
    pub(super) const fn new(came: u64, guarded: bool, interval: u64) -> Self {
        Self {
            came,
            guarded,
            interval,
            vid: Vid::UNTAGGED,
            pinned: 0,
            heard: None,
            tree: None,
            searched: None,
            on_trial: 0,
            came_in: (0, 0),
            blocked: None,
            pending: None,
            patience: PATIENCE,
            freed: None,
        }
    }

    /// The switch that was last heard by it.
    pub(super) fn neighbor(&self, round: u64) -> Option<Id> {
        let (id, heard) = self.heard?;
        (round - heard <= NEIGHBOR).then_some(id)
    }

    /// Whoever is blocked no more is on trial: if the loop is still there, it is heard at once.
    pub(super) fn unblock(&mut self, round: u64) -> Option<Blocked> {
        self.on_trial = round + TRIAL;
        self.blocked.take()
    }

    /// The round in which it greets next; ports behind tunnels do not greet all at once.
    pub(super) fn greets(&self, number: PortNumber, round: u64) -> Option<u64> {
        let turn = (round + u64::from(number.get()) * OFTEN) % self.interval;
        self.guarded.then_some(round + self.interval - turn)
    }

    /// The round in which it is searched next since it is on trial: first each one, then at
    /// ticks.
    pub(super) fn is_tried(&self, round: u64) -> Option<u64> {
        let begins = round + 1 + TRIAL <= self.on_trial + PATIENCE;
        let next = if begins { round + 1 } else { (round / OFTEN + 1) * OFTEN };
        Some(next).filter(|next| *next <= self.on_trial)
    }

    /// The round after this one in which there is something to do for it.
    pub(super) fn due(&self, number: PortNumber, round: u64) -> Option<u64> {
        let is_watched = self.blocked.is_some() || self.pending.is_some();
        let watched = is_watched.then_some(round + 1);
        [watched, self.greets(number, round), self.is_tried(round)].into_iter().flatten().min()
    }
}
