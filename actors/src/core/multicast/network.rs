//! One family of groups in a VLAN: who asks hosts what they want, and where routers are.

use std::net::IpAddr;

use super::{Family, INTERVAL, RESPONSE, Tenths, igmp, mld};
use crate::core::{
    frame::{Frame, MacAddr, Vid},
    ports::PortSet,
};

/// How much longer than they may take hosts are given to answer.
const GRACE: Tenths = 10;

/// How long all are given to answer that the switch asks.
pub(super) const SETTLING: Tenths = RESPONSE + GRACE;

/// Another querier.
#[derive(Debug)]
pub(super) struct Querier {
    /// All zeros: one that has no address, and asks only until another does.
    pub(super) address: IpAddr,
    pub(super) at: usize,
    pub(super) since: Tenths,
    pub(super) until: Tenths,
    /// How long members last by its values, and hosts may take to answer.
    pub(super) lasts: Tenths,
    pub(super) response: Tenths,
    /// Its last general query, for ports that come up.
    pub(super) query: Option<Frame>,
}

/// When the switch asks itself.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) since: Tenths,
    pub(super) next: Tenths,
    /// Queries that follow soon.
    pub(super) soon: u8,
}

/// One family of groups in a VLAN.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) querier: Option<Querier>,
    pub(super) own: Option<Own>,
    /// Whether all have been asked and have had the time to answer; until then, when they will.
    pub(super) prunes: bool,
    pub(super) settles: Option<Tenths>,
    /// Ports behind which routers were heard, and until when.
    pub(super) routers: PortSet,
    pub(super) learned: Vec<(usize, Tenths)>,
}

impl Network {
    /// Whether somebody asks who is a member.
    pub(super) const fn is_asked(&self) -> bool {
        self.querier.is_some() || self.own.is_some()
    }

    /// Whether the switch is the one who asks.
    pub(super) fn asks(&self) -> bool {
        self.own.is_some()
            && self.querier.as_ref().is_none_or(|querier| querier.address.is_unspecified())
    }

    /// Notes who asks, after it may have changed; when all will have answered him.
    pub(super) fn settle(&mut self, now: Tenths, response: Tenths) -> Option<Tenths> {
        if !self.is_asked() {
            (self.prunes, self.settles) = (false, None);
        } else if !self.prunes && self.settles.is_none() {
            self.settles = Some(now + response + GRACE);
        }
        self.settles
    }

    /// After how long all hosts will have answered a question that is asked now.
    pub(super) fn patience(&self) -> Tenths {
        match &self.querier {
            _ if self.asks() => SETTLING,
            Some(Querier { query: Some(_), response, .. }) => response + GRACE,
            // His question is not known: after his next one.
            Some(Querier { lasts, .. }) => *lasts,
            None => 0,
        }
    }

    pub(super) fn forget(&mut self, at: usize) {
        self.routers.set(at, false);
        self.learned.retain(|(known, _)| *known != at);
    }

    /// A general query: ours, or that of the querier that there is.
    pub(super) fn question(&self, mac: MacAddr, vid: Vid, family: Family) -> Option<Frame> {
        match (&self.querier, family) {
            _ if !self.asks() => self.querier.as_ref()?.query.clone(),
            (_, Family::V4) => Some(igmp::query(mac, vid, None, RESPONSE)),
            (_, Family::V6) => Some(mld::query(mac, vid, None, RESPONSE)),
        }
    }

    /// Ends what is over. Whether we are to ask now.
    pub(super) fn look(&mut self, now: Tenths) -> bool {
        let routers = &mut self.routers;
        self.learned.retain(|&(at, until)| {
            if until <= now {
                routers.set(at, false);
            }
            until > now
        });
        if self.querier.take_if(|querier| querier.until <= now).is_some()
            && let Some(own) = &mut self.own
        {
            *own = Own { since: now, next: now, soon: 1 };
        }
        self.settle(now, RESPONSE);
        if self.settles.take_if(|at| *at <= now).is_some() {
            self.prunes = true;
        }
        let asks = self.asks();
        let Some(own) = self.own.as_mut().filter(|own| asks && own.next <= now) else {
            return false;
        };
        // At first soon again (RFC 3376, 8.6 and 8.7).
        let interval = Tenths::from(INTERVAL) * 10;
        own.next = now + if own.soon > 0 { interval / 4 } else { interval };
        own.soon = own.soon.saturating_sub(1);
        true
    }

    pub(super) fn wakes(&self) -> Option<Tenths> {
        let asks = self.own.as_ref().filter(|_| self.asks()).map(|own| own.next);
        let querier = self.querier.as_ref().map(|querier| querier.until);
        let learned = self.learned.iter().map(|(_, until)| *until).min();
        [asks, querier, learned, self.settles].into_iter().flatten().min()
    }
}
