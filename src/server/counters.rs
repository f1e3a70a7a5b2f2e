//! What a listener counts that is no port's: connections, and whom it turned away.
//! One for each listener, shared by all that serves it; `ctl showserver` prints it.
//! Only counts: what is refused, and when, is decided elsewhere.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use etherws_actors::names;

use super::refusal::Refused;

names! {
    /// Something that a listener counts, besides what it refuses.
    pub(crate) enum Count {
        /// Connections accepted.
        Accepted = "accepted",
        /// Sessions begun.
        Sessions = "sessions-begun",
        /// TLS handshakes that failed, or took too long.
        TlsFailures = "tls-failures",
    }
}

/// The counters of one listener. They only grow.
#[derive(Debug, Default)]
pub(crate) struct ServerCounters {
    counts: [AtomicU64; Count::ALL.len()],
    refused: [AtomicU64; Refused::ALL.len()],
}

impl ServerCounters {
    /// It has happened once more.
    pub(crate) fn add(&self, count: Count) {
        self.counts[count as usize].fetch_add(1, Relaxed);
    }

    /// Somebody was turned away.
    pub(crate) fn refuse(&self, reason: Refused) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
    }

    /// How often it has happened.
    pub(crate) fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Relaxed)
    }

    /// How often somebody was turned away for this.
    pub(crate) fn refused(&self, reason: Refused) -> u64 {
        self.refused[reason as usize].load(Relaxed)
    }

    /// All counters by their names, in the order in which they are shown.
    pub(crate) fn values(&self) -> Vec<(String, u64)> {
        let own = Count::ALL.map(|count| (count.name().to_owned(), self.get(count)));
        let refused =
            Refused::ALL.map(|reason| (format!("refused-{}", reason.name()), self.refused(reason)));
        own.into_iter().chain(refused).collect()
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

    #[test]
    fn the_document_explains_every_count() {
        let document = include_str!("../../docs/rpc.md");
        for count in Count::ALL {
            let row = format!("| `{}` | {} |\n", count.name(), count.help());
            assert!(document.contains(&row), "docs/rpc.md lacks {row}");
        }
    }
}
