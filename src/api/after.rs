//! Where a list by VLAN and address goes on.

use std::{fmt::Display, str::FromStr};

use etherws_actors::frame::Vid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fdb::Vlan;

/// Behind this entry: `"ADDRESS"`, or `"VLAN/ADDRESS"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[schemars(inline, with = "String", bound = "")]
#[serde(try_from = "String", into = "String", bound = "T: Clone + FromStr + Display")]
pub(crate) struct After<T>(pub(crate) (Vid, T));

impl<T: FromStr> TryFrom<String> for After<T> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl<T: FromStr> FromStr for After<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // An address may have a slash itself.
        if let Ok(address) = text.parse() {
            return Ok(Self((Vid::UNTAGGED, address)));
        }
        let entry = text.split_once('/').and_then(|(vlan, address)| {
            let Vlan(vid) = vlan.parse().ok()?;
            Some(Self((vid, address.parse().ok()?)))
        });
        entry.ok_or_else(|| {
            format!("Invalid entry: {text}; give ADDRESS or VLAN/ADDRESS, with both as in the list")
        })
    }
}

impl<T: Display> From<After<T>> for String {
    fn from(After((vid, address)): After<T>) -> Self {
        format!("{}/{address}", vid.get())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use etherws_actors::frame::MacAddr;

    use super::{super::mdb::GroupAddress, *};

    fn check<T: FromStr + Display>(text: &str, full: &str) {
        let shown = |text: &str| text.parse().map(|after: After<T>| String::from(after));
        assert_eq!((shown(text), shown(full)), (Ok(full.to_owned()), Ok(full.to_owned())));
    }

    #[test]
    fn a_list_goes_on_behind_any_entry_that_it_shows() {
        check::<MacAddr>("02:00:00:00:00:01", "0/02:00:00:00:00:01");
        check::<MacAddr>("10/02:00:00:00:00:01", "10/02:00:00:00:00:01");
        check::<IpAddr>("192.0.2.1", "0/192.0.2.1");
        check::<IpAddr>("10/2001:db8::1", "10/2001:db8::1");
        for (text, full) in [
            ("239.1.2.3", "0/239.1.2.3"),
            ("10/239.1.2.3", "10/239.1.2.3"),
            ("224.0.0.0/4", "0/224.0.0.0/4"),
            ("10/224.0.0.0/4", "10/224.0.0.0/4"),
            ("ff00::/8", "0/ff00::/8"),
            ("ff05::1", "0/ff05::1"),
        ] {
            check::<GroupAddress>(text, full);
        }
        for wrong in ["", "192.0.2.1", "4095/239.1.2.3", "239.1.2.3/4", "x/239.1.2.3"] {
            assert!(wrong.parse::<After<GroupAddress>>().is_err(), "{wrong}");
        }
    }
}
