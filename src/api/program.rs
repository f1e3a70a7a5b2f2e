//! Methods about the program around the switch: its listeners, tokens for them, its
//! configuration, and its events.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use etherws_actors::settings::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{Call, Entry, Group, Program};
use crate::{config::Change, refusal::Refusal};

/// How long a token lives unless told otherwise: for a page to load and connect.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_secs(60);

/// The longest that a token may live: one in a browser's history must be dead by the
/// time that somebody finds it there.
pub(crate) const MAX_TTL: Duration = Duration::from_secs(3600);

/// Longest name of a user, in octets, as in certificates.
const MAX_USER: usize = 256;

/// Show the counters of the listeners: connections, sessions and refusals.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct ShowServer {}

impl Call for ShowServer {
    const NAME: &'static str = "showServer";
    const GROUP: Group = Group::Tunnels;
    const ROLE: Role = Role::Read;
    type Entry = Server;

    async fn run(self, program: Program<'_>) -> Result<Vec<Server>, Refusal> {
        Ok(program.service.servers())
    }
}

/// List the certificates that the switch has, and when each expires.
///
/// Those of its listeners, CAs of clients, and those that ports of the configuration file
/// name. That which expires first comes first.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct ListCertificate {}

impl Call for ListCertificate {
    const NAME: &'static str = "listCertificate";
    const GROUP: Group = Group::Operation;
    const ROLE: Role = Role::Read;
    type Entry = Certificate;

    async fn run(self, program: Program<'_>) -> Result<Vec<Certificate>, Refusal> {
        Ok(program.service.certificates())
    }
}

/// Make a token that opens one tunnel: ?token=TOKEN in its URL.
///
/// Entries: the token.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct CreateToken {
    /// User name the token stands for, up to 256 octets.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Seconds that it is valid, up to 3600; 60 without it.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
}

impl CreateToken {
    fn valid(&self) -> Result<Duration, Refusal> {
        let user = &self.user;
        if user.is_empty() || user.len() > MAX_USER || user.chars().any(char::is_control) {
            let text = format!("Invalid user: {user:?}; give a name of up to {MAX_USER} octets");
            return Err(Refusal::value(text));
        }
        let Some(seconds) = self.ttl else { return Ok(DEFAULT_TTL) };
        let ttl = u64::try_from(seconds).ok().map(Duration::from_secs);
        ttl.filter(|ttl| !ttl.is_zero() && *ttl <= MAX_TTL).ok_or_else(|| {
            let text = format!("Invalid ttl: {seconds}; give 1 to {}", MAX_TTL.as_secs());
            Refusal::value(text)
        })
    }
}

impl Call for CreateToken {
    const NAME: &'static str = "createToken";
    const GROUP: Group = Group::Tunnels;
    const ROLE: Role = Role::Admin;
    type Entry = Token;

    async fn run(self, program: Program<'_>) -> Result<Vec<Token>, Refusal> {
        Ok(vec![program.service.create_token(&self.user, self.valid()?)?])
    }

    fn told(entry: &Token) -> String {
        format!("a token for {} until {}", entry.user, entry.expires)
    }

    fn check(&self) -> Result<(), Refusal> {
        self.valid().map(drop)
    }
}

/// Read the configuration file again, and apply what has changed.
///
/// All files are read again, as with SIGHUP. Entries: what was changed.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct Reload {}

impl Call for Reload {
    const NAME: &'static str = "reload";
    const GROUP: Group = Group::Operation;
    const ROLE: Role = Role::Admin;
    type Entry = Change;

    async fn run(self, program: Program<'_>) -> Result<Vec<Change>, Refusal> {
        program.service.reload().await
    }
}

/// Write the ports as they are into the configuration file.
///
/// Entries: what was written, and which ports were left out.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct Save {}

impl Call for Save {
    const NAME: &'static str = "save";
    const GROUP: Group = Group::Operation;
    const ROLE: Role = Role::Admin;
    type Entry = Change;

