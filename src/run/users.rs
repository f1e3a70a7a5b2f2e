//! What the users of a hub are given, changed while it runs.

use std::sync::Arc;

use etherws_actors::error::one_line;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::operate::InForce;
use crate::config::{Action, Change, Sw};

impl InForce {
    /// Gives users what `new` says, and certifies the hub for the URLs that it has there. The
    /// folder stays that of the start.
    pub(super) async fn change_users(&self, new: &Sw) -> Vec<Change> {
        let (Some(old), Some(new)) = (&self.options.users, &new.users) else { return Vec::new() };
        let Some(users) = self.shared.status.users.as_ref().filter(|_| old.policy != new.policy)
        else {
            return Vec::new();
        };
        users.set_policy(new.policy.clone());
        let (users, now) = (Arc::clone(users), Timestamp::now().as_second());
        let certified = spawn_blocking(move || users.certify_hub(now)).await;
        let failed = certified
            .ok()
            .and_then(Result::err)
            .map(|error| Change::new(Action::Kept, "users.urls").note(one_line(&*error)));
        [Change::new(Action::Changed, "users, pool")].into_iter().chain(failed).collect()
    }
}
