//! What keeps a mistake on one port from taking the LANs behind all of them: the loop
//! guard, the MAC-flap guard, storm control, foreign IP addresses, rogue servers and routers, and
//! the bound on what is no frame.
//!
//! Pure, like the relay that they stand beside: time is an argument, and nothing is
//! allocated for a frame. A frame for a known address meets none of them but, where they are set,
//! those of IP addresses and of roles.

pub(crate) mod addresses;
pub mod bpdu;
pub(crate) mod bucket;
pub(crate) mod chatter;
pub(crate) mod dhcp;
pub mod loops;
pub(crate) mod reflections;
pub(crate) mod rogue;
pub mod storm;

use std::time::{Duration, Instant};

/// After this long without it, trouble that comes again is news: longer than any pause
/// in a scan or a loop, short enough that the log follows what an operator does.
const EPISODE_END: Duration = Duration::from_secs(10);

/// Trouble that may be noticed a million times a second, and is to be told of once.
#[derive(Debug, Default)]
pub(crate) struct Episode(Option<Instant>);

impl Episode {
    /// Notes the trouble; whether it is news.
    pub(crate) fn begins(&mut self, now: Instant) -> bool {
        let last = self.0.replace(now);
        last.is_none_or(|last| now.saturating_duration_since(last) >= EPISODE_END)
    }

    /// Whether its end is still to come.
    pub(crate) const fn goes_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it has been over for a while. True once.
    pub(crate) fn ended(&mut self, now: Instant) -> bool {
        let is_over = |last| now.saturating_duration_since(last) >= EPISODE_END;
        self.0.take_if(|last| is_over(*last)).is_some()
    }
}

/// How often trouble that goes on is told of: so that a log that is looked at shows it.
const REMINDER: Duration = Duration::from_secs(60);

/// Trouble that may go on for days, and is to be told of once a minute.
#[derive(Debug, Default)]
pub(crate) struct Reminder(Option<Instant>);

impl Reminder {
    /// Notes the trouble; whether it is to be told of now.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|last| now.saturating_duration_since(last) >= REMINDER);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}
