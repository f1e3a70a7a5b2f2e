//! What ends, or is due, without a frame.

use std::time::Instant;

use super::{
    Tenths,
    snooping::{Action, Everything, Snooping, To},
};

impl Snooping {
    /// When the next query about a group is due, or a group's end behind a port; in the past, if
    /// there are actions to be taken.
    pub(crate) fn due(&self) -> Option<Instant> {
        if !self.actions.is_empty() {
            return Some(self.instant(0));
        }
        self.leaves.front().map(|leave| self.instant(leave.next))
    }

    /// When something else may end, at the earliest. Nobody waits for it: a tick later will do.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        self.wakes.map(|at| self.instant(at))
    }

    /// Does what is due.
    pub(crate) fn look(&mut self, now: Instant) {
        let now = self.tenths(now);
        while self.leaves.front().is_some_and(|leave| leave.next <= now)
            && let Some(leave) = self.leaves.pop_front()
        {
            self.ask(leave, now);
        }
        if self.wakes.is_some_and(|at| at <= now) {
            self.wakes = None;
            self.look_at_networks(now);
            self.look_at_ports(now);
            self.look_at_groups(now);
        }
    }

    fn look_at_networks(&mut self, now: Tenths) {
        let mut wakes = Vec::new();
        for (&(vid, family), network) in &mut self.networks {
            if network.look(now)
                && let Some(frame) = network.question(self.mac, vid, family)
            {
                self.actions.push(Action::Send(To::AllBut(None), frame));
            }
            wakes.extend(network.wakes());
        }
        self.networks.retain(|_, network| network.is_asked() || !network.learned.is_empty());
        wakes.into_iter().for_each(|at| self.wake(at));
    }

    fn look_at_ports(&mut self, now: Tenths) {
        for at in 0..self.ports.len() {
            match self.ports[at].everything {
                Some(everything) if everything.until() > now => self.wake(everything.until()),
                // Its hosts say again what they want before anything is kept from them.
                Some(Everything::Full(_)) => self.begin(at, now),
                Some(Everything::New(_)) => {
                    self.ports[at].everything = None;
                    self.note_all(at);
                }
                None => {}
            }
        }
    }

    fn look_at_groups(&mut self, now: Tenths) {
        let ports = &self.ports;
        self.groups.retain_all(
            |group| group.first <= now,
            |member| member.until > now,
            |at| ports.get(at).map_or(usize::MAX, |port| port.held),
        );
        self.groups.first().into_iter().for_each(|at| self.wake(at));
    }
}
