//! Options that several parts of the program share: who listens where, its TLS files, how
//! many sessions and what limits there are. Plain values; whoever makes them has checked them.

use std::{borrow::Cow, net::IpAddr, path::PathBuf, str::FromStr};

pub(crate) use etherws_actors::secret::Secret;
use etherws_actors::{settings::Role, sys::memory};
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Most threads: more than any machine's cores that one Switch could feed.
pub(crate) const MAX_THREADS: i64 = 256;

/// Fewest bindings of IP addresses: a holder may have a sixteenth of them.
pub(crate) const MIN_BINDINGS: i64 = 16;

/// Fewest multicast groups: a holder may have a quarter of them.
pub(crate) const MIN_GROUPS: i64 = 16;

/// Most events that are kept: 3 MB.
pub(crate) const MAX_EVENTS: i64 = 10_000;

/// Events that are kept unless told otherwise: of a week in which little happens, or of the
/// hour in which all ports of a large switch went down.
pub(crate) const DEFAULT_EVENTS: usize = 1000;

/// Who has which role in control, by name: a user, or a group after an `@`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Each role with who has it.
    pub(crate) lists: Vec<(Role, Vec<String>)>,
}

impl Roles {
    /// The highest role of somebody with these names; without any lists all may do everything.
    pub(crate) fn of(&self, names: &[String]) -> Option<Role> {
        if self.lists.is_empty() {
            return Some(Role::Admin);
        }
        let has = |list: &[String]| list.iter().any(|name| name == "*" || names.contains(name));
        self.lists.iter().filter(|(_, list)| has(list)).map(|(role, _)| *role).max()
    }

    /// Whether groups matter.
    pub(crate) fn has_groups(&self) -> bool {
        self.lists.iter().flat_map(|(_, list)| list).any(|name| name.starts_with('@'))
    }
}

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// Name or address; empty: all addresses of the machine.
    pub(crate) host: String,
    /// TCP port; 0: any free one.
    pub(crate) port: u16,
    /// Path of the HTTP resource; begins with `/`.
    pub(crate) path: String,
    /// Who may come in; everybody without it. Absolute.
    pub(crate) htpasswd: Option<PathBuf>,
    /// TLS is spoken if it is there.
    pub(crate) tls: Option<TlsFiles>,
    /// Whose word on a client's address is taken.
    pub(crate) proxies: Proxies,
}

impl Service {
    /// Whether a client must show anything to come in.
    pub(crate) fn asks(&self) -> bool {
        self.htpasswd.is_some() || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// Whether both stand behind one listener: then their paths differ and their TLS
    /// files do not.
    pub(crate) fn shares_listener(&self, other: &Self) -> bool {
        // 0 is another free port each time.
        self.port == other.port && self.host == other.host && self.port != 0
    }
}

/// The reverse proxies before a listener, and how they tell where a client comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    /// Those that are trusted.
    pub(crate) trusted: Vec<IpNet>,
    /// Whether who comes by a Unix socket is one.
    pub(crate) unix: bool,
    /// By this header.
    pub(crate) header: ForwardedHeader,
    /// By a PROXY header at the beginning of each connection.
    pub(crate) protocol: bool,
}

impl Proxies {
    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        !self.trusted.is_empty() || self.unix || self.protocol
    }

    /// Whether what is at `address` is one.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }
}

/// A header that names a client, in lower case, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForwardedHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// A list of addresses, to which each proxy adds the one that it was asked from:
    /// `X-Forwarded-For`.
    List(String),
    /// One address, as the proxy sets it: any other header.
    Single(String),
}

impl Default for ForwardedHeader {
    fn default() -> Self {
        Self::List("x-forwarded-for".to_owned())
    }
}

impl ForwardedHeader {
    /// The header of this name.
    pub(crate) fn named(name: &str) -> Self {
        match name.to_ascii_lowercase() {
            name if name == "forwarded" => Self::Forwarded,
            name if name == "x-forwarded-for" => Self::List(name),
            name => Self::Single(name),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Forwarded => "forwarded",
            Self::List(name) | Self::Single(name) => name,
        }
    }
}

