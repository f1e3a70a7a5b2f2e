//! Who is on the other end of a connection, once it has been let in. Made by the ways of
//! authentication; read by limits, sessions and logs. Holds no password, hash or token.

use std::{fmt, net::IpAddr, sync::Arc};

use super::Marks;
use crate::server::source::Source;

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// Name of the user; `None` where nobody is asked for one.
    pub(crate) name: Option<Arc<str>>,
    /// Name of the way that vouches for it; empty where nobody does.
    way: &'static str,
    /// Name of a second way that he has passed; empty where there was none.
    also: &'static str,
    /// By what else than his name he may be revoked.
    marks: Marks,
}

impl Identity {
    /// Somebody, where nobody is asked for a name.
    pub(crate) const ANONYMOUS: Self = Self { name: None, way: "", also: "", marks: Marks::NONE };

    /// The user `name`, as `way` has found.
    pub(crate) const fn new(way: &'static str, name: Arc<str>) -> Self {
        Self { name: Some(name), way, also: "", marks: Marks::NONE }
    }

    /// The same; he has shown a certificate with these marks.
    pub(super) fn marked(self, marks: Marks) -> Self {
        Self { marks, ..self }
    }

    /// Whether he is among the users, or his certificate among the marks, that are `gone`.
    pub(crate) fn is_among(&self, gone: &[Box<str>]) -> bool {
        let is_it = |mark: &str| {
            self.name.as_deref() == Some(mark) || self.marks.iter().any(|own| **own == *mark)
        };
        gone.iter().any(|mark| is_it(mark))
    }

    /// Whether he has passed the way of this name.
    pub(super) fn has_passed(&self, way: &str) -> bool {
        self.name.is_some() && (self.way == way || self.also == way)
    }

    /// One who is both of them: the first name counts. `None`: they are two users.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        match (&self.name, &other.name) {
            (Some(name), Some(another)) => {
                (name == another).then(|| Self { also: other.way, ..self.clone() })
            }
            (Some(_), None) => Some(self.clone()),
            (None, _) => Some(other.clone()),
        }
    }
}

impl Identity {
    /// Who holds a session of his, as the log shows it: the user and the way that vouches
    /// for him, or the network that he comes from where users have no names. Different for
    /// different users, whatever their names.
    pub(crate) fn holder(&self, address: IpAddr) -> String {
        match self.name {
            Some(_) => format!("user {self} by {}", self.way),
            None => format!("address {}", Source::from(address)),
        }
    }
}

impl fmt::Display for Identity {
    /// The name, `-` for none; control characters are escaped: it goes into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}", name.escape_debug()),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_log_lines() {
        let name = Identity::new("password", "a\n\x1b[31mb".into());
        assert_eq!(name.to_string(), r"a\n\u{1b}[31mb");
        assert_eq!(Identity::ANONYMOUS.to_string(), "-");
        let v6 = "2001:db8::1".parse().expect("an address");
        assert_eq!(name.holder(v6), r"user a\n\u{1b}[31mb by password");
        assert_eq!(Identity::ANONYMOUS.holder(v6), "address 2001:db8::/64");
    }
}
