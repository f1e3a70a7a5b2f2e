//! Bindings of IP addresses, as control asks for them: page by page, since all of them at once
//! would hold up frames.

use tokio::task::yield_now;

use super::{Control, ControlError};
use crate::{
    core::bindings::Key,
    message::{BindingFilter, BindingInfo, ListBindings, RestoreBindings},
};

impl Control {
    /// The first `limit` bindings of IP addresses behind `after`, by VLAN and address, and those
    /// that were only heard of.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn list_bindings(
        &self,
        filter: BindingFilter,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Vec<BindingInfo>, ControlError> {
        self.collect_bindings(filter, after, limit, true).await
    }

    async fn collect_bindings(
        &self,
        filter: BindingFilter,
        mut after: Option<Key>,
        limit: usize,
        with_heard: bool,
    ) -> Result<Vec<BindingInfo>, ControlError> {
        let mut all = Vec::new();
        loop {
            let page = self.switch.send(ListBindings { filter, after, with_heard }).await?;
            all.extend(page.entries);
            after = page.next;
            yield_now().await;
            if after.is_none() || all.len() >= limit {
                all.truncate(limit);
                return Ok(all);
            }
        }
    }

    /// All that are to be kept, and how often they have changed, if that is not `known`.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn changed_bindings(
        &self,
        known: u64,
    ) -> Result<Option<(Vec<BindingInfo>, u64)>, ControlError> {
        let changes = self.switch.send(ListBindings::default()).await?.changes;
        if changes == known {
            return Ok(None);
        }
        let all = self.collect_bindings(BindingFilter::default(), None, usize::MAX, false).await?;
        Ok(Some((all, changes)))
    }

    /// Binds what was bound before a restart; how often bindings have changed since then.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn restore_bindings(&self, all: Vec<BindingInfo>) -> Result<u64, ControlError> {
        Ok(self.switch.send(RestoreBindings(all)).await?)
    }
}
