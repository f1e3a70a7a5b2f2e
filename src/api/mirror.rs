//! Methods about mirrors: ports that copies of frames leave by.

use clap::Args;
use etherws_actors::{mirror::PortMirrorInfo, settings::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{Call, Entry, Group, Program};
use crate::{capture::mirror::Mirror, refusal::Refusal};

impl Call for Mirror {
    const NAME: &'static str = "addMirror";
    const GROUP: Group = Group::Traffic;
    // Whoever reads the copies reads what others send, as with a capture.
    const ROLE: Role = Role::Admin;
    type Entry = MirrorLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<MirrorLine>, Refusal> {
        let info = program.control.add_mirror(self.mirror()?).await?;
        Ok(vec![info.into()])
    }

    fn check(&self) -> Result<(), Refusal> {
        self.mirror().map(drop)
    }
}

/// List the mirrors, and what each has copied and lost.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct ListMirror {}

impl Call for ListMirror {
    const NAME: &'static str = "listMirror";
    const GROUP: Group = Group::Traffic;
    const ROLE: Role = Role::Read;
    type Entry = MirrorLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<MirrorLine>, Refusal> {
        let mirrors = program.control.list_mirrors().await?;
        Ok(mirrors.into_iter().map(MirrorLine::from).collect())
    }
}

/// Delete a mirror.
///
/// Entries: the mirror as it was.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct DelMirror {
    /// Number of the mirror, as listMirror shows it.
    mirror: u32,
}

impl Call for DelMirror {
    const NAME: &'static str = "delMirror";
    const GROUP: Group = Group::Traffic;
    const ROLE: Role = Role::Admin;
    const REMOVES: bool = true;
    type Entry = MirrorLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<MirrorLine>, Refusal> {
        Ok(vec![program.control.del_mirror(self.mirror).await?.into()])
    }
}

/// A mirror, and what it has counted, in frames as they are on a wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MirrorLine {
    /// Its number.
    pub(crate) number: u32,
    /// What it copies, and where to.
    #[serde(flatten)]
    pub(crate) mirror: Mirror,
    /// Whether the port is there that copies leave by.
    pub(crate) ready: bool,
    /// Copies that the port was given to send.
    pub(crate) copied: u64,
    /// Octets of those.
    #[serde(rename = "octets-copied")]
    pub(crate) octets_copied: u64,
    /// Copies that were lost: the port was not there or not up, or its queue was full.
    pub(crate) lost: u64,
}

impl From<PortMirrorInfo> for MirrorLine {
    fn from(info: PortMirrorInfo) -> Self {
        Self {
            number: info.number,
            mirror: Mirror::from(&info.what),
            ready: info.to.is_some(),
            copied: info.counts.frames,
            octets_copied: info.counts.octets,
            lost: info.counts.lost,
        }
    }
}

impl Entry for MirrorLine {
    const TITLES: &'static [&'static str] =
        &["Mirror", "From", "Direction", "VLAN", "Filter", "To", "To VLAN", "Copied", "Lost"];
    const OPTIONAL: &'static [&'static str] = &["VLAN", "Filter", "To VLAN"];
    const NOTHING: Option<&'static str> =
        Some("No mirrors. Copy what passes a port: etherws ctl addmirror --from PORT --to PORT");

    fn rows(&self) -> Vec<Vec<String>> {
        let Mirror { from, to, direction, vlan, filter, to_vlan } = &self.mirror;
        let from: Vec<_> = from.iter().map(ToString::to_string).collect();
        let number = |vid: &Option<u16>| vid.map(|vid| vid.to_string()).unwrap_or_default();
        vec![vec![
            self.number.to_string(),
            if from.is_empty() { "all".to_owned() } else { from.join(",") },
            direction.clone().unwrap_or_else(|| "both".to_owned()),
            number(vlan),
            filter.clone().unwrap_or_default(),
            if self.ready { to.to_string() } else { format!("{to} (missing)") },
            number(to_vlan),
            self.copied.to_string(),
            self.lost.to_string(),
        ]]
    }
}
