//! How far away somebody is: the peer of a tunnel, or a host on the LAN.

use std::{net::IpAddr, time::Instant};

use clap::Args;
use etherws_actors::{
    control::PING_LIMIT,
    frame::{MacAddr, Vid},
    mirror::{Filter, MirrorReader},
    settings::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant as Deadline, timeout_at};

use super::{
    call::{Call, Entry, Group, Program},
    fdb::Vlan,
    port::PortRef,
};
use crate::{hosts::claim::Claim, refusal::Refusal};

/// Pings unless told otherwise.
const DEFAULT_COUNT: u8 = 3;

/// Most of them: each may take a second, and somebody waits for the answer.
const MAX_COUNT: u8 = 20;

/// Octets that are read of an answer: ARP, or an advertisement behind a tag.
const SNAPLEN: usize = 256;

/// Measure how far away the peer of a tunnel is, or a host on the LAN.
///
/// A tunnel's peer is pinged by its WebSocket. A host is asked for by ARP or neighbor
/// discovery, from the switch itself. Entries: the answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct Ping {
    /// Port of a tunnel, by number or name; or MAC or IP address of a host.
    #[arg(value_name = "PORT|MAC|IP", allow_negative_numbers = true)]
    target: String,
    /// How often, up to 20; 3 without it.
    #[arg(short = 'c', long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u8>,
    /// VLAN of the host; the one that it is known in, or 0, without it.
    #[arg(long, value_name = "VID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vlan>,
}

impl Ping {
    /// Once, somebody whose address is known here.
    pub(crate) fn once(target: &str) -> Self {
        Self { target: target.to_owned(), count: Some(1), vlan: None }
    }
}

impl Call for Ping {
    const NAME: &'static str = "ping";
    const GROUP: Group = Group::Traffic;
    const ROLE: Role = Role::Operate;
    // It changes nothing.
    const AUDITED: bool = false;
    type Entry = Pong;

    async fn run(self, program: Program<'_>) -> Result<Vec<Pong>, Refusal> {
        self.check()?;
        let mac = self.target.parse::<MacAddr>().ok();
        let mut pongs = Vec::new();
        let known = match self.target.parse::<IpAddr>() {
            Ok(address) => Some((address, self.vlan_of(program, address).await)),
            Err(_) => match mac {
                Some(mac) => Some(address_of(program, mac).await?),
                None => None,
            },
        };
        let count = self.count.unwrap_or(DEFAULT_COUNT);
        for _ in 0..count {
            pongs.extend(match known {
                Some((address, vid)) => ask(program, address, vid, mac).await?,
                None => ping_port(program, &self.target).await?,
            });
        }
        if pongs.is_empty() {
            let s = if count == 1 { "" } else { "s" };
            let text = format!("{} did not answer {count} ping{s}; each had a second", self.target);
            return Err(Refusal::timeout(text));
        }
        Ok(pongs)
    }

    fn check(&self) -> Result<(), Refusal> {
        match self.count {
            Some(count) if !(1..=MAX_COUNT).contains(&count) => {
                Err(Refusal::value(format!("Invalid count: {count}; give 1 to {MAX_COUNT}")))
            }
            _ => Ok(()),
        }
    }
}

impl Ping {
    /// The VLAN in which the host with this address is asked for.
    async fn vlan_of(&self, program: Program<'_>, address: IpAddr) -> Vid {
        if let Some(Vlan(vid)) = self.vlan {
            return vid;
        }
        let hosts = program.service.hosts().await.unwrap_or_default();
        let host = hosts.iter().find(|host| host.addresses.contains(&address));
        host.map_or(Vid::UNTAGGED, |host| host.vid)
    }
}

/// The address by which a host can be asked for, of which only the MAC address is given.
async fn address_of(program: Program<'_>, mac: MacAddr) -> Result<(IpAddr, Vid), Refusal> {
    let hosts = program.service.hosts().await?;
    let host = hosts.iter().find(|host| host.mac == mac && !host.addresses.is_empty());
    let host = host.ok_or_else(|| {
        Refusal::key(format!("{mac}: no IP address of this host is known; give its IP address"))
    })?;
    let v4 = host.addresses.iter().find(|address| address.is_ipv4());
    Ok((*v4.unwrap_or(&host.addresses[0]), host.vid))
}

async fn ping_port(program: Program<'_>, target: &str) -> Result<Option<Pong>, Refusal> {
    let port = PortRef::from(target.to_owned()).find(program).await?;
    let time = program.control.ping_port(port).await?;
    let rtt = time.map(|time| (time.as_secs_f64() * 1e5).round() / 1e2);
    Ok(rtt.map(|rtt| Pong { target: target.to_owned(), port: port.get(), mac: None, rtt }))
}

/// Asks for `address`, and waits for whoever has it.
async fn ask(
    program: Program<'_>,
    address: IpAddr,
    vid: Vid,
    mac: Option<MacAddr>,
) -> Result<Option<Pong>, Refusal> {
    let mut answers = program.control.mirror(Filter::hosts(), SNAPLEN).await?;
    let asked = Instant::now();
    program.control.ask_for(address, vid).await?;
    let deadline = Deadline::now() + PING_LIMIT;
    while let Ok(Some(pong)) =
        timeout_at(deadline, next(&mut answers, address, vid, mac, asked)).await
    {
        if let Some(pong) = pong {
            return Ok(Some(pong));
        }
    }
    Ok(None)
}

/// The answer, if it is among what has come next; `None`: the switch has ended.
async fn next(
    answers: &mut MirrorReader,
    address: IpAddr,
    vid: Vid,
    mac: Option<MacAddr>,
    asked: Instant,
) -> Option<Option<Pong>> {
    let batch = answers.recv().await?;
    let mut pong = None;
    for frame in batch.frames {
        let (port, time) = (frame.port, frame.time);
        frame.on_wire(|octets, _| {
            let claim = Claim::read(octets).filter(|claim| {
                claim.own
                    && (claim.address, claim.vid) == (Some(address), vid)
                    && mac.is_none_or(|mac| claim.mac == mac)
            });
            let Some(claim) = claim else { return };
            let time = time.saturating_duration_since(asked);
            pong = Some(Pong {
                target: address.to_string(),
                port: port.get(),
                mac: Some(claim.mac.to_string()),
                rtt: (time.as_secs_f64() * 1e5).round() / 1e2,
            });
        });
    }
    Some(pong)
}

/// An answer to a ping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Pong {
    /// What was pinged.
    pub(crate) target: String,
    /// Number of the port that the answer came in by.
    pub(crate) port: u32,
    /// MAC address of the host; missing for a tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mac: Option<String>,
    /// Round trip, in milliseconds.
    pub(crate) rtt: f64,
}

impl Entry for Pong {
    const TITLES: &'static [&'static str] = &["Target", "Port", "MAC", "RTT"];
    const OPTIONAL: &'static [&'static str] = &["MAC"];

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.target.clone(),
            self.port.to_string(),
            self.mac.clone().unwrap_or_default(),
            format!("{} ms", self.rtt),
        ]]
    }
}
