//! Addresses and MTU of a network interface, read and set over rtnetlink.
//!
//! Used by control alone, never on the frame's path. What is set is set as a
//! whole: a step that fails undoes those before it.

mod watch;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::pin,
};

use futures_util::TryStreamExt;
use nix::{libc, net::if_::if_nametoindex};
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkMessageBuilder, LinkUnspec,
    packet_route::{
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
        link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage},
    },
};
use tokio::task::AbortHandle;

pub(crate) use self::watch::Watch;

use crate::{
    core::interface::{AddressSetting, Interface, InterfaceSettings},
    sys::MAX_NAME_LEN,
};

/// Least MTU of a link that carries IPv4 (RFC 791, 3.2).
const MIN_MTU: u32 = 68;

/// Least MTU of a link that carries IPv6 (RFC 8200, 5).
const MIN_MTU_IPV6: u32 = 1280;

/// Prefix length of an IPv6 address that comes without: that of every ordinary
/// network (RFC 4291, 2.5.1).
const DEFAULT_PREFIX_IPV6: u8 = 64;

/// Handle of the ingress queueing discipline (`TC_H_INGRESS` without its minor part).
const INGRESS: u32 = 0xffff_0000;

/// `ETH_P_ALL`, as it is on the wire.
const ALL_PROTOCOLS: u16 = 3_u16.to_be();

const UNSPECIFIED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// An interface could not be read or set.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No interface of that name.
    #[error("no network interface {name:?}; `ip link` lists the interfaces")]
    NoInterface { name: String },
    /// No bridge of that name.
    #[error("no bridge {bridge:?} for {name}; ip link add {bridge} type bridge makes it")]
    NoBridge { name: String, bridge: String },
    /// Too long or too short a prefix.
    #[error("prefix length {prefix_len} is too long for {address} on {name}; give at most {max}")]
    PrefixLen { name: String, address: IpAddr, prefix_len: u8, max: u8 },
    /// A netmask without an address that it could be of.
    #[error(
        "{name} has no IPv4 address whose prefix length could become {prefix_len}; give an \
         address with it"
    )]
    NoAddress { name: String, prefix_len: u8 },
    /// No interface can have that address.
    #[error("{address} cannot be an address of {name}: {reason}; give a unicast address")]
    Address { name: String, address: IpAddr, reason: &'static str },
    /// Out of the device's range.
    #[error("MTU {mtu} is out of range for {name}; give {min} to {max}")]
    Mtu { name: String, mtu: u32, min: u32, max: u32 },
    /// Would silently remove the IPv6 addresses.
    #[error(
        "MTU {mtu} of {name} is too small for its IPv6 address; give {MIN_MTU_IPV6} or more, or \
         remove that address"
    )]
    MtuIpv6 { name: String, mtu: u32 },
    /// Neither root nor CAP_NET_ADMIN.
    #[error(
        "no permission to set {what} of {name}; it needs CAP_NET_ADMIN: run the switch as root, \
         or in a user namespace (unshare -Urn)"
    )]
    Permission { name: String, what: String, source: io::Error },
    /// IPv6 is switched off there.
    #[error(
        "cannot set {what} of {name}: IPv6 is disabled there; enable it with \
         sysctl net.ipv6.conf.{name}.disable_ipv6=0"
    )]
    Ipv6Disabled { name: String, what: String, source: io::Error },
    /// The kernel refused.
    #[error("cannot set {what} of {name}; nothing was changed")]
    Refused { name: String, what: String, source: io::Error },
    /// The kernel refused, and so it did with what was before.
    #[error(
        "cannot set {what} of {name}, nor restore what was set before ({undo}); look at `ip addr`"
    )]
    NotUndone { name: String, what: String, undo: io::Error, source: io::Error },
    /// No answer from the kernel.
    #[error("cannot read the settings of {name}")]
    Read { name: String, source: io::Error },
}

