//! The setting `mcast-router`.

use super::{SettingValue, ValueError};
use crate::names;

names! {
    /// Whether a multicast router is behind a port.
    pub enum McastRouter {
        /// While one is heard.
        Auto = "auto",
        /// Never, whatever is heard.
        Off = "off",
        /// Always.
        On = "on",
    }
}

#[expect(
    clippy::derivable_impls,
    reason = "a list of names says which of them is the default here"
)]
impl Default for McastRouter {
    fn default() -> Self {
        Self::Auto
    }
}

impl SettingValue for McastRouter {
    const FORM: &'static str = "auto|off|on";

    /// Knows what a Linux bridge calls them: 1, 0 and 2.
    fn parse(text: &str) -> Result<Self, ValueError> {
        match text {
            "1" => Ok(Self::Auto),
            "0" | "false" => Ok(Self::Off),
            "2" | "true" => Ok(Self::On),
            _ => Self::from_name(text).ok_or_else(|| {
                ValueError::new(format!("{text:?} is not an mcast-router; give auto, off or on"))
            }),
        }
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}
