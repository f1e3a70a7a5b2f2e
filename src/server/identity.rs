//! Who is on the other end of a connection, once it has been let in. Made by
//! `admit`; read by limits, sessions and logs. Holds no password, hash or token.

use std::{fmt, sync::Arc};

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// Name of the user; `None` where nobody is asked for one.
    pub(crate) name: Option<Arc<str>>,
    /// What vouches for the name.
    pub(crate) how: How,
}

/// What vouches for an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum How {
    /// Nothing: everybody is let in.
    Anonymous,
    /// A user name and its password.
    Password,
    /// A client certificate.
    Certificate,
    /// A token that control has made.
    Token,
}

impl Identity {
    /// Somebody, where nobody is asked for a name.
    pub(crate) const ANONYMOUS: Self = Self { name: None, how: How::Anonymous };

    /// The user `name`, by their password.
    pub(crate) fn password(name: Arc<str>) -> Self {
        Self { name: Some(name), how: How::Password }
    }

    /// The user `name`, by their certificate.
    pub(crate) fn certificate(name: Arc<str>) -> Self {
        Self { name: Some(name), how: How::Certificate }
    }

    /// The user `name`, by a token.
    pub(crate) fn token(name: Arc<str>) -> Self {
        Self { name: Some(name), how: How::Token }
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
        let name = Identity::password("a\n\x1b[31mb".into());
        assert_eq!(name.to_string(), r"a\n\u{1b}[31mb");
        assert_eq!(Identity::ANONYMOUS.to_string(), "-");
    }
}
