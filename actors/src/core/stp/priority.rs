//! What bridges compare: identifiers, priority vectors and times (IEEE 802.1D-2004, 17.5 and 17.18).

use std::fmt;

use crate::core::frame::MacAddr;

/// Names a bridge: priority first, then its address (9.2.5). The lowest is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BridgeId {
    /// In steps of 4,096; others' may have a system identifier in the lower bits.
    pub priority: u16,
    /// One of the bridge's addresses.
    pub mac: MacAddr,
}

impl fmt::Display for BridgeId {
    /// As Linux writes it: `8000.020000000001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}.", self.priority)?;
        self.mac.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Names a port of a bridge: priority in the four highest bits, then its number (9.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortId(pub u16);

impl PortId {
    /// Highest number that there is room for.
    pub const MAX_NUMBER: u16 = 0x0fff;

    /// `priority` is a multiple of 16.
    #[must_use]
    pub const fn new(priority: u8, number: u16) -> Self {
        Self(((priority & 0xf0) as u16) << 8 | number & Self::MAX_NUMBER)
    }

    /// 0 to 240, in steps of 16.
    #[must_use]
    pub const fn priority(self) -> u8 {
        (self.0 >> 8) as u8 & 0xf0
    }

    /// 1 to 4,095.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0 & Self::MAX_NUMBER
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.priority(), self.number())
    }
}

/// A priority vector (17.5): the lower, the better. The port that it was received by, which the
/// standard has as its last component, stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vector {
    /// The bridge at the root of the tree.
    pub root: BridgeId,
    /// Cost of the path from there to the designated bridge.
    pub cost: u32,
    /// The designated bridge.
    pub bridge: BridgeId,
    /// Its port.
    pub port: PortId,
}

impl Vector {
    /// Whether both are from the same port of the same bridge, whatever their priorities are.
    fn is_from_sender_of(&self, other: &Self) -> bool {
        self.bridge.mac == other.bridge.mac && self.port.number() == other.port.number()
    }

    /// Whether what a message says replaces `held` (17.6): it is better, or from the one who said
    /// that.
    pub(super) fn is_superior_to(&self, held: &Self) -> bool {
        self < held || (self != held && self.is_from_sender_of(held))
    }
}

/// Times of a tree (17.13), in seconds: what is sent is rounded to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Bridges that what is told has passed.
    pub message_age: u16,
    /// From which message age on it is not believed any more.
    pub max_age: u16,
    /// Time between two BPDUs of a designated port.
    pub hello: u16,
    /// Time that a port takes for each step to forwarding where nothing is agreed.
    pub forward_delay: u16,
}

impl Times {
    /// Within what the standards allow (802.1D-1998, table 8-3): who sends others has no say in how
    /// long or short we wait.
    pub(super) fn bounded(self) -> Self {
        Self {
            message_age: self.message_age,
            max_age: self.max_age.clamp(6, 40),
            hello: self.hello.clamp(1, 10),
            forward_delay: self.forward_delay.clamp(4, 30),
        }
    }
}
