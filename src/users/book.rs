//! The users of a hub, and what each of them has: an invitation that waits, a key that was let
//! in by one, an address of the LAN. Pure: time is an argument, in seconds of Unix; secrets come
//! as their hashes. Who is not in it, or is revoked, is not let in by a certificate.

mod error;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use etherws_actors::names;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub(crate) use self::error::{BookError, NoEntry};

/// The form of the file. One of a later version is left alone.
const VERSION: u64 = 1;

/// Most users, those who were revoked among them.
pub(crate) const MAX_USERS: usize = 8192;

/// Most redemptions of one invitation.
pub(crate) const MAX_USES: u32 = 1000;

/// Addresses of a pool that are looked at for a free one.
const MAX_SEARCH: usize = 65_536;

/// Longest name of a user, in octets, as in certificates.
const MAX_NAME: usize = 64;

names! {
    /// What a user may do.
    pub(crate) enum State {
        /// Nothing yet: the invitation was not used.
        Invited = "invited",
        /// Nothing yet: an operator has to approve what was shown with the invitation.
        Pending = "pending",
        /// Come in.
        Active = "active",
        /// Nothing: the invitation was not used in time.
        Expired = "expired",
        /// Nothing any more.
        Revoked = "revoked",
    }
}

/// Hash of a secret or of a public key (SHA-256), as hexadecimal digits.
pub(crate) type Hash = String;

/// What lets somebody become a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Invitation {
    /// Of its secret.
    secret: Hash,
    until: i64,
    /// How often it can be used yet.
    uses: u32,
    /// The last number that was behind its name: none is given twice.
    #[serde(default, skip_serializing_if = "is_zero")]
    last: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Whom the certificates of a user are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    /// Of SubjectPublicKeyInfo in DER.
    hash: Hash,
    /// The invitation that it came with, and until when that lasts.
    invitation: Hash,
    #[serde(default)]
    invited_until: i64,
    /// When the last certificate ends.
    #[serde(default)]
    until: i64,
}

/// A user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    /// When it became one.
    pub(crate) since: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation: Option<Invitation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
    /// Whether an operator has still to approve the key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) revoked: bool,
    /// Whether nobody of this name is let in until the invitation was used: who was revoked may
    /// have a password.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    barred: bool,
    /// Address of the LAN, with its prefix length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpNet>,
    /// Profile of its sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// VLAN of its sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vlan: Option<u16>,
}

impl User {
    /// What it may do at `now`.
    pub(crate) fn state(&self, now: i64) -> State {
        match (&self.key, &self.invitation) {
            _ if self.revoked => State::Revoked,
            (Some(_), _) if self.pending => State::Pending,
            (Some(_), _) => State::Active,
            (None, Some(invitation)) if invitation.until > now => State::Invited,
            (None, Some(_)) => State::Expired,
            // Known by what this book does not hold, such as a password.
            (None, None) => State::Active,
        }
    }

    /// When the invitation that waits ends, and how often it can be used.
    pub(crate) fn invitation(&self) -> Option<(i64, u32)> {
        self.invitation.as_ref().map(|one| (one.until, one.uses))
    }

    /// Whether it has a key that was certified, or waits for that.
    pub(crate) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// When its last certificate ends.
    pub(crate) fn certificate_until(&self) -> Option<i64> {
        self.key.as_ref().map(|key| key.until).filter(|until| *until > 0)
    }
}

/// What an invitation is to give.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// Until when it can be used.
    pub(crate) until: i64,
    /// How often; at least 1.
    pub(crate) uses: u32,
    pub(crate) profile: Option<String>,
    pub(crate) vlan: Option<u16>,
    pub(crate) address: Option<IpAddr>,
}

/// The addresses that users may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) network: Option<IpNet>,
    /// Those of the hub itself.
    pub(crate) taken: Vec<IpAddr>,
}

/// All users, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Book {
    users: BTreeMap<String, User>,
    /// Who has which key.
    keys: HashMap<Hash, String>,
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
struct File {
    version: u64,
    users: BTreeMap<String, User>,
}

