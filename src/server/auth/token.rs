//! Tokens: a name that control vouches for, once and for a short time, so that a page
//! in a browser, which cannot set headers, can open a tunnel by a URL.
//!
//! In the table time is an argument. A token itself is never kept, only its digest, and is
//! never logged.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Authenticator, Deciding, Decision, Identity};
use crate::{
    api::program::MAX_TTL,
    server::{
        refusal::Refusal,
        request::Request,
        upgrade::{self, Handshake},
    },
};

/// Tokens that may wait to be used: a thousand pages that load at once, 100 KiB.
const MAX_TOKENS: usize = 1024;

/// Octets of a token: nobody guesses 256 bits.
const TOKEN_OCTETS: usize = 32;

/// The tokens that were made and not used yet.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<[u8; 32], Entry>>);

#[derive(Debug)]
struct Entry {
    user: Arc<str>,
    expires: Instant,
}

/// A token cannot be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoToken {
    /// As many as there may be wait to be used.
    TooMany,
    /// The system gives no random numbers.
    NoRandom,
}

impl std::fmt::Display for NoToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany => {
                write!(f, "{MAX_TOKENS} tokens are waiting to be used; wait until some expire")
            }
            Self::NoRandom => f.write_str("the system provides no random numbers; try again"),
        }
    }
}

impl std::error::Error for NoToken {}

impl Tokens {
    /// Makes a token for `user` that lives for `ttl`: letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// See [`NoToken`].
    pub(crate) fn create(
        &self,
        user: Arc<str>,
        ttl: Duration,
        now: Instant,
    ) -> Result<String, NoToken> {
        let mut octets = [0; TOKEN_OCTETS];
        rand::fill(&mut octets).map_err(|_| NoToken::NoRandom)?;
        let token = URL_SAFE_NO_PAD.encode(octets);
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS {
            tokens.retain(|_, token| token.expires > now);
        }
        if tokens.len() >= MAX_TOKENS {
            return Err(NoToken::TooMany);
        }
        tokens.insert(key(&token), Entry { user, expires: now + ttl.min(MAX_TTL) });
        Ok(token)
    }

    /// Whom `token` is for. It is used up.
    pub(crate) fn redeem(&self, token: &str, now: Instant) -> Option<Arc<str>> {
        // By its digest: how long the look-up takes says nothing about a token.
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(token))?;
        (found.expires > now).then_some(found.user)
    }
}

fn key(token: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    key
}

/// A token in the query of a tunnel's URL, in place of a password.
#[derive(Debug)]
pub(super) struct Token {
    tokens: Arc<Tokens>,
    handshake: Arc<Handshake>,
}

impl Token {
    /// Of `tokens`, for handshakes by these rules: nothing but a tunnel uses one up.
    pub(super) fn new(tokens: &Arc<Tokens>, handshake: &Arc<Handshake>) -> Self {
        Self { tokens: Arc::clone(tokens), handshake: Arc::clone(handshake) }
    }
}

impl Authenticator for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Deciding<'a> {
        Box::pin(async {
            let token = in_query(request.query).filter(|_| upgrade::asks(&request.headers));
            let Some(token) = token else { return Decision::NotTried };
            if let Err(refusal) = self.handshake.check(request) {
                return Decision::Refuse(refusal);
            }
            match self.tokens.redeem(token, Instant::now()) {
                Some(user) => Decision::Pass(Identity::new(self.name(), user)),
                None => Decision::Refuse(Refusal::unauthorized()),
            }
        })
    }
}

/// The token in a URL's query.
fn in_query(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|member| member.strip_prefix("token="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::program::DEFAULT_TTL;

    fn create(tokens: &Tokens, now: Instant) -> String {
        tokens.create("alice".into(), DEFAULT_TTL, now).unwrap()
    }

    #[test]
    fn a_token_is_good_once() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let [one, other] = [(); 2].map(|()| create(&tokens, now));
        assert!(one != other && one.len() == 43, "{one}");
        assert_eq!(tokens.redeem(&one, now).as_deref(), Some("alice"));
        assert_eq!(tokens.redeem(&one, now), None);
        assert_eq!(tokens.redeem(&other[1..], now), None);
        assert_eq!(tokens.redeem("", now), None);
        assert_eq!(tokens.redeem(&other, now).as_deref(), Some("alice"));
    }

    #[test]
    fn a_token_is_good_for_its_time_and_an_hour_at_most() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let late = create(&tokens, now);
        assert_eq!(tokens.redeem(&late, now + DEFAULT_TTL), None);
        let late = tokens.create("alice".into(), Duration::MAX, now).unwrap();
        assert_eq!(tokens.redeem(&late, now + MAX_TTL), None);
    }

    #[test]
    fn the_table_is_bounded_and_expired_tokens_make_room() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        for _ in 0..MAX_TOKENS {
            create(&tokens, now);
        }
        assert_eq!(tokens.create("bob".into(), DEFAULT_TTL, now), Err(NoToken::TooMany));
        create(&tokens, now + DEFAULT_TTL);
    }

    #[test]
    fn a_token_is_found_in_a_query() {
        assert_eq!(in_query(Some("token=abc")), Some("abc"));
        assert_eq!(in_query(Some("a=1&token=abc&b=2")), Some("abc"));
        assert_eq!(in_query(Some("token=")), Some(""));
        assert_eq!(in_query(Some("atoken=abc")), None);
        assert_eq!(in_query(None), None);
    }
}
