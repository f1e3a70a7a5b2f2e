//! What can be asked of the program around the switch: who came to its listeners, and
//! whom they shall let in. What commands are to the switch.

use std::{sync::Arc, time::Duration};

use super::{Refusal, entry::Entries};
use crate::capture::Capture;

/// How long a token lives unless told otherwise: for a page to load and connect.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_secs(60);

/// The longest that a token may live: one in a browser's history must be dead by the
/// time that somebody finds it there.
pub(crate) const MAX_TTL: Duration = Duration::from_secs(3600);

/// Longest name of a user, in octets, as in certificates.
const MAX_USER: usize = 256;

/// What can be asked of the program around the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Query {
    /// Who is on the LAN.
    ListHosts,
    /// What its listeners have counted.
    ShowServer,
    /// Makes a token.
    CreateToken {
        /// Whom it lets in.
        user: Arc<str>,
        /// How long.
        ttl: Duration,
    },
    /// Reads all files again, and applies what has changed.
    Reload,
    /// Writes the ports as they are into the configuration file.
    Save,
    /// Where what happens can be read.
    Monitor,
    /// Where these frames can be read.
    Capture(Capture),
}

/// A token for `user` that lives for `ttl` seconds.
pub(crate) fn create_token(user: &str, ttl: Option<i64>) -> Result<Query, Refusal> {
    if user.is_empty() || user.len() > MAX_USER || user.chars().any(char::is_control) {
        let text = format!("Invalid user: {user:?}; give a name of up to {MAX_USER} octets");
        return Err(Refusal::value(text));
    }
    let ttl = match ttl {
        None => DEFAULT_TTL,
        Some(seconds) => {
            let ttl = u64::try_from(seconds).ok().map(Duration::from_secs);
            ttl.filter(|ttl| !ttl.is_zero() && *ttl <= MAX_TTL).ok_or_else(|| {
                let text = format!("Invalid ttl: {seconds}; give 1 to {}", MAX_TTL.as_secs());
                Refusal::value(text)
            })?
        }
    };
    Ok(Query::CreateToken { user: user.into(), ttl })
}

/// Carries queries out.
pub(crate) trait Answer {
    /// Answers one query.
    ///
    /// # Errors
    /// It is refused, and changed nothing.
    fn answer(&self, query: Query) -> impl Future<Output = Result<Entries, Refusal>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_for_a_minute_or_as_asked_for_up_to_an_hour() {
        let made = |seconds| {
            Ok(Query::CreateToken { user: "u".into(), ttl: Duration::from_secs(seconds) })
        };
        assert_eq!(create_token("u", None), made(60));
        assert_eq!(create_token("u", Some(3600)), made(3600));
        for wrong in [0, -1, 3601, i64::MAX] {
            let error = create_token("u", Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("1 to 3600"), "{error}");
        }
    }
}
