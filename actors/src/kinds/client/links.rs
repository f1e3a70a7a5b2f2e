//! Client ports of several links: how many, by which ways, and what their links share.
//!
//! Each link is a medium of its own, opened by a supervisor of its own, perhaps on another
//! thread. All of them lead to one switch, and only if that knows links there are others
//! beside the first.

use std::{
    fmt,
    num::NonZero,
    rc::Rc,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, watch},
    time::Instant,
};

use super::{
    super::{Further, OptionError},
    Client, ClientOptions,
    link::{Choked, ClientLink},
};
use crate::{
    connect::{TunnelRequest, dial},
    core::{
        links::{LinkGrant, LinkId, LinkRequest, MAX_LINKS, Place},
        state::Details,
    },
    port::PortError,
    tunnel::Wire,
};

/// Longest name of a network interface in octets: the kernel's IFNAMSIZ less its NUL.
const MAX_NAME: usize = 15;

/// What is wrong with the options of links.
pub(super) fn check(options: &ClientOptions) -> Vec<OptionError> {
    let mut errors = Vec::new();
    let mut wrong = |key, text: String| errors.push(OptionError::new(key, text));
    let has_several = options.links.is_some_and(|links| links != Links::Count(1));
    if options.failover && !has_several {
        wrong("failover", "failover without links; give links, for example 2".to_owned());
    }
    if has_several && options.wire == Some(Wire::Plain) {
        let text = "several links need the wire super-frames; leave wire out, or links";
        wrong("links", text.to_owned());
    }
    if !options.via.is_empty() && !options.proxy_command.is_empty() {
        let text = "via and proxy-command are given; the command chooses its interface, so leave \
                    via out";
        wrong("via", text.to_owned());
    }
    for name in &options.via {
        let is_name = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'/');
        if !is_name {
            wrong("via", format!("{name:?} is not a valid name of an interface"));
        }
    }
    errors
}

/// A link leads elsewhere than the others of its port.
#[derive(Debug, thiserror::Error)]
#[error("{url} leads to another switch than the other links of this port; give URLs of one switch")]
struct OtherSwitch {
    url: String,
}

impl Client {
    /// The link of this place of the port.
    pub(super) fn placed(mut self, place: Place, shared: Arc<Shared>) -> Self {
        let number = usize::from(place.number);
        self.at = number % self.servers.len();
        self.route.nth = number;
        self.route.via = self.via.get(number % self.via.len().max(1)).cloned();
        (self.place, self.shared) = (place, Some(shared));
        self
    }

    /// The further links of the port.
    pub(super) fn others(&self) -> Vec<Further<Self>> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let other = |number| {
            let (servers, request, via) =
                (self.servers.clone(), self.request.clone(), self.via.clone());
            let (password_file, route) = (self.password_file.clone(), self.route.clone());
            let (instance, shared) = (self.instance, Arc::clone(shared));
            let place = Place { number, ..self.place };
            let make = move || {
                let (choked, wire, id, grant) = (Rc::default(), None, LinkId::ONLY, None);
                let other = Self {
                    servers,
                    at: 0,
                    request,
                    password_file,
                    choked,
                    instance,
                    route,
                    wire,
                    place,
                    shared: None,
                    via,
                    id,
                    grant,
                };
                other.placed(place, shared)
            };
            Box::new(make) as Further<Self>
        };
        (1..self.place.of).map(other).collect()
    }

    /// What `showport` shows of links.
    pub(super) fn link_details(&self) -> Details {
        let of = self.place.of;
        let links = self.shared.as_ref().map(|_| match self.grant {
            None => format!("1 of {of}: the server does not know links"),
            Some(grant) if grant.of < of => {
                format!("{} of {of}: the server takes no more", grant.of)
            }
            Some(_) => of.to_string(),
        });
        let via = self.route.via.clone().map(|via| ("via", via));
        links.map(|links| ("links", links)).into_iter().chain(via).collect()
    }

    /// Opens a tunnel to the server whose turn it is.
    pub(super) async fn dial(&mut self) -> Result<ClientLink, PortError> {
        let server = &self.servers[self.at];
        let number =
            |shared: &Arc<Shared>| LinkRequest { place: self.place, id: shared.connection() };
        let link = self.shared.as_ref().map(number);
        let request = TunnelRequest { link, ..self.request.clone() };
        let tunnel = dial(server, &request, self.instance, &self.route).await?;
        let mut entered = None;
        if let Some(shared) = &self.shared {
            entered = shared.enter(tunnel.grant());
            if entered.is_none() {
                let url = server.to_string();
                tunnel.end().await;
                return Err(OtherSwitch { url }.into());
            }
        }
        (self.wire, self.grant) = (Some(tunnel.wire()), tunnel.grant());
        self.id = link.filter(|_| self.grant.is_some()).map_or(LinkId::ONLY, |link| link.id);
        let (choked, hint) = (Rc::clone(&self.choked), Choked::hint(server, &self.route));
        Ok(ClientLink { tunnel, choked, hint, since: Instant::now(), entered })
    }
}

/// How many links a client port has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// As many as the switch has threads, [`MAX_LINKS`] at most.
    Auto,
    /// So many, 1 to [`MAX_LINKS`].
    Count(u8),
}

impl Links {
    /// How many these are in a switch of so many threads.
    pub(super) fn count(self, threads: NonZero<usize>) -> u8 {
        match self {
            Self::Auto => u8::try_from(threads.get()).unwrap_or(MAX_LINKS).min(MAX_LINKS),
            Self::Count(count) => count,
        }
    }
}

