//! The mirrors of the configuration: brings those of the switch to what the file says, and
//! writes them back.

use std::mem;

use etherws_actors::error::one_line;

use super::operate::InForce;
use crate::{
    capture::mirror::Mirror,
    config::{Action, Change},
};

impl InForce {
    /// Makes these the mirrors of the file. Those that control has added stay.
    pub(super) async fn change_mirrors(&mut self, new: &[Mirror]) -> Vec<Change> {
        let control = self.shared.control.clone();
        let there = control.list_mirrors().await.unwrap_or_default();
        let mut old = mem::take(&mut self.mirrors);
        old.retain(|(_, number)| there.iter().any(|info| info.number == *number));
        let mut changes = Vec::new();
        for (mirror, number) in old.extract_if(.., |(mirror, _)| !new.contains(mirror)) {
            if control.del_mirror(number).await.is_ok() {
                changes.push(Change::new(Action::Deleted, mirror.title()));
            }
        }
        for mirror in new {
            if let Some(at) = old.iter().position(|(one, _)| one == mirror) {
                self.mirrors.push(old.swap_remove(at));
                continue;
            }
            let kept = match mirror.mirror() {
                Ok(what) => control.keep_mirror(what).await.map_err(|error| one_line(&error)),
                Err(refusal) => Err(refusal.text().to_owned()),
            };
            match kept {
                Ok(info) => {
                    self.mirrors.push((mirror.clone(), info.number));
                    changes.push(Change::new(Action::Added, mirror.title()));
                }
                Err(error) => {
                    changes.push(Change::new(Action::Kept, mirror.title()).note(error));
                }
            }
        }
        changes
    }

    /// The mirrors that there are, with their numbers.
    pub(super) async fn running_mirrors(&self) -> Vec<(Mirror, u32)> {
        let there = self.shared.control.list_mirrors().await.unwrap_or_default();
        there.into_iter().map(|info| (Mirror::from(&info.what), info.number)).collect()
    }
}
