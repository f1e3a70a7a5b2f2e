//! A link made of two functions: one takes a frame from a medium, one gives it a frame.
//!
//! For kinds whose medium has no batches of its own. Those on a hot path write their own
//! [`Link`], with as few system calls as they can.

use std::{future::Future, io};

use futures_util::FutureExt as _;

use super::{Link, PortError, PortIo};
use crate::core::{batch::BATCH_FRAMES, counters::Discard, frame::Frame};

/// Something that carries whole frames, one at a time. It is a [`Link`].
pub trait FrameIo: 'static {
    /// Waits for a frame. Dropped before it is ready, it must lose none.
    ///
    /// # Errors
    /// The medium is lost.
    fn recv(&self) -> impl Future<Output = io::Result<Frame>>;

    /// Sends a frame.
    ///
    /// # Errors
    /// This frame was refused; the next may pass.
    fn send(&self, frame: &Frame) -> impl Future<Output = io::Result<()>>;
}

impl<T: FrameIo> Link for T {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        let PortIo { mut ingress, mut egress, mut stop, .. } = io;
        let receive = async {
            loop {
                let mut batch = vec![self.recv().await?];
                while batch.len() < BATCH_FRAMES
                    && let Some(frame) = self.recv().now_or_never()
                {
                    batch.push(frame?);
                }
                ingress.send(batch).await?;
            }
        };
        let transmit = async {
            let mut batch = Vec::with_capacity(BATCH_FRAMES);
            let mut slice = egress.time_slice();
            loop {
                egress.recv(&mut batch).await;
                for frame in batch.drain(..) {
                    if slice.write(self.send(&frame)).await.0.is_err() {
                        egress.refused(&frame, Discard::OnError);
                    }
                }
                slice.end_batch().await;
            }
        };
        tokio::select! {
            end = receive => end,
            () = transmit => Ok(()),
            _ = stop.wait() => Ok(()),
        }
    }
}
