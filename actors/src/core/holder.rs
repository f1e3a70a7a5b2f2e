//! Whose a session is: who holds it, and by which of his client ports he comes again.
//!
//! Stands between the handshakes and the Switch. What is limited for a port is limited for
//! all ports of a holder together, and the session that the same client port had before
//! ends. A client port's id is random, kept over its reconnects, and sent in a header of the
//! handshake. It is no proof of anything: it counts under the same authentication alone, and
//! is shown to nobody.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    ops::{Index, IndexMut},
    sync::Arc,
};

/// The header, in a request of ours and, the same again, in a server's answer: a
/// server that gives it back is one of ours.
pub const INSTANCE_HEADER: &str = "etherws-instance";

/// Id of a client port: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance(u128);

impl Instance {
    /// One that nobody else has.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut octets = [0; 16];
        getrandom::fill(&mut octets)?;
        Ok(Self(u128::from_be_bytes(octets)))
    }

    /// The value of a header; `None` for what is not 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Instance {
    /// As it goes into the header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Instance {
    /// Leaves the id out: whoever knows it, and a password, can end a session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who it is, as the log names him: how the peer has authenticated, and as whom, or the
    /// network that it comes from, where nobody has a name. Equal texts are the same.
    pub identity: Arc<str>,
    /// Its user's name, where users have names.
    pub user: Option<Arc<str>>,
    /// Its client port, if it says so.
    pub instance: Option<Instance>,
}

impl Holder {
    /// Whether both are sessions of the same client port.
    #[must_use]
    pub fn is_again(&self, other: &Self) -> bool {
        self.instance.is_some() && self == other
    }

    /// Whether both may be links of one client port, which perhaps go by different networks: the
    /// same user, or nobody with a name.
    #[must_use]
    pub fn is_of_same_port(&self, other: &Self) -> bool {
        let is_same = self.user.is_none() || self.identity == other.identity;
        self.instance.is_some()
            && (self.instance, &self.user) == (other.instance, &other.user)
            && is_same
    }
}

/// Ports by the client port whose sessions they are, so that a newcomer need not be compared with
/// all others. Whether they are of the same holder is for who asks to say.
#[derive(Debug, Default)]
pub(crate) struct Instances(HashMap<Instance, Vec<usize>>);

impl Instances {
    /// Notes the port at `at`.
    pub(crate) fn insert(&mut self, holder: Option<&Holder>, at: usize) {
        if let Some(instance) = holder.and_then(|holder| holder.instance) {
            self.0.entry(instance).or_default().push(at);
        }
    }

    /// The port at `at` is no more.
    pub(crate) fn remove(&mut self, holder: Option<&Holder>, at: usize) {
        if let Some(instance) = holder.and_then(|holder| holder.instance)
            && let Entry::Occupied(mut entry) = self.0.entry(instance)
        {
            entry.get_mut().retain(|&other| other != at);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    /// The ports that may be of the same client port.
    pub(crate) fn of(&self, holder: Option<&Holder>) -> &[usize] {
        let instance = holder.and_then(|holder| holder.instance);
        instance.and_then(|instance| self.0.get(&instance)).map_or(&[], Vec::as_slice)
    }
}

/// Those who hold ports, each at a place from which he does not move, with what his ports
/// share. A port without a holder is one by itself.
#[derive(Debug)]
pub(crate) struct Holders<T> {
    places: Vec<Option<Held<T>>>,
    free: Vec<usize>,
    known: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Held<T> {
    identity: Option<Arc<str>>,
    ports: usize,
    shared: T,
}

impl<T> Default for Holders<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), known: HashMap::new() }
    }
}

impl<T: Default> Holders<T> {
    /// Notes a further port of a holder; his place.
    pub(crate) fn join(&mut self, holder: Option<&Holder>) -> usize {
        let identity = holder.map(|holder| &holder.identity);
        if let Some(&at) = identity.and_then(|identity| self.known.get(identity)) {
            if let Some(held) = &mut self.places[at] {
                held.ports += 1;
            }
            return at;
        }
        let at = self.free.pop().unwrap_or(self.places.len());
        if at == self.places.len() {
            self.places.push(None);
        }
        let identity = identity.map(Arc::clone);
        if let Some(identity) = &identity {
            self.known.insert(Arc::clone(identity), at);
        }
        self.places[at] = Some(Held { identity, ports: 1, shared: T::default() });
        at
    }

