//! Who is in: a slot for each session of the tunnel, from its admission to its end.
//! Keeps the limits on how many there are, and finds the sessions of a user who may
//! stay no longer. Never looks at frames.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use etherws_actors::{fdb::PortNumber, holder::Instance, settings::Profiles};

use super::{
    auth::Identity,
    pending::Pending,
    refusal::{Refusal, Refused},
    source::Source,
};
use crate::options::Limits;

/// When to come again: slots become free when sessions end, whenever that is.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// File descriptors for all that is neither a session nor a connection that may become
/// one: sockets that listen, devices, logs, the files that are read again.
const RESERVE: usize = 64;

impl Limits {
    /// With as many sessions in all as a program of so many `descriptors` can have beside
    /// the connections on two listeners.
    pub(crate) fn within(self, descriptors: usize) -> Self {
        let others = 2 * Pending::limit(descriptors) + RESERVE;
        Self { all: self.all.min(descriptors.saturating_sub(others)), ..self }
    }
}

/// All sessions of the program.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    limits: Limits,
    profiles: Arc<Profiles>,
    next: u64,
    slots: BTreeMap<u64, Taken>,
    /// The slots of client ports that say which they are, by that and which of its links it is.
    /// Others may say the same.
    instances: HashMap<(Instance, u8), Vec<u64>>,
    /// By name, whatever vouches for it.
    users: HashMap<Arc<str>, usize>,
    sources: HashMap<Source, usize>,
}

#[derive(Debug)]
struct Taken {
    identity: Identity,
    source: Source,
    /// The client port that it is of, if that says so, and which link of it.
    instance: Option<Instance>,
    link: u8,
    /// Once it is a port.
    port: Option<PortNumber>,
    /// Whether it is to end as soon as it is a port.
    revoked: bool,
}

impl Table {
    /// Frees a slot, unless it was taken over.
    fn leave(&mut self, number: u64) {
        let Some(taken) = self.slots.remove(&number) else { return };
        if let Some(user) = &taken.identity.name {
            release(&mut self.users, user);
        }
        release(&mut self.sources, &taken.source);
        if let Some(instance) = taken.instance
            && let Entry::Occupied(mut entry) = self.instances.entry((instance, taken.link))
        {
            entry.get_mut().retain(|&other| other != number);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    /// The slot of this client port's link, if it has one under the same identity.
    fn former(&self, identity: &Identity, instance: Option<Instance>, link: u8) -> Option<u64> {
        let numbers = self.instances.get(&(instance?, link))?;
        let is_former =
            |number: &&u64| self.slots.get(number).is_some_and(|taken| taken.identity == *identity);
        numbers.iter().find(is_former).copied()
    }
}

impl Sessions {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { table: Mutex::new(Table { limits, ..Table::default() }) })
    }

