//! How much crosses between actors at once, and how much may be under way. All buffers
//! and queues on the frame's path are sized by these.

/// Most frames in one batch: beyond it a mailbox's cost a frame is lost in noise.
pub const BATCH_FRAMES: usize = 64;

/// Most octets in one batch: what a port reads at once. Larger reads overran the
/// egress queues and cost a third of the throughput.
pub const BATCH_OCTETS: usize = 256 * 1024;

/// Batches that a port may have on their way at once. It waits for a credit before
/// the next: the backpressure that keeps the Switch's mailbox short.
pub const INGRESS_CREDITS: usize = 4;

/// Batches of all ports of a holder that the Switch may have before it at once. The others of
/// his wait, each in its turn: what he floods is sent by every port, and whoever has a hundred
/// sessions must not have a hundred turns of the thread where others have one.
pub const HOLDER_TURNS: usize = 2;

/// Who the frames of a batch are from: egress queues are shared by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// Place of the holder whose port they came in by.
    pub holder: u32,
    /// Place of that port.
    pub port: u32,
    /// Whether they go to more ports than one.
    pub flooded: bool,
}

impl Source {
    /// The switch itself.
    pub const OWN: Self = Self { holder: u32::MAX, port: u32::MAX, flooded: false };

    /// A mirror, by its number: its copies are nobody's who has ports.
    #[must_use]
    pub const fn of_mirror(number: u32) -> Self {
        Self { holder: u32::MAX - 1, port: number, flooded: false }
    }
}
