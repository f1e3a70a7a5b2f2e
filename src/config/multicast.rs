//! What the switch does about multicast.

use etherws_actors::multicast::{DEFAULT_GROUPS, SnoopingOptions};

use super::{Switch, resolve::Checker};
use crate::options::MIN_GROUPS;

impl Checker<'_> {
    /// What `[switch]` says of it.
    pub(super) fn snooping(&mut self, switch: &Switch) -> SnoopingOptions {
        let Switch { mcast_snooping, mcast_querier, mcast_groups, .. } = switch;
        let given = [mcast_querier.is_some(), mcast_groups.is_some()];
        let keys = ["switch.mcast-querier", "switch.mcast-groups"];
        let first = keys.into_iter().zip(given).find_map(|(key, given)| given.then_some(key));
        if mcast_snooping.is_none()
            && let Some(key) = first
        {
            let [name, snooping] =
                [key, "switch.mcast-snooping"].map(|key| self.name(key).into_owned());
            self.fault(key, format!("{name} is given without {snooping}: give {snooping} as well"));
        }
        if let Some(count) = mcast_groups.filter(|count| i64::from(*count) < MIN_GROUPS) {
            let name = self.name("switch.mcast-groups");
            let text = format!("{name} {count} is too small; give {MIN_GROUPS} or more");
            self.fault("switch.mcast-groups", text);
        }
        SnoopingOptions {
            is_on: mcast_snooping.unwrap_or(false),
            is_querier: mcast_querier.unwrap_or(false),
            groups: mcast_groups.map_or(DEFAULT_GROUPS, |count| count as usize),
        }
    }
}
