//! Methods about the users of a hub: who they are, whatever they come in by; invitations; and who
//! may come in no longer.

use std::net::IpAddr;

use clap::Args;
use etherws_actors::{frame::Vid, settings::Role};
use jiff::Timestamp;
use qrcode::{Color, EcLevel, QrCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Entry, Group, Program, Table, apart},
    fdb::Vlan,
};
use crate::{
    options::Ttl,
    refusal::Refusal,
    users::{
        ChangeError,
        book::{BookError, State, Terms},
    },
};

/// How long an invitation can be used unless told otherwise: until somebody has time for it.
const DEFAULT_TTL: Ttl = Ttl(24 * 60 * 60);

/// Modules around a QR code that are light (ISO/IEC 18004, 6.3.8, wants four; two do on screens).
const QUIET: usize = 2;

/// Invite somebody to the LAN: prints a link, and its QR code, to be typed behind etherws join.
///
/// Whoever has the link becomes a user, once, and is let in by a certificate from then on. Entries:
/// the invitation.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct CreateInvitation {
    /// Name of the user; with several uses the prefix: NAME-1, NAME-2.
    pub(crate) name: String,
    /// How long the invitation can be used, as 24h, 90m or 7d; 24h without it.
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<Ttl>,
    /// How many may use it, up to 1000; 1 without it.
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uses: Option<u32>,
    /// Profile of the user's sessions.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// VLAN of the user's sessions, which carry it untagged.
    #[arg(long, value_name = "VID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vlan: Option<Vlan>,
    /// The user's address of the pool; any free one without it.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(crate) address: Option<IpAddr>,
}

impl Call for CreateInvitation {
    const NAME: &'static str = "createInvitation";
    const ALIASES: &'static [&'static str] = &["invite"];
    const GROUP: Group = Group::Users;
    const ROLE: Role = Role::Admin;
    type Entry = Invitation;

    async fn run(self, program: Program<'_>) -> Result<Vec<Invitation>, Refusal> {
        self.check()?;
        let users = program.service.users()?;
        if let Some(profile) = &self.profile {
            let profiles = program.control.list_profiles().await?;
            if !profiles.iter().any(|(name, _)| name.to_string() == *profile) {
                let text = format!("unknown profile {profile}; known: {}", profiles.names());
                return Err(Refusal::value(text));
            }
        }
        check_free(program, &self.name, self.uses.unwrap_or(1) > 1).await?;
        let now = Timestamp::now().as_second();
        let terms = Terms {
            until: now + self.ttl.unwrap_or(DEFAULT_TTL).0,
            uses: self.uses.unwrap_or(1),
            profile: self.profile,
            vlan: self.vlan.map(|vlan| vlan.0.get()),
            address: self.address,
        };
        let name = self.name.clone();
        let invited = apart(move || users.invite(&name, &terms, now)).await?;
        let invited = invited.map_err(refusal)?;
        let link = invited.link.to_string();
        Ok(vec![Invitation {
            name: self.name,
            qr: qr(&link),
            link,
            uses: invited.uses,
            expires: shown(invited.link.until),
            address: invited.address,
        }])
    }

    fn told(entry: &Invitation) -> String {
        format!("an invitation for {} until {}", entry.name, entry.expires)
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.vlan.is_some_and(|vlan| vlan.0 == Vid::UNTAGGED) {
            return Err(Refusal::value("vlan 0: give 1 to 4094, or leave it out"));
        }
        Ok(())
    }
}

/// List the users, with state and authentication.
///
/// Those who were invited, those with a password, and those who were revoked.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct ListUser {
    /// Only this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

impl Call for ListUser {
    const NAME: &'static str = "listUser";
    const GROUP: Group = Group::Users;
    const ROLE: Role = Role::Read;
    type Entry = User;

    async fn run(self, program: Program<'_>) -> Result<Vec<User>, Refusal> {
        let mut all = all(program);
        if let Some(name) = self.name {
            all.retain(|user| user.name == name);
            if all.is_empty() {
                return Err(refusal(ChangeError::Refused(BookError::Unknown(name))));
            }
        }
        Ok(all)
    }
}

