//! A task that ends with its owner.

use tokio::task::JoinHandle;

/// Is aborted when it is dropped.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(future: impl Future<Output = ()> + 'static) -> Self {
        Self(actix_rt::spawn(future))
    }

    /// Ends it, and waits until all that it had is gone.
    pub(super) async fn end(mut self) {
        self.0.abort();
        // That it was aborted is no news.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