/// Settings of interface `name`; `None`: there is no such interface.
pub(crate) async fn interface(name: &str) -> Result<Option<Interface>, LinkError> {
    let state = Netlink::connect(name)?.read().await?;
    Ok(state.map(|state| Interface {
        mtu: state.mtu,
        addresses: state.ipv4.iter().chain(&state.ipv6).filter_map(address_of).collect(),
    }))
}

/// Sets what `settings` has on interface `name`: all of it, or nothing.
///
/// The prefix length of an IPv4 address that comes without one is that of the
/// address before, else that of its class, as with ifconfig; of an IPv6 address
/// it is 64.
pub(crate) async fn apply(name: &str, settings: &InterfaceSettings) -> Result<(), LinkError> {
    let netlink = Netlink::connect(name)?;
    let no_interface = || LinkError::NoInterface { name: name.to_owned() };
    let before = netlink.read().await?.ok_or_else(no_interface)?;
    let after = before.plan(name, settings)?;
    let Err((what, error)) = netlink.change(&before, &after).await else {
        return Ok(());
    };
    // Whatever part of the change there is now, back to what was before.
    let undone = match netlink.read().await? {
        Some(now) => netlink.change(&now, &before).await,
        None => return Err(no_interface()),
    };
    let (name, source) = (name.to_owned(), to_io(error));
    if let Err((_, undo)) = undone {
        return Err(LinkError::NotUndone { name, what, undo: to_io(undo), source });
    }
    Err(match (source.raw_os_error(), settings.address) {
        (Some(libc::EPERM), _) => LinkError::Permission { name, what, source },
        (Some(libc::EACCES), Some(AddressSetting::Set(IpAddr::V6(_)))) => {
            LinkError::Ipv6Disabled { name, what, source }
        }
        _ => LinkError::Refused { name, what, source },
    })
}

/// Sets on interface `name`, which was made anew, what it had before.
pub(crate) async fn restore(name: &str, settings: &Interface) -> Result<(), LinkError> {
    let netlink = Netlink::connect(name)?;
    let no_interface = || LinkError::NoInterface { name: name.to_owned() };
    let now = netlink.read().await?.ok_or_else(no_interface)?;
    let of = |v4| settings.addresses.iter().filter(move |(address, _)| address.is_ipv4() == v4);
    let messages = |v4| of(v4).map(|&(address, len)| now.address(address, len)).collect();
    let then =
        State { mtu: settings.mtu, ipv4: messages(true), ipv6: messages(false), ..now.clone() };
    netlink.change(&now, &then).await.map_err(|(what, error)| LinkError::Refused {
        name: name.to_owned(),
        what,
        source: to_io(error),
    })
}

/// Sets how many frames the kernel queues for interface `name`; beyond it drops.
pub(crate) async fn set_queue(name: &str, frames: u32) -> Result<(), LinkError> {
    let message = LinkMessageBuilder::<LinkUnspec>::new().name(name).txqueuelen(frames).build();
    let set = Netlink::connect(name)?.handle.link().change(message).execute().await;
    set.map_err(|error| LinkError::Refused {
        name: name.to_owned(),
        what: format!("a queue of {frames} frames"),
        source: to_io(error),
    })
}

/// Makes interface `name` a member of the bridge `bridge`.
pub(crate) async fn set_master(name: &str, bridge: &str) -> Result<(), LinkError> {
    let no_bridge = || LinkError::NoBridge { name: name.to_owned(), bridge: bridge.to_owned() };
    let index = if_nametoindex(bridge).map_err(|_| no_bridge())?;
    let message = LinkMessageBuilder::<LinkUnspec>::new().name(name).controller(index).build();
    let set = Netlink::connect(name)?.handle.link().change(message).execute().await;
    set.map_err(|error| LinkError::Refused {
        name: name.to_owned(),
        what: format!("bridge {bridge}"),
        source: to_io(error),
    })
}

