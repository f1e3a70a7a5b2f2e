//! Neighbors, as control asks for them: page by page.

use tokio::task::yield_now;

use super::{Control, ControlError};
use crate::{
    core::fdb::PortNumber,
    message::{ListNeighbors, NeighborInfo},
};

impl Control {
    /// The neighbors that LLDP has told of, by port; of one port if that is given.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn list_neighbors(
        &self,
        port: Option<PortNumber>,
    ) -> Result<Vec<NeighborInfo>, ControlError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.switch.send(ListNeighbors { port, after }).await?;
            all.extend(page.neighbors);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
            yield_now().await;
        }
    }
}
