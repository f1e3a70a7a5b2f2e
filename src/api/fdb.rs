//! Methods about the forwarding database.

use clap::Args;
use etherws_actors::{
    error::one_line,
    fdb::{FdbFilter, Status},
    frame::{MacAddr, Vid},
    message::FdbInfo,
    settings::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    after::After,
    call::{Call, Entry, Group, Program, apart},
    port::PortRef,
};
use crate::{parse, refusal::Refusal};

/// A MAC address, `"02:00:00:00:00:01"`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[schemars(inline, with = "String")]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Mac(pub(crate) MacAddr);

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error: etherws_actors::frame::ParseMacAddrError| one_line(&error))
    }
}

impl From<Mac> for String {
    fn from(Mac(mac): Mac) -> Self {
        mac.to_string()
    }
}

/// A VLAN, 1 to 4094; 0: none.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[schemars(inline, with = "u16")]
#[serde(try_from = "i64", into = "u16")]
pub(crate) struct Vlan(pub(crate) Vid);

impl Default for Vlan {
    fn default() -> Self {
        Self(Vid::UNTAGGED)
    }
}

impl TryFrom<i64> for Vlan {
    type Error = Refusal;

    fn try_from(number: i64) -> Result<Self, Refusal> {
        parse::vid(number).map(Self)
    }
}

impl std::str::FromStr for Vlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("Invalid VLAN: {text}; give 1 to 4094, or 0 for none");
        let number: i64 = text.parse().map_err(|_| wrong())?;
        number.try_into().map_err(|_: Refusal| wrong())
    }
}

impl From<Vlan> for u16 {
    fn from(Vlan(vid): Vlan) -> Self {
        vid.get()
    }
}

impl std::fmt::Display for Vlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.get().fmt(f)
    }
}

/// List the forwarding database, by VLAN and then address.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct ListFdb {
    /// Only what is behind this port: its number or name.
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<PortRef>,
    /// Only this address.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<Mac>,
    /// Only this VLAN; 0: no VLAN.
    #[arg(long, value_name = "VID", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vlan>,
    /// Only static entries.
    #[arg(long = "static")]
    #[serde(rename = "static", skip_serializing_if = "std::ops::Not::not")]
    is_static: bool,
    /// Only entries after this one; give the last entry of one page to get the next.
    #[arg(long, value_name = "[VLAN/]ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<After<MacAddr>>,
    /// At most this many entries.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl Call for ListFdb {
    const NAME: &'static str = "listFdb";
    const LONG: bool = true;
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Read;
    type Entry = FdbLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<FdbLine>, Refusal> {
        let only = match &self.port {
            Some(port) => Some(port.find(program).await?),
            None => None,
        };
        let filter = FdbFilter {
            port: only,
            vid: self.vlan.map(|Vlan(vid)| vid),
            mac: self.mac.map(|Mac(mac)| mac),
            status: self.is_static.then_some(Status::Static),
        };
        let lines = program.control.list_fdb(filter).await?;
        let is_later = move |line: &FdbInfo| {
            self.after.is_none_or(|After(after)| (line.vid, line.mac) > after)
        };
        apart(move || {
            let lines = lines.into_iter().filter(is_later).take(self.limit.unwrap_or(usize::MAX));
            lines.map(FdbLine::from).collect()
        })
        .await
    }
}

/// Add a static MAC entry: an address that neither ages nor moves.
///
/// It is there until it is deleted, or its port is. Entries: that entry.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct AddFdb {
    /// Address, as 02:00:00:00:00:01.
    mac: Mac,
    /// Number or name of the port.
    #[arg(allow_negative_numbers = true)]
    port: PortRef,
    /// VLAN of the address, 1 to 4094; 0 or missing: none.
    #[arg(long = "vlan", value_name = "VID", allow_negative_numbers = true)]
    #[arg(default_value_t, hide_default_value = true)]
    #[serde(default)]
    vid: Vlan,
}

