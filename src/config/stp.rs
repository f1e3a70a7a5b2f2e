//! The switch as a bridge of the spanning tree.

use std::time::Duration;

use etherws_actors::stp::{BridgeError, BridgeSettings, StpMode};

use super::{Switch, resolve::Checker};

impl Checker<'_> {
    /// What `[switch]` says of it; `None`: it takes no part.
    pub(super) fn stp(&mut self, switch: &Switch) -> Option<BridgeSettings> {
        let Switch { stp, stp_priority, stp_max_age, stp_forward_delay, .. } = switch;
        let default = BridgeSettings::default();
        let seconds = |given: &Option<u16>, default: Duration| {
            given.map_or(default, |seconds| Duration::from_secs(seconds.into()))
        };
        let settings = BridgeSettings {
            priority: stp_priority.unwrap_or(default.priority),
            max_age: seconds(stp_max_age, default.max_age),
            forward_delay: seconds(stp_forward_delay, default.forward_delay),
            force_stp: *stp == Some(StpMode::Stp),
        };
        let keys = ["switch.stp-priority", "switch.stp-max-age", "switch.stp-forward-delay"];
        let given = [stp_priority.is_some(), stp_max_age.is_some(), stp_forward_delay.is_some()];
        let first = keys.into_iter().zip(given).find_map(|(key, given)| given.then_some(key));
        if stp.is_none()
            && let Some(key) = first
        {
            let [name, stp] = [key, "switch.stp"].map(|key| self.name(key).into_owned());
            self.fault(key, format!("{name} is given without {stp}: give {stp} as well, as rstp"));
        }
        if let Err(error) = settings.check() {
            let key = match error {
                BridgeError::Priority(_) => keys[0],
                BridgeError::Apart { .. } if stp_max_age.is_none() => keys[2],
                BridgeError::MaxAge(_) | BridgeError::Apart { .. } => keys[1],
                BridgeError::ForwardDelay(_) => keys[2],
            };
            let text = format!("{}: {error}", self.name(key));
            self.fault(key, text);
        }
        stp.filter(|mode| *mode != StpMode::Off).map(|_| settings)
    }
}
