//! The multicast database, as control asks for it: page by page, as bindings.

use tokio::task::yield_now;

use super::{Control, ControlError};
use crate::{
    core::{
        fdb::PortNumber,
        multicast::{Key, MdbEntry},
    },
    message::{ListMdb, MdbFilter},
};

impl Control {
    /// The first `limit` entries of the multicast database behind `after`, by VLAN and group.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn list_mdb(
        &self,
        filter: MdbFilter,
        mut after: Option<Key>,
        limit: usize,
    ) -> Result<Vec<MdbEntry<PortNumber>>, ControlError> {
        let mut all = Vec::new();
        loop {
            let page = self.switch.send(ListMdb { filter, after }).await?;
            all.extend(page.entries);
            after = page.next;
            yield_now().await;
            if after.is_none() || all.len() >= limit {
                all.truncate(limit);
                return Ok(all);
            }
        }
    }
}
