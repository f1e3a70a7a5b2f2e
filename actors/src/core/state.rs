//! What a port is doing, why it is to stop, and what its kind shows of it: values that
//! ports, the supervisor, the Switch and control exchange.

/// What a port is doing. `shut` is no state: it is what the operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortState {
    /// The medium carries frames.
    Up,
    /// It would, but the loop guard has blocked the port.
    Loop {
        /// With which port.
        reason: String,
    },
    /// It would, but BPDU guard has blocked the port.
    BpduGuard {
        /// Whose BPDU it was.
        reason: String,
    },
    /// The medium is open, and its interface is down or has no carrier.
    Down {
        /// Which of both.
        reason: String,
    },
    /// The medium is being opened, or opened again.
    Connecting {
        /// Why it was lost, or could not be opened before.
        reason: Option<String>,
    },
    /// The medium is lost or could not be opened; the next attempt waits.
    Backoff {
        /// Why.
        reason: String,
    },
    /// Given up.
    Failed {
        /// Why.
        reason: String,
    },
}

impl PortState {
    /// The word in `listport`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Loop { .. } => "loop",
            Self::BpduGuard { .. } => "bpdu-guard",
            Self::Down { .. } => "down",
            Self::Connecting { .. } => "connecting",
            Self::Backoff { .. } => "backoff",
            Self::Failed { .. } => "failed",
        }
    }

    /// All these words.
    pub const NAMES: [&str; 7] =
        ["up", "loop", "bpdu-guard", "down", "connecting", "backoff", "failed"];

    /// Why the port is not up, where there is a reason.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Loop { reason }
            | Self::Down { reason }
            | Self::BpduGuard { reason }
            | Self::Backoff { reason }
            | Self::Failed { reason } => Some(reason),
            Self::Connecting { reason } => reason.as_deref(),
            Self::Up => None,
        }
    }
}

/// Why a port is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It was deleted. A WebSocket says 1000 (RFC 6455, 7.4.1).
    Deleted,
    /// The program ends. A WebSocket says 1001.
    Shutdown,
    /// Its user may stay no longer. A WebSocket says 1008, and nothing before it.
    Unauthorized,
}

impl Stop {
    /// The same in words, for those who watch.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Shutdown => "the program ends",
            Self::Unauthorized => "its user was removed",
        }
    }
}

/// Named values that a kind of port shows of itself. Never a password.
pub type Details = Vec<(&'static str, String)>;