/// Lets the IPv6 addresses that interface `name` will have be used while the kernel still asks
/// whether somebody else has them (RFC 4429), which takes it a second. Where this may not be
/// set they wait for that.
pub(crate) fn set_optimistic(name: &str) {
    let _ = fs::write(optimistic_dad(name), "1");
}

fn optimistic_dad(name: &str) -> String {
    format!("/proc/sys/net/ipv6/conf/{name}/optimistic_dad")
}

/// Has the kernel send by the interface with index `to` whatever comes in by interface `name`.
pub(crate) async fn redirect(name: &str, to: u32) -> Result<(), LinkError> {
    let failed = |error| LinkError::Refused {
        name: name.to_owned(),
        what: format!("a redirection to interface {to}"),
        source: to_io(error),
    };
    let no_interface = || LinkError::NoInterface { name: name.to_owned() };
    let index = if_nametoindex(name).map_err(|_| no_interface())?.cast_signed();
    let handle = Netlink::connect(name)?;
    let handle = &handle.handle;
    handle.qdisc().add(index).ingress().execute().await.map_err(failed)?;
    let filter = handle.traffic_filter(index).add().parent(INGRESS).protocol(ALL_PROTOCOLS);
    filter.redirect(to).map_err(failed)?.execute().await.map_err(failed)
}

/// What tells this machine, or its network namespace, from others: the addresses that cards
/// have for good, from the lowest; else those of the interfaces, which may be a container's
/// cables, from the first.
pub(crate) async fn hardware_addresses() -> Option<Vec<Vec<u8>>> {
    let netlink = Netlink::connect("").ok()?;
    let links: Vec<_> = netlink.handle.link().get().execute().try_collect().await.ok()?;
    let permanent = |link: &LinkMessage| {
        link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::PermAddress(address) => Some(address.clone()),
            _ => None,
        })
    };
    let ethernet = links.iter().filter(|link| link.header.link_layer_type == LinkLayerType::Ether);
    let mut cards: Vec<_> = ethernet.clone().filter_map(permanent).collect();
    if !cards.is_empty() {
        cards.sort();
        return Some(cards);
    }
    // Those that programs make, as this one does, come and go.
    let is_made = |link: &&LinkMessage| {
        link.attributes.iter().any(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => infos.iter().any(|info| {
                let made = [InfoKind::Tun, InfoKind::Bridge, InfoKind::Dummy];
                matches!(info, LinkInfo::Kind(kind) if made.contains(kind))
            }),
            _ => false,
        })
    };
    let mut others: Vec<_> = ethernet.filter(|link| !is_made(link)).collect();
    others.sort_by_key(|link| link.header.index);
    let address = |link: &LinkMessage| {
        link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Address(address) => Some(address.clone()),
            _ => None,
        })
    };
    Some(others.into_iter().filter_map(address).collect())
}

/// All that can be set, as the kernel tells it.
#[derive(Debug, Clone)]
struct State {
    index: u32,
    mtu: u32,
    mtu_range: (u32, u32),
    /// In the kernel's order, so the primary one first.
    ipv4: Vec<AddressMessage>,
    /// Without link-local addresses.
    ipv6: Vec<AddressMessage>,
    /// Whether an IPv6 address may be used before it is known to be nobody else's.
    is_optimistic: bool,
}