    async fn run(self, program: Program<'_>) -> Result<Vec<Change>, Refusal> {
        program.service.save().await
    }
}

/// Print events as they happen: ports, addresses, loops, storms, logins.
///
/// A stream of events. Entries: where to GET it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct Monitor {}

impl Call for Monitor {
    const NAME: &'static str = "monitor";
    const GROUP: Group = Group::Traffic;
    const ROLE: Role = Role::Read;
    type Entry = Stream;

    async fn run(self, program: Program<'_>) -> Result<Vec<Stream>, Refusal> {
        Ok(vec![Stream { path: program.service.events() }])
    }
}

/// A listener, and what it has counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Server {
    /// `tunnel`, `control`, `tunnel+control` where both share one, or `control-socket`.
    pub(crate) service: String,
    /// By name.
    pub(crate) counters: BTreeMap<String, u64>,
}

/// A certificate in a file of the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Certificate {
    /// When it expires, as `2026-01-31T12:00:00Z`.
    pub(crate) expires: String,
    /// When ACME will renew it, as `expires`; missing if ACME does not renew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) renewal: Option<String>,
    /// Whom it is for: its common name, or all of its subject.
    pub(crate) subject: String,
    /// The file that it is in.
    pub(crate) file: String,
}

impl Entry for Certificate {
    const TITLES: &'static [&'static str] = &["Expires", "Renewal", "Subject", "File"];

    fn rows(&self) -> Vec<Vec<String>> {
        let renewal = self.renewal.clone().unwrap_or_else(|| "-".to_owned());
        vec![vec![self.expires.clone(), renewal, self.subject.clone(), self.file.clone()]]
    }
}

/// A token that was made. The one entry that is a secret: nothing but `Serialize` may
/// show it.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Token {
    /// For the query of a tunnel's URL, `?token=...`. It opens one tunnel without a password. At
    /// most 1,024 unused tokens can exist.
    pub(crate) token: String,
    /// User name the token stands for.
    pub(crate) user: String,
    /// Until when, as `2026-01-31T12:00:00Z`.
    pub(crate) expires: String,
    /// What the operator should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A stream that the switch sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stream {
    /// Path and query to GET it by, on control's own listener.
    pub(crate) path: String,
}

impl Entry for Stream {
    const TITLES: &'static [&'static str] = &["Path"];

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![self.path.clone()]]
    }
}

impl Entry for Token {
    const TITLES: &'static [&'static str] = &["Token", "User", "Expires"];

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![self.token.clone(), self.user.clone(), self.expires.clone()]]
    }

    fn note(&self) -> Option<String> {
        self.note.clone()
    }
}

impl Entry for Server {
    const TITLES: &'static [&'static str] = &["Service", "Counter", "Value"];

    fn rows(&self) -> Vec<Vec<String>> {
        let row = |(name, value): (&String, &u64)| {
            vec![self.service.clone(), name.clone(), value.to_string()]
        };
        self.counters.iter().map(row).collect()
    }
}

impl Entry for Change {
    const TITLES: &'static [&'static str] = &["Action", "Port", "Item", "Note"];
    const NOTHING: Option<&'static str> = Some("nothing has changed");

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.action.name().to_owned(),
            self.port.map(|port| port.to_string()).unwrap_or_default(),
            self.item.clone(),
            self.note.clone().unwrap_or_default(),
        ]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_for_a_minute_or_as_asked_for_up_to_an_hour() {
        let valid = |ttl| CreateToken { user: "u".to_owned(), ttl }.valid();
        assert_eq!(valid(None), Ok(Duration::from_secs(60)));
        assert_eq!(valid(Some(3600)), Ok(Duration::from_secs(3600)));
        for wrong in [0, -1, 3601, i64::MAX] {
            let error = valid(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("1 to 3600"), "{error}");
        }
    }
}
