//! What the Switch looks at when its time has come: one timer for all of it, and none while there
//! is nothing to look at. All but a loop at work is looked at at ticks.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant as StdInstant},
};

use actix::ActorFuture;
use tokio::time::{Instant, Sleep, sleep};

use super::Switch;
use crate::{
    message::Credit,
    tick::{self, TICK},
};

/// The timer. It is polled after each message, and so is set to what has become due by that.
pub(super) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    pub(super) fn new() -> Self {
        Self(Box::pin(sleep(Duration::ZERO)))
    }
}

impl ActorFuture<Switch> for Timer {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        switch: &mut Switch,
        _: &mut actix::Context<Switch>,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        // Each look makes it later.
        while let Some(due) = switch.due() {
            if self.0.deadline() != due {
                self.0.as_mut().reset(due);
            }
            ready!(self.0.as_mut().poll(task));
            switch.look(Instant::now().into_std());
        }
        Poll::Pending
    }
}

impl Switch {
    /// When it is to look next, if at all.
    fn due(&mut self) -> Option<Instant> {
        if self.mirrors.have_lost() {
            self.await_ends();
        }
        let ages = !self.relay.fdb().is_empty() || !self.bindings.is_empty();
        let ages = ages || !self.neighbors.is_empty();
        let collects = ages.then_some(self.collects);
        let tree = self.stp.as_ref().map(|tree| tree.due);
        let lldp = self.lldp.agents.due();
        let snooping = self.snooping_due();
        let own = [self.loops.due(), self.flushes.due(), self.ends, collects];
        let all = own.into_iter().chain([tree, lldp, snooping]);
        all.flatten().min().map(Instant::from_std)
    }

    /// Something goes on whose end is to be noticed, at the next tick.
    pub(super) fn await_ends(&mut self) {
        self.ends.get_or_insert_with(|| tick::next(Instant::now(), TICK).into_std());
    }

    fn look(&mut self, now: StdInstant) {
        if self.loops.due().is_some_and(|due| due <= now) {
            self.loops.look(now);
            self.obey();
            self.deliver(&Credit::NONE);
        }
        self.look_at_tree(now);
        self.flush_if_due(now);
        self.look_at_lldp(now);
        self.look_at_snooping(now);
        if self.ends.take_if(|due| *due <= now).is_some() {
            self.mirrors.collect();
            if self.look_for_ends(now) {
                self.await_ends();
            }
        }
        if self.collects <= now {
            self.collects = tick::next(now.into(), self.collect_interval).into_std();
            self.relay.fdb_mut().collect(now);
            self.bindings.collect(now);
            self.neighbors.collect(now);
            self.tell_aged();
        }
    }
}
