//! The setting `lldp-status`: whether a port sends and receives LLDP.

use super::{SettingValue, ValueError};
use crate::names;

names! {
    /// Whether a port sends and receives LLDP (IEEE 802.1AB, 9.2.5.1, adminStatus), in the words of
    /// `lldpcli`.
    pub enum LldpStatus {
        /// It does neither.
        Disabled = "disabled",
        /// It only receives.
        RxOnly = "rx-only",
        /// It only sends.
        TxOnly = "tx-only",
        /// It does both.
        RxAndTx = "rx-and-tx",
    }
}

impl LldpStatus {
    /// Whether it hears neighbors.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::RxOnly | Self::RxAndTx)
    }

    /// Whether it tells neighbors.
    #[must_use]
    pub const fn transmits(self) -> bool {
        matches!(self, Self::TxOnly | Self::RxAndTx)
    }
}

impl SettingValue for LldpStatus {
    const FORM: &'static str = "rx-and-tx|rx-only|tx-only|disabled";

    fn parse(text: &str) -> Result<Self, ValueError> {
        match text {
            "on" => Ok(Self::RxAndTx),
            "off" => Ok(Self::Disabled),
            _ => Self::from_name(text).ok_or_else(|| {
                ValueError::new(format!("{text:?} is not an LLDP status; give {}", Self::FORM))
            }),
        }
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}
