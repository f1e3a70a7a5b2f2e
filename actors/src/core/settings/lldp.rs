//! The setting `lldp-status`: what a port does of LLDP.

use super::{SettingValue, ValueError};
use crate::names;

names! {
    /// What a port does of LLDP (IEEE 802.1AB, 9.2.5.1, adminStatus), by the words of `lldpcli`.
    pub enum LldpStatus {
        /// Nothing.
        Disabled = "disabled",
        /// It hears neighbors, and tells them nothing.
        RxOnly = "rx-only",
        /// It tells, and hears nothing.
        TxOnly = "tx-only",
        /// Both.
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
