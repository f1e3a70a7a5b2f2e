//! The setting `trust`: one word for the guards that a port of a kind wants.

use super::{LinkLocal, PortSettings, SettingValue, ValueError};
use crate::{
    core::{fdb::DEFAULT_CAPACITY, guard::storm::StormLimit},
    names,
};

names! {
    /// Who is behind a port.
    pub enum Trust {
        /// A few stations, of which nothing is believed.
        Client = "client",
        /// A network with switches of its own.
        Uplink = "uplink",
    }
}

impl Trust {
    /// What it stands for.
    #[must_use]
    pub fn settings(self) -> PortSettings {
        let rate = |rate, burst| Some(StormLimit::Rate { rate, burst });
        match self {
            Self::Client => PortSettings {
                loop_guard: Some(true),
                max_macs: Some(8),
                // A tenth of the defaults; an ARP scan of a /22 fits into the burst.
                storm_broadcast: rate(100, 1000),
                storm_multicast: rate(500, 2000),
                storm_unicast: rate(500, 2000),
                storm_octets: rate(500_000, 2_000_000),
                link_local: Some(LinkLocal::NONE),
                bpdu_guard: Some(true),
                stp_trust: Some(false),
                stp_root_guard: Some(true),
                sticky: Some(false),
                dhcp_guard: Some(true),
                // What switches are set to as a rule; a station that starts sends four.
                dhcp_rate: rate(15, 60),
                ra_guard: Some(true),
                querier_guard: Some(true),
                ..PortSettings::default()
            },
            Self::Uplink => PortSettings {
                loop_guard: Some(true),
                max_macs: Some(DEFAULT_CAPACITY),
                link_local: Some(LinkLocal::ALL_BUT_PAUSE),
                bpdu_guard: Some(false),
                stp_trust: Some(true),
                stp_root_guard: Some(false),
                sticky: Some(false),
                dhcp_guard: Some(false),
                dhcp_rate: Some(StormLimit::Off),
                ra_guard: Some(false),
                querier_guard: Some(false),
                ..PortSettings::default()
            },
        }
    }
}

impl SettingValue for Trust {
    const FORM: &'static str = "client|uplink";

    fn parse(text: &str) -> Result<Self, ValueError> {
        Self::from_name(text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(" or ");
            ValueError::new(format!("{text:?} is not a trust; give {names}"))
        })
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}
