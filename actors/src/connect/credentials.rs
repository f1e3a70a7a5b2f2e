//! What a request says of us: name and password for HTTP Basic authentication, and headers
//! that an operator has given. None of them may stand in a log.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// A name and a password; the latter stays out of `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name; must not hold a colon (RFC 7617, 2).
    pub user: String,
    /// Password.
    pub password: String,
}

impl Credentials {
    /// The value of an `Authorization` header (RFC 7617, 2).
    pub(super) fn basic(&self) -> String {
        let Self { user, password } = self;
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Headers of the handshake itself, and those that have an option of their own.
const TAKEN: [&str; 7] = [
    "host",
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "expect",
    "etherws-instance",
];

/// A header of a request. Its value, which may be a secret, stays out of `Debug`;
/// [`Display`](fmt::Display) gives what is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: String,
}

/// A text that is not a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No name, or a value that would end its line.
    #[error("a header is written NAME: VALUE, in visible ASCII characters, on one line")]
    Form,
    /// It says something of the connection.
    #[error("the header {name} is part of the handshake and cannot be given{}", if name.eq_ignore_ascii_case("host") { "; there is the option host" } else { "" })]
    Taken {
        /// Its name.
        name: String,
    },
}

impl Header {
    /// Reads `NAME: VALUE`.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        let (name, value) = text.split_once(':').ok_or(HeaderError::Form)?;
        let (name, value) = (name.to_owned(), value.trim().to_owned());
        // RFC 9110, 5.6.2.
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let is_value = |c: char| c == ' ' || c.is_ascii_graphic();
        if name.is_empty() || !name.chars().all(is_token) || !value.chars().all(is_value) {
            return Err(HeaderError::Form);
        }
        let small = name.to_ascii_lowercase();
        if TAKEN.contains(&&*small) || small.starts_with("sec-websocket-") {
            return Err(HeaderError::Taken { name });
        }
        Ok(Self { name, value })
    }

    /// Whether it is the one of that name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_one_line_and_not_of_the_handshake() {
        let header = Header::parse("X-Token:  a b\t").expect("a header");
        assert_eq!(header.to_string(), "X-Token: a b");
        assert!(!format!("{header:?}").contains("a b"));
        for text in ["", "x", ": y", "a b: c", "x: y\r\nz: a", "x: \u{e9}", "Ho\u{0}: x"] {
            assert_eq!(Header::parse(text), Err(HeaderError::Form), "{text:?}");
        }
        for text in ["Host: x", "CONNECTION: close", "Sec-WebSocket-Protocol: x"] {
            assert!(matches!(Header::parse(text), Err(HeaderError::Taken { .. })), "{text:?}");
        }
    }
}