/// All users, by name.
fn all(program: Program<'_>) -> Vec<User> {
    let now = Timestamp::now().as_second();
    let by_password = program.service.password_users();
    let sessions = program.service.sessions();
    let sessions_of = |name: &str| sessions.get(name).copied().unwrap_or_default();
    let mut all: Vec<_> = match program.service.users() {
        Ok(users) => users.list(),
        Err(_) => Vec::new(),
    }
    .into_iter()
    .map(|(name, user)| {
        let until = user.certificate_until();
        let invitation = user.invitation().filter(|_| !user.has_key() && !user.revoked);
        User {
            by: user.has_key().then(|| "certificate".to_owned()).into_iter().collect(),
            state: user.state(now).name().to_owned(),
            sessions: sessions_of(&name),
            address: user.address.map(|address| address.to_string()),
            profile: user.profile,
            vlan: user.vlan,
            since: shown(user.since),
            expires: until.or_else(|| invitation.map(|(until, _)| until)).map(shown),
            uses: invitation.map(|(_, uses)| uses),
            name,
        }
    })
    .collect();
    for name in by_password {
        let by = "password".to_owned();
        match all.iter_mut().find(|user| user.name == name) {
            Some(user) => user.by.push(by),
            None => all.push(User {
                sessions: sessions_of(&name),
                name,
                state: State::Active.name().to_owned(),
                by: vec![by],
                ..User::default()
            }),
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// Revoke a user: sessions end at once, and none begins, by certificate, password or token.
///
/// An invitation to that name ends as well. Entries: the user as it is then.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct RevokeUser {
    /// Name of the user.
    pub(crate) name: String,
}

impl Call for RevokeUser {
    const NAME: &'static str = "revokeUser";
    const GROUP: Group = Group::Users;
    const ROLE: Role = Role::Admin;
    type Entry = User;

    async fn run(self, program: Program<'_>) -> Result<Vec<User>, Refusal> {
        let users = program.service.users()?;
        if !all(program).iter().any(|user| user.name == self.name)
            && !program.service.sessions().contains_key(&*self.name)
        {
            return Err(refusal(ChangeError::Refused(BookError::Unknown(self.name))));
        }
        let (name, now) = (self.name.clone(), Timestamp::now().as_second());
        let written = apart(move || users.revoke(&name, now)).await?;
        // Whatever the disk says.
        program.service.end_sessions(&self.name);
        written.map_err(refusal)?;
        one(program, &self.name)
    }
}

/// Approve a waiting user.
///
/// Entries: the user as it is then.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct ApproveUser {
    /// Name of the user.
    pub(crate) name: String,
}

impl Call for ApproveUser {
    const NAME: &'static str = "approveUser";
    const GROUP: Group = Group::Users;
    const ROLE: Role = Role::Admin;
    type Entry = User;

    async fn run(self, program: Program<'_>) -> Result<Vec<User>, Refusal> {
        let users = program.service.users()?;
        let (name, now) = (self.name.clone(), Timestamp::now().as_second());
        apart(move || users.approve(&name, now)).await?.map_err(refusal)?;
        one(program, &self.name)
    }
}

/// Give a user who was invited another name.
///
/// Sessions end, and come again under the new name. Entries: the user as it is then.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct RenameUser {
    /// Name of the user.
    pub(crate) name: String,
    /// The new name.
    pub(crate) to: String,
}

impl Call for RenameUser {
    const NAME: &'static str = "renameUser";
    const GROUP: Group = Group::Users;
    const ROLE: Role = Role::Admin;
    type Entry = User;

    async fn run(self, program: Program<'_>) -> Result<Vec<User>, Refusal> {
        let users = program.service.users()?;
        check_free(program, &self.to, false).await?;
        let (from, to) = (self.name.clone(), self.to.clone());
        let now = Timestamp::now().as_second();
        apart(move || users.rename(&from, &to, now)).await?.map_err(refusal)?;
        program.service.end_sessions(&self.name);
        one(program, &self.to)
    }
}

/// Refuses a name that is somebody else's already, by a password, a role of control or a profile:
/// whoever was given it would be that one. With `several` it is what names begin with.
async fn check_free(program: Program<'_>, name: &str, several: bool) -> Result<(), Refusal> {
    let profiles = program.control.list_profiles().await?;
    let of_profiles = profiles.iter().flat_map(|(_, profile)| profile.users.iter().cloned());
    let taken = program.service.password_users().into_iter().map(|own| (own, "a password"));
    let taken = taken.chain(program.service.role_names().into_iter().map(|own| (own, "a role")));
    let mut taken = taken.chain(of_profiles.map(|own| (own, "a profile")));
    let is_it = |own: &str| match own.strip_prefix(name) {
        Some("") => true,
        Some(rest) => {
            let number = rest.strip_prefix('-').filter(|_| several);
            number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
        }
        None => false,
    };
    match taken.find(|(own, _)| is_it(own)) {
        None => Ok(()),
        Some((own, what)) => Err(Refusal::value(format!(
            "{own} has {what} here already, which the user would have, too; give another name"
        ))),
    }
}

fn one(program: Program<'_>, name: &str) -> Result<Vec<User>, Refusal> {
    Ok(all(program).into_iter().filter(|user| user.name == name).collect())
}

fn refusal(error: ChangeError<BookError>) -> Refusal {
    let text = error.to_string();
    match error {
        ChangeError::Refused(BookError::Unknown(_)) => Refusal::key(text),
        ChangeError::Refused(_) => Refusal::value(text),
        ChangeError::System(_) => Refusal::os(text),
    }
}