    /// Sets how many there may be. Who is in stays.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.table().limits = limits;
    }

    /// Sets the profiles, in which users may have a limit of their own. Who is in stays.
    pub(crate) fn set_profiles(&self, profiles: Arc<Profiles>) {
        self.table().profiles = profiles;
    }

    /// A slot for somebody who was admitted. A client port that comes again while its
    /// former session still hangs (`instance`) takes over that session's slot, one for each
    /// `link` of the port.
    ///
    /// # Errors
    /// There are too many sessions: in all, of this user, or from this address.
    pub(crate) fn slot(
        self: &Arc<Self>,
        identity: &Identity,
        address: IpAddr,
        instance: Option<Instance>,
        link: u8,
    ) -> Result<Slot, Refusal> {
        let source = Source::from(address);
        let mut table = self.table();
        let former = table.former(identity, instance, link);
        let former_source = former.and_then(|number| Some(table.slots.get(&number)?.source));
        let (leaves, leaves_source) = (former.is_some(), former_source == Some(source));
        if table.slots.len() - usize::from(leaves) >= table.limits.all {
            return Err(full(Refused::Sessions, "Too many sessions"));
        }
        let count = |known: Option<&usize>| known.copied().unwrap_or_default();
        if let Some(user) = &identity.name {
            let profile = table.profiles.of_user(Some(user));
            let limit = profile.and_then(|(_, profile)| profile.max_sessions);
            let of_user = count(table.users.get(user)) - usize::from(leaves);
            if of_user >= limit.unwrap_or(table.limits.user) {
                return Err(full(Refused::SessionsOfUser, "Too many sessions of this user"));
            }
        }
        let of_source = count(table.sources.get(&source)) - usize::from(leaves_source);
        if of_source >= table.limits.address {
            let text = "Too many sessions from this address";
            return Err(full(Refused::SessionsOfAddress, text));
        }
        if let Some(number) = former {
            table.leave(number);
        }
        if let Some(user) = &identity.name {
            *table.users.entry(Arc::clone(user)).or_default() += 1;
        }
        *table.sources.entry(source).or_default() += 1;
        let number = table.next;
        table.next += 1;
        if let Some(instance) = instance {
            table.instances.entry((instance, link)).or_default().push(number);
        }
        let identity = identity.clone();
        let taken = Taken { identity, source, instance, link, port: None, revoked: false };
        table.slots.insert(number, taken);
        Ok(Slot { sessions: Arc::clone(self), number })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table().slots.len()
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.table().limits.all
    }

    /// How many sessions each user has, without those that are being ended.
    pub(crate) fn of_users(&self) -> HashMap<Arc<str>, usize> {
        let table = self.table();
        let mut counts = HashMap::new();
        let stay = table.slots.values().filter(|taken| !taken.revoked);
        for user in stay.filter_map(|taken| taken.identity.name.as_ref()) {
            *counts.entry(Arc::clone(user)).or_default() += 1;
        }
        counts
    }

    /// The ports of those who are `gone`, which are to be closed.
    pub(crate) fn revoke(&self, gone: impl Fn(&Identity) -> bool) -> Vec<(PortNumber, Identity)> {
        let mut table = self.table();
        let slots = table.slots.values_mut().filter(|taken| gone(&taken.identity));
        slots
            .filter_map(|taken| {
                taken.revoked = true;
                Some((taken.port?, taken.identity.clone()))
            })
            .collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn full(reason: Refused, text: &'static str) -> Refusal {
    Refusal::later(reason, text, RETRY_AFTER)
}

/// One session's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Slot {
    /// Notes which port the session has become. `false`: its user was revoked
    /// meanwhile, and it is to be closed.
    #[must_use]
    pub(crate) fn set_port(&self, port: PortNumber) -> bool {
        let mut table = self.sessions.table();
        table.slots.get_mut(&self.number).is_some_and(|taken| {
            taken.port = Some(port);
            !taken.revoked
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.sessions.table().leave(self.number);
    }
}

fn release<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use etherws_actors::settings;

    use super::*;
    use crate::options::DEFAULT_MAX_SESSIONS;

    fn user(name: &str) -> Identity {
        Identity::new("password", name.into())
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn each_limit_refuses_and_a_seat_that_is_left_is_free() {
        let sessions = Sessions::new(Limits { all: 4, user: 2, address: 3 });
        let reason = |identity: &Identity, from| {
            sessions.slot(identity, from, None, 0).map(drop).map_err(|refusal| refusal.reason())
        };
        let first = sessions.slot(&user("alice"), address(1), None, 0).unwrap();
        let _second = sessions.slot(&user("alice"), address(1), None, 0).unwrap();
        assert_eq!(reason(&user("alice"), address(2)), Err(Refused::SessionsOfUser));
        let _third = sessions.slot(&Identity::ANONYMOUS, address(1), None, 0).unwrap();
        assert_eq!(reason(&user("bob"), address(1)), Err(Refused::SessionsOfAddress));
        let _fourth = sessions.slot(&user("bob"), address(2), None, 0).unwrap();
        assert_eq!(reason(&user("carol"), address(3)), Err(Refused::Sessions));
        drop(first);
        assert_eq!(sessions.count(), 3);
        assert_eq!(reason(&user("alice"), address(1)), Ok(()));
        assert_eq!(sessions.count(), 3);
    }

    #[test]
    fn a_profile_limits_the_sessions_of_its_users_however_they_were_let_in() {
        let profile = |user: &str, max_sessions| settings::Profile {
            users: vec![user.to_owned()],
            max_sessions: Some(max_sessions),
            ..settings::Profile::default()
        };
        let given = [("few", profile("alice", 1)), ("many", profile("bob", 3))];
        let given = given.map(|(name, profile)| (name.parse().unwrap(), profile)).into();
        let sessions = Sessions::new(Limits { all: 9, user: 2, address: 9 });
        sessions.set_profiles(Arc::new(Profiles::new(&given).unwrap()));
        let slots = |name: &str| {
            let ways = ["password", "certificate"].iter().cycle().take(5);
            let open =
                |way| sessions.slot(&Identity::new(way, name.into()), address(1), None, 0).ok();
            ways.map_while(|way| open(way)).collect::<Vec<_>>()
        };
        let all = ["alice", "bob", "carol"].map(slots);
        assert_eq!(all.each_ref().map(Vec::len), [1, 3, 2]);
    }

    #[test]
    fn descriptors_are_left_for_what_is_no_session() {
        let all = |descriptors| Limits::default().within(descriptors).all;
        assert_eq!(all(1024), 1024 - 2 * 128 - 64);
        assert_eq!(all(1 << 20), DEFAULT_MAX_SESSIONS);
        assert_eq!(all(10), 0);
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let sessions = Sessions::new(Limits::default());
        let instance = Instance::parse(&"7".repeat(32));
        drop(sessions.slot(&user("alice"), address(1), instance, 0).unwrap());
        let table = sessions.table();
        assert!(table.users.is_empty() && table.sources.is_empty() && table.slots.is_empty());
        assert!(table.instances.is_empty());
    }

    #[test]
    fn the_sessions_of_a_revoked_user_are_found_even_before_they_are_ports() {
        let sessions = Sessions::new(Limits::default());
        let port = PortNumber::new;
        let slots = ["alice", "bob", "alice"]
            .map(|name| sessions.slot(&user(name), address(1), None, 0).unwrap());
        assert!(slots[0].set_port(port(1).unwrap()) && slots[1].set_port(port(2).unwrap()));
        let gone = sessions.revoke(|identity| identity.is_among(&["alice".into()]));
        assert_eq!(gone, [(port(1).unwrap(), user("alice"))]);
        assert!(!slots[2].set_port(port(3).unwrap()));
    }

    #[test]
    fn who_comes_again_takes_over_the_seat_whatever_the_limits() {
        let sessions = Sessions::new(Limits { all: 1, user: 1, address: 1 });
        let instance = Instance::parse(&"7".repeat(32));
        let hanging = sessions.slot(&user("alice"), address(1), instance, 0).unwrap();
        let again = sessions.slot(&user("alice"), address(1), instance, 0).unwrap();
        assert_eq!(sessions.count(), 1);
        let elsewhere = sessions.slot(&user("alice"), address(2), instance, 0).unwrap();
        assert_eq!(sessions.count(), 1);
        let refused = |identity: &Identity, instance| {
            sessions.slot(identity, address(1), instance, 0).is_err()
        };
        assert!(refused(&user("bob"), instance), "another user is somebody else");
        assert!(refused(&user("alice"), None));
        assert!(sessions.slot(&user("alice"), address(2), instance, 1).is_err(), "another link");
        assert!(!hanging.set_port(PortNumber::FIRST), "it has no slot any more");
        drop((hanging, again));
        assert_eq!(sessions.count(), 1);
        drop(elsewhere);
        assert_eq!(sessions.count(), 0);
    }
}
