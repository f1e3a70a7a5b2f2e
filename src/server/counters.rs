//! What a listener counts that is no port's: connections, and whom it turned away.
//! One for each listener, shared by all that serves it; `ctl showserver` prints it.
//! Only counts: what is refused, and when, is decided elsewhere.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of one listener. They only grow.
#[derive(Debug, Default)]
pub(crate) struct ServerCounters {
    accepted: AtomicU64,
    sessions: AtomicU64,
    tls_failures: AtomicU64,
    refused: [AtomicU64; Refused::ALL.len()],
}

/// Why a connection or request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Wrong name, password, certificate or token, or none.
    Authentication,
    /// Too many failed attempts before.
    RateLimited,
    /// Too many passwords to verify at once.
    Busy,
    /// Too many connections that are no session yet: the oldest of them.
    Connections,
    /// Too many sessions in all.
    Sessions,
    /// Too many sessions of one user.
    SessionsOfUser,
    /// Too many sessions from one address.
    SessionsOfAddress,
    /// A request head that is too large.
    HeadSize,
    /// A foreign `Origin` or `Host`.
    Origin,
    /// Anything else that is no request for what is served.
    Request,
}

impl Refused {
    /// All reasons, in the order of the counters.
    pub(crate) const ALL: [Self; 10] = [
        Self::Authentication,
        Self::RateLimited,
        Self::Busy,
        Self::Connections,
        Self::Sessions,
        Self::SessionsOfUser,
        Self::SessionsOfAddress,
        Self::HeadSize,
        Self::Origin,
        Self::Request,
    ];

    /// The word in `showserver`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::RateLimited => "rate-limited",
            Self::Busy => "busy",
            Self::Connections => "connections",
            Self::Sessions => "sessions",
            Self::SessionsOfUser => "sessions-of-user",
            Self::SessionsOfAddress => "sessions-of-address",
            Self::HeadSize => "head-size",
            Self::Origin => "origin",
            Self::Request => "request",
        }
    }
}

impl ServerCounters {
    /// A connection was accepted.
    pub(crate) fn accept(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// A session began.
    pub(crate) fn session(&self) {
        self.sessions.fetch_add(1, Relaxed);
    }

    /// A TLS handshake failed, or took too long.
    pub(crate) fn tls_failure(&self) {
        self.tls_failures.fetch_add(1, Relaxed);
    }

    /// Somebody was turned away.
    pub(crate) fn refuse(&self, reason: Refused) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
    }

    /// How often that was.
    pub(crate) fn refused(&self, reason: Refused) -> u64 {
        self.refused[reason as usize].load(Relaxed)
    }

    /// Connections accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Sessions begun.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Relaxed)
    }

    /// TLS handshakes failed.
    pub(crate) fn tls_failures(&self) -> u64 {
        self.tls_failures.load(Relaxed)
    }

    /// All counters by their names, in the order in which they are shown.
    pub(crate) fn values(&self) -> Vec<(String, u64)> {
        let own = [
            ("accepted", self.accepted()),
            ("sessions-begun", self.sessions()),
            ("tls-failures", self.tls_failures()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let refused = Refused::ALL
            .into_iter()
            .map(|reason| (format!("refused-{}", reason.name()), self.refused(reason)));
        own.chain(refused).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let counters = ServerCounters::default();
        for (times, reason) in (1..).zip(Refused::ALL) {
            (0..times).for_each(|_| counters.refuse(reason));
        }
        for (times, reason) in (1..).zip(Refused::ALL) {
            assert_eq!(counters.refused(reason), times, "{}", reason.name());
        }
    }
}
