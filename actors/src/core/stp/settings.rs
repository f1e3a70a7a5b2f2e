//! What an operator sets of the switch as a bridge of the tree. Ranges and defaults are those of
//! IEEE 802.1D-2004, 17.14; what is set of a port is among its settings.

use std::time::Duration;

use crate::names;

/// Time between BPDUs, which the standard does not let anybody choose (17.14, Hello Time).
pub const HELLO: Duration = Duration::from_secs(2);

names! {
    /// Which spanning tree the switch takes part in.
    pub enum StpMode {
        /// None: BPDUs pass the switch as `link-local` says.
        Off = "off",
        /// RSTP, and legacy STP with neighbors that speak nothing else.
        Rstp = "rstp",
        /// Only legacy STP (802.1D-1998), which is slow: for neighbors that RSTP confuses.
        Stp = "stp",
    }
}

#[cfg(feature = "clap")]
impl clap::ValueEnum for StpMode {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

/// Priority of a bridge, unless told otherwise (table 17-2).
const DEFAULT_PRIORITY: u16 = 32_768;

/// Cost of a port of this kind where nobody has set one: an interface has that of 1 Gbit/s, a
/// tunnel that of 100 Mbit/s (table 17-3), so that a cable is preferred to it.
#[must_use]
pub fn default_cost(kind: &str) -> u32 {
    match kind {
        "client" | "server" => 200_000,
        _ => 20_000,
    }
}

/// The switch as a bridge of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgeSettings {
    /// A multiple of 4,096, up to 61,440.
    pub priority: u16,
    /// After how long without a BPDU what it said is forgotten: 6 to 40 s. That of the root holds
    /// for all bridges.
    pub max_age: Duration,
    /// How long a port listens, and as long learns, before it forwards where its neighbor cannot be
    /// asked: 4 to 30 s. That of the root holds for all bridges.
    pub forward_delay: Duration,
    /// Whether only BPDUs of legacy spanning tree are sent (17.13.4, Force Protocol Version).
    pub force_stp: bool,
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            priority: DEFAULT_PRIORITY,
            max_age: Duration::from_secs(20),
            forward_delay: Duration::from_secs(15),
            force_stp: false,
        }
    }
}

/// A bridge cannot be like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// No step of priorities.
    #[error("{0} is not a bridge priority: give a multiple of 4096 from 0 to 61440")]
    Priority(u16),
    /// Out of its range.
    #[error("max age of {0} s: give 6 to 40")]
    MaxAge(u64),
    /// Out of its range.
    #[error("forward delay of {0} s: give 4 to 30")]
    ForwardDelay(u64),
    /// What is forgotten may still be on its way when others forward.
    #[error(
        "max age of {max_age} s is too long for a forward delay of {forward_delay} s: give {} or \
         less, or a forward delay of {} or more",
        2 * (forward_delay - 1),
        max_age.div_ceil(2) + 1
    )]
    Apart {
        /// In seconds.
        max_age: u64,
        /// In seconds.
        forward_delay: u64,
    },
}

impl BridgeSettings {
    /// Whether a bridge can be like this, and whether its times go together:
    /// 2 × (forward delay - 1 s) ≥ max age ≥ 2 × (hello + 1 s).
    ///
    /// # Errors
    /// It cannot; the error says what could be.
    pub fn check(&self) -> Result<(), BridgeError> {
        if !self.priority.is_multiple_of(4096) {
            return Err(BridgeError::Priority(self.priority));
        }
        let [max_age, forward_delay] = [self.max_age, self.forward_delay].map(|t| t.as_secs());
        if !(2 * (HELLO.as_secs() + 1)..=40).contains(&max_age) {
            return Err(BridgeError::MaxAge(max_age));
        }
        if !(4..=30).contains(&forward_delay) {
            return Err(BridgeError::ForwardDelay(forward_delay));
        }
        if 2 * (forward_delay - 1) < max_age {
            return Err(BridgeError::Apart { max_age, forward_delay });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_do_not_go_together_are_told_with_those_that_do() {
        let check = |max_age, forward_delay| {
            let [max_age, forward_delay] = [max_age, forward_delay].map(Duration::from_secs);
            let settings = BridgeSettings { max_age, forward_delay, ..BridgeSettings::default() };
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(BridgeSettings::default().check(), Ok(()));
        for (max_age, forward_delay) in [(6, 4), (20, 11), (40, 21), (40, 30)] {
            assert_eq!(check(max_age, forward_delay), Ok(()));
        }
        for (max_age, forward_delay, error) in [
            (5, 15, "max age of 5 s: give 6 to 40"),
            (41, 30, "max age of 41 s: give 6 to 40"),
            (6, 3, "forward delay of 3 s: give 4 to 30"),
            (6, 31, "forward delay of 31 s: give 4 to 30"),
            (
                20,
                10,
                "max age of 20 s is too long for a forward delay of 10 s: give 18 or less, or a \
                 forward delay of 11 or more",
            ),
            (
                21,
                11,
                "max age of 21 s is too long for a forward delay of 11 s: give 20 or less, or a \
                 forward delay of 12 or more",
            ),
        ] {
            assert_eq!(check(max_age, forward_delay), Err(error.to_owned()));
        }
    }

    #[test]
    fn priorities_of_bridges_have_the_steps_that_fit_into_a_bpdu() {
        let check = |priority| BridgeSettings { priority, ..BridgeSettings::default() }.check();
        assert_eq!([0, 4096, 61440].map(check), [Ok(()); 3]);
        assert_eq!([1, 65535].map(check), [1, 65535].map(|no| Err(BridgeError::Priority(no))));
    }

    #[test]
    fn a_cable_is_dearer_than_nothing_and_cheaper_than_a_tunnel() {
        for (cable, tunnel) in [("tap", "client"), ("netdev", "server"), ("memory", "server")] {
            assert!(default_cost(cable) < default_cost(tunnel));
        }
    }
}