/// PEM files of a TLS server; absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Private key.
    pub(crate) key: PathBuf,
    /// Certificate chain, the server's own first.
    pub(crate) cert: PathBuf,
    /// CAs one of which must have signed a client's certificate; without it none is required.
    pub(crate) client_ca: Option<PathBuf>,
    /// Which of those certificates are not accepted any more.
    pub(crate) revoked: Option<PathBuf>,
}

impl TlsFiles {
    /// Those that TLS itself reads, the certificate first.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let Self { key, cert, client_ca, .. } = self;
        [cert, key].into_iter().chain(client_ca).cloned().collect()
    }
}

/// Part of the memory that this process can have that all queues may take together. As much
/// goes to what their frames keep alive, and the rest of the machine has the other half.
const QUEUE_MEMORY_PART: usize = 4;

/// Least memory for all queues: less would not fill one port's queue.
pub(crate) const MIN_QUEUE_MEMORY: usize = 4 * 1024 * 1024;

/// Octets that all queues may take together, unless told otherwise.
pub(crate) fn default_queue_memory() -> usize {
    let available = memory::available().unwrap_or(1024 * 1024 * 1024);
    (available / QUEUE_MEMORY_PART).max(MIN_QUEUE_MEMORY)
}

/// A number of octets, which may be written with `K`, `M` or `G` for powers of 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Octets(pub(crate) usize);

impl FromStr for Octets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, shift) = match text.split_at_checked(text.len().saturating_sub(1)) {
            Some((digits, "K" | "k")) => (digits, 10),
            Some((digits, "M" | "m")) => (digits, 20),
            Some((digits, "G" | "g")) => (digits, 30),
            _ => (text, 0),
        };
        let number = digits.parse::<usize>().ok().filter(|_| !digits.starts_with('+'));
        let octets = number.and_then(|number| number.checked_mul(1 << shift));
        octets.map(Self).ok_or_else(|| {
            format!("{text:?} is not a number of octets, such as 268435456, 256M or 1G")
        })
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number of octets, such as 268435456 or \"256M\"")]
        enum Written {
            Number(usize),
            Text(String),
        }
        match Written::deserialize(from)? {
            Written::Number(octets) => Ok(Self(octets)),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for Octets {
    fn schema_name() -> Cow<'static, str> {
        "Octets".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+[KMGkmg]?$" })
    }
}

/// A time in seconds, which is written with `s`, `m`, `h` or `d` for seconds to days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ttl(pub(crate) i64);

impl FromStr for Ttl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = text.chars().last().and_then(|unit| match unit {
            's' => Some(1),
            'm' => Some(60),
            'h' => Some(60 * 60),
            'd' => Some(24 * 60 * 60),
            _ => None,
        });
        let number = text.get(..text.len().saturating_sub(1));
        let number = number.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let seconds = number.and_then(|digits| digits.parse::<i64>().ok()?.checked_mul(unit?));
        seconds
            .filter(|seconds| (1..=MAX_TTL).contains(seconds))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a time up to 3650d, such as 30d, 24h or 90m"))
    }
}

/// Longest of them: ten years.
const MAX_TTL: i64 = 3650 * 24 * 60 * 60;

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Ttl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{}s", self.0))
    }
}

impl JsonSchema for Ttl {
    fn schema_name() -> Cow<'static, str> {
        "Ttl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+[smhd]$" })
    }
}

/// Sessions in all, unless told otherwise: a large site, and 6 GiB if each of them
/// stopped reading at once.
pub(crate) const DEFAULT_MAX_SESSIONS: usize = 4096;

/// Sessions of one user or from one address, unless told otherwise: half of all, so
/// that no one of them keeps all others out. A user may be a whole company, an address
/// a proxy before this server.
pub(crate) const DEFAULT_MAX_SESSIONS_EACH: usize = DEFAULT_MAX_SESSIONS / 2;

/// How many sessions there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// In all.
    pub(crate) all: usize,
    /// Of one user; those who have no name are not limited by it.
    pub(crate) user: usize,
    /// From one IPv4 address or IPv6 network of 64 bits.
    pub(crate) address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: DEFAULT_MAX_SESSIONS,
            user: DEFAULT_MAX_SESSIONS_EACH,
            address: DEFAULT_MAX_SESSIONS_EACH,
        }
    }
}
