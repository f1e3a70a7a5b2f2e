//! A port in memory: frames pass through channels to whoever embeds the switch.
//! Also what tests stand on.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

use crate::{
    core::{batch::BATCH_FRAMES, counters::Discard, frame::Frame},
    port::{Link, Medium, PortError, PortIo},
};

/// The port's end of a pair; goes to [`supervisor::add`](crate::supervisor::add).
#[derive(Debug)]
pub struct Memory {
    name: String,
    is_leaf: bool,
    to_user: mpsc::Sender<Frame>,
    from_user: Arc<Mutex<mpsc::Receiver<Frame>>>,
}

/// The program's end of a pair. The port ends when it is dropped.
#[derive(Debug)]
pub struct MemoryHandle {
    to_switch: mpsc::Sender<Frame>,
    from_switch: mpsc::Receiver<Frame>,
}

/// The program's end of a pair was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("memory port {0:?} is closed")]
pub struct Closed(String);

impl Memory {
    /// A port called `name`, and the program's end of it. Each direction holds
    /// `frames` frames; the switch drops and counts what the program does not take.
    #[must_use]
    pub fn pair(name: &str, frames: usize) -> (Self, MemoryHandle) {
        let (to_switch, from_user) = mpsc::channel(frames);
        let (to_user, from_switch) = mpsc::channel(frames);
        let from_user = Arc::new(Mutex::new(from_user));
        (
            Self { name: name.to_owned(), is_leaf: false, to_user, from_user },
            MemoryHandle { to_switch, from_switch },
        )
    }

    /// With a station at the program's end that leads to no other port: it gets no frames of
    /// the loop guard.
    #[must_use]
    pub fn leaf(self) -> Self {
        Self { is_leaf: true, ..self }
    }
}

impl MemoryHandle {
    /// Gives a frame to the switch; waits while the channel is full.
    ///
    /// # Errors
    /// The port was deleted.
    pub async fn send(&self, frame: Frame) -> Result<(), Closed> {
        self.to_switch.send(frame).await.map_err(|_| Closed("deleted".to_owned()))
    }

    /// The next frame from the switch; `None` after the port was deleted.
    pub async fn recv(&mut self) -> Option<Frame> {
        self.from_switch.recv().await
    }

    /// Like [`recv`](Self::recv), but `None` when there is none now.
    pub fn try_recv(&mut self) -> Option<Frame> {
        self.from_switch.try_recv().ok()
    }
}

impl Medium for Memory {
    type Link = MemoryLink;

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn target(&self) -> String {
        self.name.clone()
    }

    fn is_leaf(&self) -> bool {
        self.is_leaf
    }

    fn restarts(&self) -> bool {
        !self.to_user.is_closed()
    }

    async fn open(&mut self) -> Result<MemoryLink, PortError> {
        if self.to_user.is_closed() {
            return Err(Closed(self.name.clone()).into());
        }
        let from_user = Arc::clone(&self.from_user).lock_owned().await;
        Ok(MemoryLink { to_user: self.to_user.clone(), from_user })
    }
}

/// An open memory port.
#[derive(Debug)]
pub struct MemoryLink {
    to_user: mpsc::Sender<Frame>,
    from_user: OwnedMutexGuard<mpsc::Receiver<Frame>>,
}

impl Link for MemoryLink {
    async fn run(mut self, io: PortIo) -> Result<(), PortError> {
        let PortIo { mut ingress, mut egress, mut stop, .. } = io;
        let rx = async {
            loop {
                let mut batch = Vec::with_capacity(BATCH_FRAMES);
                if self.from_user.recv_many(&mut batch, BATCH_FRAMES).await == 0 {
                    return Ok(());
                }
                ingress.send(batch).await?;
            }
        };
        let tx = async {
            let mut batch = Vec::with_capacity(BATCH_FRAMES);
            loop {
                egress.recv(&mut batch).await;
                for frame in batch.drain(..) {
                    if let Err(error) = self.to_user.try_send(frame) {
                        egress.refused(&error.into_inner(), Discard::LackOfBuffers);
                    }
                }
            }
        };
        tokio::select! {
            end = rx => end,
            () = tx => Ok(()),
            _ = stop.wait() => Ok(()),
        }
    }
}
