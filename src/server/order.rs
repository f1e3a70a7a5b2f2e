//! What control asks of the program itself, which alone owns listeners and configuration:
//! a queue from the one to the other. Carries nothing out.

use tokio::sync::{mpsc, oneshot};

use crate::{config::Change, refusal::Refusal};

/// Orders that may wait: one is being carried out, and operators are few.
const WAITING: usize = 4;

/// What the program is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Read all files again, and apply what has changed.
    Reload,
    /// Write the ports as they are into the configuration file.
    Save,
}

/// An order, and where its outcome goes.
pub(crate) type Given = (Order, oneshot::Sender<Result<Vec<Change>, Refusal>>);

/// Where orders are given.
#[derive(Debug, Clone)]
pub(crate) struct Orders(mpsc::Sender<Given>);

impl Orders {
    /// And where they are taken.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Given>) {
        let (sender, taken) = mpsc::channel(WAITING);
        (Self(sender), taken)
    }

    /// Has an order carried out, after those that were given before.
    ///
    /// # Errors
    /// It is refused, and changed nothing; the program is stopping.
    pub(crate) async fn give(&self, order: Order) -> Result<Vec<Change>, Refusal> {
        let ending = || Refusal::runtime("the program is stopping");
        let (answer, answered) = oneshot::channel();
        self.0.send((order, answer)).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())?
    }
}