/// Whether this can be the name of a user: part of a file's name, of a certificate, and of a
/// line of text.
pub(crate) fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    name.len() <= MAX_NAME
        && first.is_some_and(|c| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_@".contains(c))
}

impl Book {
    /// Reads a file's content.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn parse(content: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        if file.version > VERSION {
            return Err(format!(
                "it is of version {}, and this program knows {VERSION}",
                file.version
            ));
        }
        let key = |(name, user): (&String, &User)| Some((user.key.clone()?.hash, name.clone()));
        Ok(Self { keys: file.users.iter().filter_map(key).collect(), users: file.users })
    }

    /// As a file.
    pub(crate) fn to_text(&self) -> String {
        let file = File { version: VERSION, users: self.users.clone() };
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    /// All of them, by name.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&String, &User)> {
        self.users.iter()
    }

    /// The one of this name.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// Who has this key.
    pub(crate) fn of_key(&self, key: &str) -> Option<(&str, &User)> {
        let name = self.keys.get(key)?;
        self.users.get(name).map(|user| (name.as_str(), user))
    }

    /// Whether somebody of this name is not to be let in, however.
    pub(crate) fn is_revoked(&self, name: &str) -> bool {
        self.users.get(name).is_some_and(|user| user.revoked || user.barred)
    }

    /// Whether there is, or was, an invitation with this secret.
    pub(crate) fn knows(&self, secret: &str) -> bool {
        self.users.values().any(|user| {
            user.invitation.as_ref().is_some_and(|one| one.secret == secret)
                || user.key.as_ref().is_some_and(|key| key.invitation == secret)
        })
    }

    /// Invites `name`, by a secret with this hash. Who was revoked, or did not come in time, may be
    /// invited again.
    ///
    /// # Errors
    /// See [`BookError`]; nothing has changed.
    pub(crate) fn invite(
        &mut self,
        name: &str,
        secret: Hash,
        terms: &Terms,
        pool: &Pool,
        now: i64,
    ) -> Result<(), BookError> {
        if !is_name(name) {
            return Err(BookError::Name(name.to_owned()));
        }
        if !(1..=MAX_USES).contains(&terms.uses) {
            return Err(BookError::Uses(terms.uses));
        }
        if terms.uses > 1 && terms.address.is_some() {
            return Err(BookError::OneAddress);
        }
        let former = self.users.get(name);
        match former.map(|user| user.state(now)) {
            None | Some(State::Revoked | State::Expired) => {}
            Some(state) => return Err(BookError::Exists(name.to_owned(), state)),
        }
        let kept = former.and_then(|user| user.address);
        let address = match (terms.address, pool.network) {
            (Some(_), None) => return Err(BookError::NoPool),
            (Some(address), Some(network)) => Some(self.fixed(address, network, pool, name)?),
            (None, Some(_)) if kept.is_some() => kept,
            (None, Some(network)) if terms.uses == 1 => {
                let free = self.free(network, pool);
                Some(free.ok_or(BookError::PoolFull(network))?)
            }
            (None, _) => None,
        };
        self.make_room()?;
        let barred = self.is_revoked(name);
        let invitation = Invitation { secret, until: terms.until, uses: terms.uses, last: 0 };
        let user = User {
            barred,
            since: now,
            invitation: Some(invitation),
            address,
            profile: terms.profile.clone(),
            vlan: terms.vlan,
            ..User::default()
        };
        self.put(name, user);
        Ok(())
    }

    /// Lets `key` in by the secret with this hash, and gives the name of the user that it is from
    /// now on. The same key may come again while the invitation lasts: an answer may be lost.
    ///
    /// # Errors
    /// See [`NoEntry`]; nothing has changed.
    pub(crate) fn redeem(
        &mut self,
        secret: &str,
        key: &str,
        approval: bool,
        pool: &Pool,
        now: i64,
    ) -> Result<String, NoEntry> {
        if let Some((name, user)) = self.of_key(key) {
            // Until it was certified once, and then as long as the invitation lasts.
            let again = user.key.as_ref().is_some_and(|own| {
                own.invitation == secret && (own.until == 0 || now < own.invited_until)
            });
            return match user.revoked {
                true => Err(NoEntry::Revoked),
                false if again => Ok(name.to_owned()),
                false => Err(NoEntry::KeyTaken),
            };
        }
        let is_it = |user: &&User| user.invitation.as_ref().is_some_and(|one| one.secret == secret);
        let found = self.users.iter().find(|(_, user)| is_it(user));
        let Some((name, user)) = found else {
            let was_used = |user: &User| user.key.as_ref().is_some_and(|k| k.invitation == secret);
            return Err(match self.users.values().find(|user| was_used(user)) {
                Some(user) if user.revoked => NoEntry::Revoked,
                Some(_) => NoEntry::Used,
                None => NoEntry::Unknown,
            });
        };
        if user.revoked {
            return Err(NoEntry::Revoked);
        }
        let Some(invitation) = user.invitation.clone().filter(|one| one.until > now) else {
            return Err(NoEntry::Expired);
        };
        let key = Key {
            hash: key.to_owned(),
            invitation: secret.to_owned(),
            invited_until: invitation.until,
            until: 0,
        };
        let (name, user) = (name.clone(), user.clone());
        if invitation.uses == 1 && !self.is_shared(&name) {
            let joined = User {
                invitation: None,
                key: Some(key),
                pending: approval,
                barred: false,
                since: now,
                ..user
            };
            self.put(&name, joined);
            return Ok(name);
        }
        // One of several: each is a user of its own, and the invitation stays until it is used up.
        self.make_room().map_err(|_| NoEntry::Full)?;
        let address = match pool.network {
            Some(network) => Some(self.free(network, pool).ok_or(NoEntry::NoAddress)?),
            None => None,
        };
        let mut numbers = invitation.last + 1..;
        let is_free = |n: &u32| !self.users.contains_key(&format!("{name}-{n}"));
        let last = numbers.find(is_free).unwrap_or_default();
        let own = format!("{name}-{last}");
        let joined = User {
            invitation: None,
            key: Some(key),
            pending: approval,
            since: now,
            address,
            ..user.clone()
        };
        self.put(&own, joined);
        match invitation.uses - 1 {
            0 => self.drop_user(&name),
            uses => {
                let invitation = Some(Invitation { uses, last, ..invitation });
                self.put(&name, User { invitation, ..user });
            }
        }
        Ok(own)
    }

    /// Whether users were let in by the invitation under this name before.
    fn is_shared(&self, name: &str) -> bool {
        let secret = |user: &User| user.invitation.as_ref().map(|one| one.secret.clone());
        let Some(secret) = self.users.get(name).and_then(secret) else { return false };
        self.users.values().any(|user| user.key.as_ref().is_some_and(|k| k.invitation == secret))
    }

    /// Notes when the last certificate of the user ends.
    pub(crate) fn certified(&mut self, name: &str, until: i64) {
        if let Some(key) = self.users.get_mut(name).and_then(|user| user.key.as_mut()) {
            key.until = until;
        }
    }

    /// Approves the key that waits.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn approve(&mut self, name: &str, now: i64) -> Result<(), BookError> {
        let unknown = || BookError::Unknown(name.to_owned());
        let user = self.users.get_mut(name).ok_or_else(unknown)?;
        if user.state(now) != State::Pending {
            return Err(BookError::NotPending(name.to_owned(), user.state(now)));
        }
        user.pending = false;
        Ok(())
    }

    /// Lets nobody of this name in from now on, by whatever way; the name may be that of somebody
    /// whom this book does not know.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn revoke(&mut self, name: &str, now: i64) -> Result<(), BookError> {
        if !self.users.contains_key(name) {
            self.make_room()?;
        }
        let user = self.users.entry(name.to_owned());
        let user = user.or_insert_with(|| User { since: now, ..User::default() });
        user.revoked = true;
        user.pending = false;
        // Others may have it.
        user.address = None;
        // Who came by an invitation for several would come again by it.
        let secret = user.key.as_ref().map(|key| key.invitation.clone());
        let others = self.users.values_mut().filter(|other| {
            let own = other.invitation.as_ref().map(|one| &one.secret);
            own.is_some() && own == secret.as_ref()
        });
        others.for_each(|other| other.revoked = true);
        Ok(())
    }

    /// Gives a user another name.
    ///
    /// # Errors
    /// There is no such user, or the name is taken or is none.
    pub(crate) fn rename(&mut self, from: &str, to: &str, now: i64) -> Result<(), BookError> {
        if !is_name(to) {
            return Err(BookError::Name(to.to_owned()));
        }
        if let Some(user) = self.users.get(to) {
            return Err(BookError::Exists(to.to_owned(), user.state(now)));
        }
        let user = self.users.get(from).ok_or_else(|| BookError::Unknown(from.to_owned()))?.clone();
        self.drop_user(from);
        self.put(to, user);
        Ok(())
    }

    fn put(&mut self, name: &str, user: User) {
        self.drop_user(name);
        if let Some(key) = &user.key {
            self.keys.insert(key.hash.clone(), name.to_owned());
        }
        self.users.insert(name.to_owned(), user);
    }

    fn drop_user(&mut self, name: &str) {
        if let Some(key) = self.users.remove(name).and_then(|user| user.key) {
            self.keys.remove(&key.hash);
        }
    }

    /// Forgets, if the book is full, who has been revoked for longest: without an entry a key is
    /// not let in either.
    fn make_room(&mut self) -> Result<(), BookError> {
        if self.users.len() < MAX_USERS {
            return Ok(());
        }
        let revoked = self.users.iter().filter(|(_, user)| user.revoked && user.key.is_some());
        let oldest = revoked.min_by_key(|(_, user)| user.since).map(|(name, _)| name.clone());
        self.drop_user(&oldest.ok_or(BookError::Full)?);
        Ok(())
    }

    fn is_taken(&self, address: IpAddr, pool: &Pool, but: &str) -> bool {
        let has = |(name, user): (&String, &User)| {
            name != but && user.address.is_some_and(|own| own.addr() == address)
        };
        pool.taken.contains(&address) || self.users.iter().any(has)
    }

    /// `address` as one of `network`, if `name` may have it.
    fn fixed(
        &self,
        address: IpAddr,
        network: IpNet,
        pool: &Pool,
        name: &str,
    ) -> Result<IpNet, BookError> {
        let refuse = |why: String| Err(BookError::Address(address, why));
        if !network.contains(&address) || is_edge(address, network) {
            return refuse(format!("it is not a host address in the pool {network}"));
        }
        if self.is_taken(address, pool, name) {
            return refuse("it is in use already".to_owned());
        }
        IpNet::new(address, network.prefix_len())
            .or_else(|_| refuse(format!("it is of another kind than the pool {network}")))
    }

    /// The lowest address of the pool that nobody has.
    fn free(&self, network: IpNet, pool: &Pool) -> Option<IpNet> {
        let of_users = self.users.values().filter_map(|user| user.address.map(|net| net.addr()));
        let taken: HashSet<_> = of_users.chain(pool.taken.iter().copied()).collect();
        let mut hosts = network.hosts().take(MAX_SEARCH);
        let free = hosts.find(|host| !taken.contains(host) && !is_edge(*host, network))?;
        IpNet::new(free, network.prefix_len()).ok()
    }
}

/// Whether no host may have this address: it means the network, or all of its hosts.
pub(crate) fn is_edge(address: IpAddr, network: IpNet) -> bool {
    let has_edges = network.max_prefix_len() - network.prefix_len() > 1;
    let is_broadcast = address.is_ipv4() && address == network.broadcast();
    has_edges && (address == network.network() || is_broadcast)
}

#[cfg(test)]
mod tests;
