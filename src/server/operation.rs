//! What control asks of the program itself, which owns listeners and configuration: a queue
//! from the one to the other. Carries nothing out.

use tokio::sync::{mpsc, oneshot};

use crate::{config::Change, refusal::Refusal};

/// Operations that may wait: one is being carried out, and operators are few.
const WAITING: usize = 4;

/// What the program is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Read all files again, and apply what has changed.
    Reload,
    /// Write the ports as they are into the configuration file.
    Save,
}

/// An operation, and where its outcome goes.
pub(crate) type Requested = (Operation, oneshot::Sender<Result<Vec<Change>, Refusal>>);

/// Where operations are requested.
#[derive(Debug, Clone)]
pub(crate) struct Operations(mpsc::Sender<Requested>);

impl Operations {
    /// And where they are taken.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Requested>) {
        let (sender, taken) = mpsc::channel(WAITING);
        (Self(sender), taken)
    }

    /// Has an operation carried out, after those that were requested before.
    ///
    /// # Errors
    /// It is refused, and changed nothing; the program is stopping.
    pub(crate) async fn request(&self, operation: Operation) -> Result<Vec<Change>, Refusal> {
        let ending = || Refusal::runtime("the program is stopping");
        let (answer, answered) = oneshot::channel();
        self.0.send((operation, answer)).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())?
    }
}