fn shown(time: i64) -> String {
    let time = Timestamp::from_second(time).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An invitation that was made: a secret, which nothing but `Serialize` may show.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Invitation {
    /// Name of the user, or the prefix of several.
    pub(crate) name: String,
    /// What to type behind `etherws join`. It lets in whoever has it.
    pub(crate) link: String,
    /// The same as a QR code: rows of modules, `#` for dark ones. Empty if it is too long.
    pub(crate) qr: Vec<String>,
    /// How many may use it.
    pub(crate) uses: u32,
    /// Until when, as `2026-01-31T12:00:00Z`.
    pub(crate) expires: String,
    /// The address that the user will have, with its prefix length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invitation").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Entry for Invitation {
    const TITLES: &'static [&'static str] = &["Name", "Uses", "Expires", "Address"];
    const OPTIONAL: &'static [&'static str] = &["Address"];

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.name.clone(),
            self.uses.to_string(),
            self.expires.clone(),
            self.address.clone().unwrap_or_default(),
        ]]
    }

    fn further(&self) -> Vec<Table> {
        let code = blocks(&self.qr);
        let lines = code.lines().map(str::to_owned);
        let command = [String::new(), format!("etherws join '{}'", self.link)];
        let rows: Vec<_> = lines.chain(command).map(|line| vec![line]).collect();
        let below = rows.iter().map(|_| None).collect();
        vec![Table { titles: Vec::new(), rows, below, notes: Vec::new() }]
    }
}

/// A user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct User {
    /// Name.
    pub(crate) name: String,
    /// `invited`, `pending` (an operator has to approve it), `active`, `expired` (the invitation
    /// was not used in time) or `revoked`.
    pub(crate) state: String,
    /// How the user authenticates: `certificate`, `password`.
    pub(crate) by: Vec<String>,
    /// Sessions now.
    pub(crate) sessions: usize,
    /// Address of the pool, with its prefix length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// Profile that the invitation gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// VLAN that the invitation gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vlan: Option<u16>,
    /// When the user was invited or came in first, as `2026-01-31T12:00:00Z`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) since: String,
    /// When the certificate or the invitation expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    /// How many may use the invitation yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uses: Option<u32>,
}

impl Entry for User {
    const TITLES: &'static [&'static str] =
        &["Name", "State", "By", "Sessions", "Address", "Profile", "VLAN", "Uses", "Expires"];
    const OPTIONAL: &'static [&'static str] = &["Address", "Profile", "VLAN", "Uses", "Expires"];
    const NOTHING: Option<&'static str> =
        Some("there are no users; etherws invite NAME invites one");

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.name.clone(),
            self.state.clone(),
            self.by.join(", "),
            self.sessions.to_string(),
            self.address.clone().unwrap_or_default(),
            self.profile.clone().unwrap_or_default(),
            self.vlan.map(|vlan| vlan.to_string()).unwrap_or_default(),
            self.uses.map(|uses| uses.to_string()).unwrap_or_default(),
            self.expires.clone().unwrap_or_default(),
        ]]
    }
}

/// A text as a QR code: rows of modules, `#` for dark ones; none if it is too long for one.
pub(crate) fn qr(text: &str) -> Vec<String> {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else { return Vec::new() };
    let module = |color: &Color| if *color == Color::Dark { '#' } else { ' ' };
    code.to_colors().chunks(code.width()).map(|row| row.iter().map(module).collect()).collect()
}

/// The rows of a QR code for a terminal, two in a line. What is light is drawn, since most
/// terminals are dark.
pub(crate) fn blocks(rows: &[String]) -> String {
    let width = rows.first().map_or(0, String::len);
    if width == 0 {
        return String::new();
    }
    let empty = " ".repeat(width);
    let quiet = || std::iter::repeat_n(&empty, QUIET);
    let rows: Vec<_> = quiet().chain(rows).chain(quiet()).collect();
    let margin = " ".repeat(QUIET);
    let row = |pair: &[&String]| {
        let upper = format!("{margin}{}{margin}", pair[0]);
        let lower = format!("{margin}{}{margin}", pair.get(1).map_or(&*empty, |row| row));
        let draw = |(upper, lower)| match (upper, lower) {
            ('#', '#') => ' ',
            ('#', _) => '▄',
            (_, '#') => '▀',
            _ => '█',
        };
        upper.chars().zip(lower.chars()).map(draw).collect::<String>() + "\n"
    };
    rows.chunks(2).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_with_what_is_light_around_it() {
        let rows = qr("https://hub.example/#etherws1:AAAA");
        assert!(rows.len() >= 21 && rows.iter().all(|row| row.len() == rows.len()));
        assert!(rows[0].starts_with("####### "), "a finder pattern: {}", rows[0]);
        let drawn = blocks(&rows);
        let lines: Vec<_> = drawn.lines().collect();
        assert_eq!(lines.len(), (rows.len() + 2 * QUIET).div_ceil(2));
        assert!(lines.iter().all(|line| line.chars().count() == rows.len() + 2 * QUIET));
        assert!(lines[0].chars().all(|c| c == '█'), "{drawn}");
        assert_eq!(blocks(&qr(&"x".repeat(5000))), "");
    }
}
