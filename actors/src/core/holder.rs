//! Who comes again: a random id that a client port keeps over its reconnects, and
//! sends in a header of the handshake.
//!
//! Stands between the handshakes and the Switch, which closes the session that the
//! same holder had before. The id is no proof of anything: it counts under the same
//! authentication alone, and is shown to nobody.

use std::{fmt, sync::Arc};

/// The header, in a request of ours and, the same again, in a server's answer: a
/// server that gives it back is one of ours.
pub const INSTANCE_HEADER: &str = "etherws-instance";

/// Id of a client port: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// Whose session it is: the same client port under the same authentication is the
/// same holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// How the peer has authenticated, and as whom; equal texts are the same.
    pub identity: Arc<str>,
    /// Its client port.
    pub instance: Instance,
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
    fn what_is_no_instance_is_none() {
        for text in ["", "0", &"0".repeat(31), &"0".repeat(33), &"g".repeat(32)] {
            assert_eq!(Instance::parse(text), None, "{text}");
        }
        assert_eq!(Instance::parse(&format!("+{}", "0".repeat(31))), None);
    }
}