impl State {
    /// The state that `settings` ask for, once they are found to be possible.
    fn plan(&self, name: &str, settings: &InterfaceSettings) -> Result<Self, LinkError> {
        let mut after = self.clone();
        match (settings.address, settings.prefix_len) {
            // The latter is what SIOCSIFADDR takes for "no address".
            (Some(AddressSetting::Clear | AddressSetting::Set(UNSPECIFIED)), prefix_len) => {
                if let Some(prefix_len) = prefix_len {
                    return Err(LinkError::NoAddress { name: name.to_owned(), prefix_len });
                }
                after.ipv4.clear();
            }
            (Some(AddressSetting::Set(address)), prefix_len) => {
                check_address(name, address)?;
                let prefix_len = prefix_len.unwrap_or_else(|| self.default_prefix_len(address));
                check_prefix_len(name, address, prefix_len)?;
                let list = if address.is_ipv4() { &mut after.ipv4 } else { &mut after.ipv6 };
                *list = vec![self.address(address, prefix_len)];
            }
            (None, Some(prefix_len)) => {
                let no_address = || LinkError::NoAddress { name: name.to_owned(), prefix_len };
                let primary = after.ipv4.first_mut().ok_or_else(no_address)?;
                let (address, _) = address_of(primary).ok_or_else(no_address)?;
                check_prefix_len(name, address, prefix_len)?;
                *primary = self.address(address, prefix_len);
            }
            (None, None) => {}
        }
        if let Some(mtu) = settings.mtu {
            let (min, max) = self.mtu_range;
            if !(min..=max).contains(&mtu) {
                return Err(LinkError::Mtu { name: name.to_owned(), mtu, min, max });
            }
            after.mtu = mtu;
        }
        if after.mtu < MIN_MTU_IPV6 && !after.ipv6.is_empty() {
            return Err(LinkError::MtuIpv6 { name: name.to_owned(), mtu: after.mtu });
        }
        Ok(after)
    }

    fn default_prefix_len(&self, address: IpAddr) -> u8 {
        match (address, self.ipv4.first()) {
            (IpAddr::V6(_), _) => DEFAULT_PREFIX_IPV6,
            (IpAddr::V4(_), Some(primary)) => primary.header.prefix_len,
            (IpAddr::V4(address), None) => class_prefix_len(address),
        }
    }

    fn address(&self, address: IpAddr, prefix_len: u8) -> AddressMessage {
        match address {
            IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
                .index(self.index)
                .address(address, prefix_len)
                .build(),
            IpAddr::V6(address) => {
                let mut message = AddressMessageBuilder::<Ipv6Addr>::new()
                    .index(self.index)
                    .address(address, prefix_len)
                    .build();
                if self.is_optimistic {
                    message.header.flags |= AddressHeaderFlags::Optimistic;
                }
                message
            }
        }
    }
}

fn check_address(name: &str, address: IpAddr) -> Result<(), LinkError> {
    let reason = match address {
        _ if address.is_multicast() => "it is a multicast address",
        IpAddr::V4(Ipv4Addr::BROADCAST) => "it is the broadcast address",
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => "it is the unspecified address",
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            "it is link-local, which the system sets by itself"
        }
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
            "it stands for an IPv4 address"
        }
        _ => return Ok(()),
    };
    Err(LinkError::Address { name: name.to_owned(), address, reason })
}

fn check_prefix_len(name: &str, address: IpAddr, prefix_len: u8) -> Result<(), LinkError> {
    let max = if address.is_ipv4() { 32 } else { 128 };
    if prefix_len > max {
        return Err(LinkError::PrefixLen { name: name.to_owned(), address, prefix_len, max });
    }
    Ok(())
}

/// Prefix length of the address's class (RFC 791, 3.2), as SIOCSIFADDR has it.
fn class_prefix_len(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        192..224 => 24,
        224.. => 32,
    }
}

/// Address and prefix length in a message. On a point-to-point link `Address` is
/// that of the other end.
fn address_of(message: &AddressMessage) -> Option<(IpAddr, u8)> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    });
    Some((address?, message.header.prefix_len))
}

/// A connection to the kernel, for one interface. It ends with the value.
struct Netlink<'a> {
    name: &'a str,
    handle: Handle,
    task: AbortHandle,
}

/// A step that failed: what was to be set, and why it was not.
type Step = (String, rtnetlink::Error);