    /// A port of the holder at `at` is no more.
    pub(crate) fn leave(&mut self, at: usize) {
        let Some(held) = &mut self.places[at] else { return };
        held.ports -= 1;
        if held.ports == 0 {
            if let Some(identity) = &held.identity {
                self.known.remove(identity);
            }
            self.places[at] = None;
            self.free.push(at);
        }
    }

    /// Who the holder at `at` is; `None`: a port by itself.
    pub(crate) fn identity(&self, at: usize) -> Option<&str> {
        self.places.get(at)?.as_ref()?.identity.as_deref()
    }
}

impl<T> Index<usize> for Holders<T> {
    type Output = T;

    /// # Panics
    /// Nobody is at this place: places are only had from here, and end with the last port.
    fn index(&self, at: usize) -> &T {
        &self.places[at].as_ref().expect("a holder at its place").shared
    }
}

impl<T> IndexMut<usize> for Holders<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.places[at].as_mut().expect("a holder at its place").shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_survives_its_header_and_is_like_no_other() {
        let [one, other] = [(); 2].map(|()| Instance::random().expect("random numbers"));
        assert_ne!(one, other);
        assert_eq!(Instance::parse(&one.to_string()), Some(one));
        assert_eq!(Instance::parse(&format!("{:032X}", one.0)), Some(one));
        assert!(!format!("{one:?}").contains(&one.to_string()));
    }

    #[test]
    fn sessions_of_a_holder_share_a_place_and_other_ports_have_their_own() {
        let holder =
            |identity: &str| Holder { identity: identity.into(), user: None, instance: None };
        let mut holders = Holders::<u32>::default();
        let alice = holders.join(Some(&holder("alice")));
        let tap = holders.join(None);
        let bob = holders.join(Some(&holder("bob")));
        assert_eq!(holders.join(Some(&holder("alice"))), alice);
        assert!(tap != alice && bob != alice && bob != tap && holders.join(None) != tap);
        holders[alice] = 7;
        holders.leave(alice);
        assert_eq!((holders[alice], holders.identity(alice)), (7, Some("alice")));
        assert_eq!(holders.identity(tap), None);
        holders.leave(alice);
        assert_eq!(holders.identity(alice), None);
        let again = holders.join(Some(&holder("alice")));
        assert_eq!(
            (again, holders[again]),
            (alice, 0),
            "its place is free, and what was there gone"
        );
    }

    #[test]
    fn the_sessions_of_a_client_port_are_found_and_nothing_is_kept_of_those_that_are_gone() {
        let holder = |instance| Holder { identity: "alice".into(), user: None, instance };
        let [one, other] = [(); 2].map(|()| holder(Instance::random().ok()));
        let none = holder(None);
        let mut instances = Instances::default();
        for (at, of) in [Some(&one), Some(&other), Some(&one), Some(&none), None].iter().enumerate()
        {
            instances.insert(*of, at);
        }
        assert_eq!((instances.of(Some(&one)), instances.of(Some(&other))), (&[0, 2][..], &[1][..]));
        assert!(instances.of(Some(&none)).is_empty() && instances.of(None).is_empty());
        for (of, at) in [(&one, 0), (&other, 1), (&none, 3)] {
            instances.remove(Some(of), at);
        }
        assert_eq!(instances.of(Some(&one)), [2]);
        instances.remove(Some(&one), 2);
        assert!(instances.0.is_empty());
    }

    #[test]
    fn what_is_no_instance_is_none() {
        for text in ["", "0", &"0".repeat(31), &"0".repeat(33), &"g".repeat(32)] {
            assert_eq!(Instance::parse(text), None, "{text}");
        }
        assert_eq!(Instance::parse(&format!("+{}", "0".repeat(31))), None);
    }
}
