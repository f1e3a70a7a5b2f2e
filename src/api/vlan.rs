//! Methods about VLANs.

use std::fmt::Write;

use clap::Args;
use etherws_actors::{frame::Vid, message::VlanInfo, settings::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Entry, Group, Program, apart},
    fdb::Vlan,
};
use crate::refusal::Refusal;

/// List the VLANs: their names, ports and traffic.
///
/// Those that have a name, those that settings of a port name, and those of which frames came
/// in. A port without settings for VLANs carries every VLAN, and stands in none of these lines.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct ListVlan {
    /// Only this VLAN; 0: frames without a VLAN.
    #[arg(long, value_name = "VID", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vlan>,
    /// Only VLANs after this one; give the last VLAN of one page to get the next.
    #[arg(long, value_name = "VID", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Vlan>,
    /// At most this many VLANs.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl Call for ListVlan {
    const NAME: &'static str = "listVlan";
    const LONG: bool = true;
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Read;
    type Entry = VlanLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<VlanLine>, Refusal> {
        let after = self.after.map_or(0, |Vlan(after)| after.get() + 1);
        let from = after.max(self.vlan.map_or(0, |Vlan(vid)| vid.get()));
        let limit = self.limit.unwrap_or(usize::MAX).min(self.vlan.map_or(usize::MAX, |_| 1));
        let Some(from) = Vid::new(from) else { return Ok(Vec::new()) };
        let vlans = program.control.list_vlans(from, limit).await?;
        let is_asked_for = move |vlan: &VlanInfo| self.vlan.is_none_or(|one| one.0 == vlan.vid);
        apart(move || vlans.into_iter().filter(is_asked_for).map(VlanLine::from).collect()).await
    }
}

/// A VLAN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct VlanLine {
    /// Its number, 1 to 4094; 0 stands for frames without a VLAN.
    pub(crate) vid: u16,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Numbers of the ports that it leaves untagged.
    pub(crate) untagged: Vec<u32>,
    /// Numbers of the ports that it leaves tagged.
    pub(crate) tagged: Vec<u32>,
    /// Frames that came in.
    pub(crate) rx: u64,
    /// Frames that ports were given to send.
    pub(crate) tx: u64,
    /// Octets of those that came in.
    #[serde(rename = "octets-rx")]
    pub(crate) octets_rx: u64,
    /// Octets of those to be sent.
    #[serde(rename = "octets-tx")]
    pub(crate) octets_tx: u64,
}

impl From<VlanInfo> for VlanLine {
    fn from(info: VlanInfo) -> Self {
        let numbers = |ports: Vec<etherws_actors::fdb::PortNumber>| {
            ports.into_iter().map(etherws_actors::fdb::PortNumber::get).collect()
        };
        Self {
            vid: info.vid.get(),
            name: info.name,
            untagged: numbers(info.untagged),
            tagged: numbers(info.tagged),
            rx: info.traffic.rx_frames,
            tx: info.traffic.tx_frames,
            octets_rx: info.traffic.rx_octets,
            octets_tx: info.traffic.tx_octets,
        }
    }
}

/// Ascending numbers as people write them: `1,3-5`.
fn ranges(numbers: &[u32]) -> String {
    let mut text = String::new();
    for run in numbers.chunk_by(|one, next| one + 1 == *next) {
        let comma = if text.is_empty() { "" } else { "," };
        // A string takes whatever is written to it.
        let _ = match run {
            [one] => write!(text, "{comma}{one}"),
            [one, two] => write!(text, "{comma}{one},{two}"),
            [first, .., last] => write!(text, "{comma}{first}-{last}"),
            [] => Ok(()),
        };
    }
    text
}

impl Entry for VlanLine {
    const TITLES: &'static [&'static str] = &["VLAN", "Name", "Untagged", "Tagged", "TX", "RX"];
    const OPTIONAL: &'static [&'static str] = &["Name"];
    const NOTHING: Option<&'static str> = Some(
        "No VLANs are in use. Give a port one: etherws ctl setport PORT --vlan-mode access --tag 10",
    );

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.vid.to_string(),
            self.name.clone().unwrap_or_default(),
            ranges(&self.untagged),
            ranges(&self.tagged),
            self.tx.to_string(),
            self.rx.to_string(),
        ]]
    }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn numbers_in_a_row_are_a_range() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[1, 2, 4, 6, 7, 8]), "1,2,4,6-8");
    }
}