impl<'a> Netlink<'a> {
    fn connect(name: &'a str) -> Result<Self, LinkError> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|source| LinkError::Read { name: name.to_owned(), source })?;
        Ok(Self { name, handle, task: tokio::spawn(connection).abort_handle() })
    }

    async fn read(&self) -> Result<Option<State>, LinkError> {
        if self.name.is_empty() || self.name.len() > MAX_NAME_LEN {
            return Ok(None);
        }
        let failed = |error| LinkError::Read { name: self.name.to_owned(), source: to_io(error) };
        let link = self.handle.link().get().match_name(self.name).execute().try_next().await;
        let link = match link {
            Ok(Some(link)) => link,
            Ok(None) => return Ok(None),
            Err(error) if errno(&error) == Some(libc::ENODEV) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let (mtu, mtu_range) = mtu_of(&link);
        let index = link.header.index;
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        let all = self.handle.address().get().set_link_index_filter(index).execute();
        let mut all = pin!(all);
        while let Some(message) = all.try_next().await.map_err(failed)? {
            match address_of(&message) {
                Some((IpAddr::V4(_), _)) => ipv4.push(message),
                Some((IpAddr::V6(a), _)) if !a.is_unicast_link_local() => ipv6.push(message),
                _ => {}
            }
        }
        let is_optimistic = fs::read(optimistic_dad(self.name)).is_ok_and(|on| on != b"0\n");
        Ok(Some(State { index, mtu, mtu_range, ipv4, ipv6, is_optimistic }))
    }

    /// From one state to another, step by step; stops at the first that fails.
    async fn change(&self, from: &State, to: &State) -> Result<(), Step> {
        if from.mtu != to.mtu {
            let message =
                LinkMessageBuilder::<LinkUnspec>::new().index(to.index).mtu(to.mtu).build();
            let done = self.handle.link().change(message).execute().await;
            done.map_err(|error| (format!("MTU {}", to.mtu), error))?;
        }
        self.replace(&from.ipv4, &to.ipv4).await?;
        self.replace(&from.ipv6, &to.ipv6).await
    }

    async fn replace(&self, from: &[AddressMessage], to: &[AddressMessage]) -> Result<(), Step> {
        // The same addresses stay: removing them would take routes with them.
        if from.iter().map(address_of).eq(to.iter().map(address_of)) {
            return Ok(());
        }
        for message in from {
            match self.handle.address().del(message.clone()).execute().await {
                // A secondary address goes with its primary one.
                Err(error) if errno(&error) == Some(libc::EADDRNOTAVAIL) => {}
                done => done.map_err(|error| (format!("no address {}", text(message)), error))?,
            }
        }
        for message in to {
            let Some((address, prefix_len)) = address_of(message) else { continue };
            let mut request = self.handle.address().add(message.header.index, address, prefix_len);
            request.message_mut().clone_from(message);
            let done = request.execute().await;
            done.map_err(|error| (format!("address {}", text(message)), error))?;
        }
        Ok(())
    }
}

impl Drop for Netlink<'_> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// MTU of a link, and the least and greatest that it takes.
fn mtu_of(link: &LinkMessage) -> (u32, (u32, u32)) {
    // 0 stands for "no limit".
    let (mut mtu, mut min, mut max) = (0, 0, 0);
    for attribute in &link.attributes {
        match *attribute {
            LinkAttribute::Mtu(value) => mtu = value,
            LinkAttribute::MinMtu(value) => min = value,
            LinkAttribute::MaxMtu(value) => max = value,
            _ => {}
        }
    }
    // The kernel keeps an MTU in an int.
    (mtu, (min.max(MIN_MTU), if max == 0 { i32::MAX.unsigned_abs() } else { max }))
}

fn text(message: &AddressMessage) -> String {
    address_of(message).map_or_else(String::new, |(address, len)| format!("{address}/{len}"))
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.raw_code().abs()),
        _ => None,
    }
}

fn to_io(error: rtnetlink::Error) -> io::Error {
    match errno(&error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests;
