//! Bindings of IP addresses over a restart: read from the state before the first port is there,
//! and kept when they have changed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use etherws_actors::{
    bindings::BindingType,
    control::Control,
    frame::{MacAddr, Vid},
    kinds::Store,
    message::BindingInfo,
    tick,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How often they are kept at most. What is bound in between is asked for again by its station
/// when half of its lease is over.
const INTERVAL: Duration = Duration::from_secs(10);

/// Where the state has them.
const SECTION: &str = "bindings";
const KEY: &str = "all";

/// A binding in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    vlan: u16,
    ip: IpAddr,
    mac: String,
    holder: String,
    /// When it ends, in seconds since 1970.
    until: u64,
    #[serde(rename = "type")]
    kind: BindingType,
}

fn now() -> u64 {
    Timestamp::now().as_second().try_into().unwrap_or_default()
}

impl Kept {
    fn new(info: &BindingInfo, now: u64) -> Self {
        Self {
            vlan: info.vid.get(),
            ip: info.ip,
            mac: info.mac.to_string(),
            holder: info.holder.to_string(),
            until: now.saturating_add(info.left.as_secs()),
            kind: info.kind,
        }
    }

    /// `None`: it has ended, or is none.
    fn read(self, now: u64) -> Option<BindingInfo> {
        Some(BindingInfo {
            vid: Vid::new(self.vlan)?,
            ip: self.ip,
            mac: self.mac.parse::<MacAddr>().ok()?,
            port: None,
            holder: self.holder.into(),
            kind: self.kind,
            left: Duration::from_secs(self.until.checked_sub(now).filter(|left| *left > 0)?),
        })
    }
}

/// What keeps them.
#[derive(Debug)]
pub(super) struct Bindings {
    control: Control,
    store: Arc<dyn Store>,
    /// Of what is kept.
    changes: u64,
}

impl Bindings {
    /// Gives the switch those that `store` has.
    pub(super) async fn restore(control: Control, store: Arc<dyn Store>) -> Self {
        let kept = store.get(SECTION, KEY).and_then(|value| serde_json::from_value(value).ok());
        let (kept, now): (Vec<Kept>, u64) = (kept.unwrap_or_default(), now());
        let all = kept.into_iter().filter_map(|kept| kept.read(now)).collect();
        // Refused if the switch has ended, and then nobody asks.
        let changes = control.restore_bindings(all).await.unwrap_or_default();
        Self { control, store, changes }
    }

    /// Keeps them, if they have changed.
    pub(super) async fn keep(&mut self) {
        let Ok(Some((all, changes))) = self.control.changed_bindings(self.changes).await else {
            return;
        };
        let now = now();
        let all: Vec<_> = all.iter().map(|info| Kept::new(info, now)).collect();
        let (Ok(value), store) = (serde_json::to_value(all), Arc::clone(&self.store)) else {
            return;
        };
        self.changes = changes;
        // It waits for a disk.
        let _ = tokio::task::spawn_blocking(move || store.set(SECTION, KEY, value)).await;
    }

    /// Keeps them, as long as it is asked to.
    pub(super) async fn go_on(&mut self) {
        let mut ticks = tick::every(INTERVAL);
        loop {
            ticks.tick().await;
            self.keep().await;
        }
    }
}