/// It is not a number of links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("links is {0:?}; give 1 to {MAX_LINKS}, or auto")]
pub struct ParseLinksError(String);

impl FromStr for Links {
    type Err = ParseLinksError;

    fn from_str(text: &str) -> Result<Self, ParseLinksError> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(count @ 1..=MAX_LINKS) => Ok(Self::Count(count)),
            _ => Err(ParseLinksError(text.to_owned())),
        }
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl Serialize for Links {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => serializer.serialize_u8(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Links {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Number(i64),
            Text(String),
        }
        let text = match Given::deserialize(deserializer)? {
            Given::Number(number) => number.to_string(),
            Given::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for Links {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Links".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_LINKS},
                {"type": "string", "enum": ["auto"]},
            ]
        })
    }
}

/// What the links of a port share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Connections that were begun.
    connections: AtomicU32,
    /// Whether the server knew links when it was reached last.
    known: AtomicBool,
    /// While it may not know them, and none is up, one link tries at a time: such a server
    /// takes each connection for the only one, come again.
    first: Arc<Mutex<()>>,
    up: watch::Sender<Up>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Up {
    links: usize,
    /// What the server of all of them grants; `None`: it knows no links.
    grant: Option<LinkGrant>,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        let (connections, known) = (AtomicU32::new(0), AtomicBool::new(false));
        Arc::new(Self { connections, known, first: Arc::default(), up: watch::Sender::default() })
    }

    /// The number of a further connection.
    pub(super) fn connection(&self) -> LinkId {
        LinkId(self.connections.fetch_add(1, Relaxed) + 1)
    }

    /// Waits until the link `number` may be opened.
    pub(super) async fn turn(&self, number: u8) -> Option<OwnedMutexGuard<()>> {
        let mut up = self.up.subscribe();
        loop {
            let Up { links, grant } = *up.borrow_and_update();
            if links == 0 {
                if self.known.load(Relaxed) {
                    return None;
                }
                tokio::select! {
                    turn = Arc::clone(&self.first).lock_owned() => {
                        if self.up.borrow().links == 0 {
                            return Some(turn);
                        }
                    }
                    _ = up.changed() => {}
                }
            } else if grant.is_some_and(|grant| number < grant.of) {
                return None;
            } else {
                // Its sender is in `self`.
                let _ = up.changed().await;
            }
        }
    }

    /// A server has accepted a link and grants this; `None`: not what those that are up have.
    pub(super) fn enter(self: &Arc<Self>, grant: Option<LinkGrant>) -> Option<Entered> {
        let mut is_one = false;
        self.up.send_modify(|up| {
            if up.links == 0 {
                up.grant = grant;
            }
            is_one = up.links == 0 || (grant.is_some() && up.grant == grant);
            up.links += usize::from(is_one);
        });
        is_one.then(|| {
            self.known.store(grant.is_some(), Relaxed);
            Entered(Arc::clone(self))
        })
    }
}

/// A link that is up, until this is dropped.
#[derive(Debug)]
pub(super) struct Entered(Arc<Shared>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.up.send_modify(|up| up.links -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const GRANT: LinkGrant = LinkGrant { of: 2, switch: 7 };

    #[test]
    fn as_many_links_as_threads_or_as_are_given() {
        let threads = |count| NonZero::new(count).expect("some");
        let links = |text: &str| text.parse::<Links>();
        assert_eq!(links("auto").map(|links| links.count(threads(3))), Ok(3));
        assert_eq!(links("auto").map(|links| links.count(threads(300))), Ok(MAX_LINKS));
        assert_eq!(links("4").map(|links| links.count(threads(1))), Ok(4));
        for text in ["0", "9", "", "many"] {
            let error = links(text).expect_err(text).to_string();
            assert!(error.contains(text) && error.contains("1 to 8"), "{error}");
        }
        let json = |links: Links| serde_json::to_string(&links).expect("serializes");
        assert_eq!((json(Links::Auto), json(Links::Count(2))), ("\"auto\"".into(), "2".into()));
        assert_eq!(serde_json::from_str::<Links>("8").ok(), Some(Links::Count(8)));
        assert!(serde_json::from_str::<Links>("9").is_err());
    }

    #[test]
    fn one_link_tries_a_server_that_may_not_know_links_and_then_the_others() {
        let shared = Shared::new();
        let first = shared.turn(0).now_or_never().expect("nobody else tries");
        assert!(shared.turn(1).now_or_never().is_none());
        let entered = shared.enter(Some(GRANT)).expect("it is the first");
        drop(first);
        assert!(shared.turn(1).now_or_never().expect("it knows links").is_none());
        assert!(shared.turn(2).now_or_never().is_none(), "it grants two");
        drop(entered);
        let both = [shared.turn(0).now_or_never(), shared.turn(1).now_or_never()];
        assert!(both.iter().all(Option::is_some), "they need not wait for each other again");
    }

    #[test]
    fn all_links_lead_to_one_switch() {
        let shared = Shared::new();
        let one = shared.enter(Some(GRANT)).expect("it is the first");
        assert!(shared.enter(Some(GRANT)).is_some());
        assert!(shared.enter(Some(LinkGrant { switch: 8, ..GRANT })).is_none());
        assert!(shared.enter(None).is_none(), "it knows no links");
        drop(one);
        let plain = shared.enter(None).expect("none is up");
        assert!(shared.enter(Some(GRANT)).is_none());
        assert!(shared.turn(1).now_or_never().is_none(), "a server that knows none has one");
        drop(plain);
        assert!(shared.turn(1).now_or_never().is_some());
    }
}