impl Call for AddFdb {
    const NAME: &'static str = "addFdb";
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Operate;
    type Entry = FdbLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<FdbLine>, Refusal> {
        let port = self.port.find(program).await?;
        Ok(vec![program.control.add_fdb(self.vid.0, self.mac.0, port).await?.into()])
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port.check()
    }
}

/// Delete a MAC address from the forwarding database, static or learned.
///
/// Entries: that entry, as it was.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct DelFdb {
    /// Address, as 02:00:00:00:00:01.
    mac: Mac,
    /// VLAN of the address, 1 to 4094; 0 or missing: none.
    #[arg(long = "vlan", value_name = "VID", allow_negative_numbers = true)]
    #[arg(default_value_t, hide_default_value = true)]
    #[serde(default)]
    vid: Vlan,
}

impl Call for DelFdb {
    const NAME: &'static str = "delFdb";
    const REMOVES: bool = true;
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Operate;
    type Entry = FdbLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<FdbLine>, Refusal> {
        Ok(vec![program.control.del_fdb(self.vid.0, self.mac.0).await?.into()])
    }
}

/// Forget the addresses that were learned.
///
/// Entries: what was forgotten.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
#[serde(default)]
pub(crate) struct FlushFdb {
    /// Number or name of the port; without it, all ports.
    #[arg(allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<PortRef>,
    /// Only addresses of this VLAN; 0: of none.
    #[arg(long, value_name = "VID", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vlan>,
    /// Also delete static entries.
    #[arg(long)]
    all: bool,
}

impl Call for FlushFdb {
    const NAME: &'static str = "flushFdb";
    const REMOVES: bool = true;
    const LONG: bool = true;
    const GROUP: Group = Group::Addresses;
    const ROLE: Role = Role::Operate;
    type Entry = FdbLine;

    async fn run(self, program: Program<'_>) -> Result<Vec<FdbLine>, Refusal> {
        let port = match &self.port {
            Some(port) => Some(port.find(program).await?),
            None => None,
        };
        let vid = self.vlan.map(|Vlan(vid)| vid);
        let filter = FdbFilter { port, vid, ..FdbFilter::default() };
        let flushed = program.control.flush_fdb(filter, self.all).await?;
        apart(|| flushed.into_iter().map(FdbLine::from).collect()).await
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port.as_ref().map_or(Ok(()), PortRef::check)
    }
}

/// A line of the forwarding database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FdbLine {
    /// VLAN, 0 for none.
    pub(crate) vid: u16,
    /// Address, as `02:00:00:00:00:01`.
    pub(crate) mac: String,
    /// Number of the port that it is behind.
    pub(crate) port: u32,
    /// Seconds since it was last seen; 1.3 follows the wall clock, which may step
    /// back.
    pub(crate) age: i64,
    /// True for a static entry, which neither ages nor moves; otherwise missing.
    #[serde(default, rename = "static", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_static: bool,
    /// Whether it belongs to the port, as the address of its device or one of its
    /// `static-macs`; missing where not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) permanent: bool,
    /// Whether it was learned behind a sticky port, and stays until it is flushed; missing
    /// where not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sticky: bool,
}

impl From<FdbInfo> for FdbLine {
    fn from(info: FdbInfo) -> Self {
        Self {
            vid: info.vid.get(),
            mac: info.mac.to_string(),
            port: info.entry.port.get(),
            age: i64::try_from(info.age).unwrap_or(i64::MAX),
            is_static: info.entry.status == Status::Static,
            permanent: info.entry.status == Status::Permanent,
            sticky: info.entry.status == Status::Sticky,
        }
    }
}

impl Entry for FdbLine {
    // As etherws 1.3 prints them.
    const TITLES: &'static [&'static str] = &["Port", "VLAN", "MAC", "Age"];

    fn rows(&self) -> Vec<Vec<String>> {
        let age = match self {
            Self { is_static: true, .. } => "static".to_owned(),
            Self { permanent: true, .. } => "permanent".to_owned(),
            Self { sticky: true, .. } => "sticky".to_owned(),
            Self { age, .. } => age.to_string(),
        };
        vec![vec![self.port.to_string(), self.vid.to_string(), self.mac.clone(), age]]
    }
}
