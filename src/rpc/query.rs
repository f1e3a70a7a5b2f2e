//! Methods that ask the program around the switch: who came to its listeners, and whom
//! they shall let in. The same form as the switch's own methods, in a table of their own.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Refusal,
    entry::Entries,
    method::{Method, NAMESPACE},
    params::{integer, text},
};
use crate::server::tokens::{DEFAULT_TTL, MAX_TTL};

/// Longest name of a user, in octets, as in certificates.
const MAX_USER: usize = 256;

/// What can be asked of the program around the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Query {
    /// What its listeners have counted.
    ShowServer,
    /// Makes a token.
    CreateToken {
        /// Whom it lets in.
        user: Arc<str>,
        /// How long.
        ttl: Duration,
    },
    /// Where what happens can be read.
    Monitor,
}

/// All methods of this kind.
pub(crate) const QUERIES: &[Method<Query>] = &[
    Method {
        name: "showServer",
        doc: "What each listener has counted: connections, sessions, and whom it turned away.",
        command: |_| Ok(Query::ShowServer),
        params: |query| matches!(query, Query::ShowServer).then_some(Value::Null),
        entries: |entries| serde_json::from_value(entries).map(Entries::Servers),
    },
    Method {
        name: "createToken",
        doc: "Makes a token that opens one tunnel, soon: `?token=...` in its URL. \
              Entries: the token.",
        command: |params| {
            let user = text("user", params.require("user")?)?;
            let ttl = params.get("ttl").map(|ttl| integer("ttl", ttl)).transpose()?;
            create_token(user, ttl)
        },
        params: |query| match query {
            Query::CreateToken { user, ttl } => Some(json!({"user": **user, "ttl": ttl.as_secs()})),
            _ => None,
        },
        entries: |entries| serde_json::from_value(entries).map(Entries::Tokens),
    },
    Method {
        name: "monitor",
        doc: "What happens, as it happens: a stream of events. Entries: where to GET it.",
        command: |_| Ok(Query::Monitor),
        params: |query| matches!(query, Query::Monitor).then_some(Value::Null),
        entries: streams,
    },
];

fn streams(entries: Value) -> serde_json::Result<Entries> {
    serde_json::from_value(entries).map(Entries::Streams)
}

/// A token for `user` that lives for `ttl` seconds.
pub(crate) fn create_token(user: &str, ttl: Option<i64>) -> Result<Query, Refusal> {
    if user.is_empty() || user.len() > MAX_USER || user.chars().any(char::is_control) {
        let text = format!("Invalid user: {user:?}; give a name of up to {MAX_USER} octets");
        return Err(Refusal::new("ValueError", text));
    }
    let ttl = match ttl {
        None => DEFAULT_TTL,
        Some(seconds) => {
            let ttl = u64::try_from(seconds).ok().map(Duration::from_secs);
            ttl.filter(|ttl| !ttl.is_zero() && *ttl <= MAX_TTL).ok_or_else(|| {
                let text = format!("Invalid ttl: {seconds}; give 1 to {}", MAX_TTL.as_secs());
                Refusal::new("ValueError", text)
            })?
        }
    };
    Ok(Query::CreateToken { user: user.into(), ttl })
}

/// The method of a full name, if it is one of these.
pub(super) fn find(full_name: &str) -> Option<&'static Method<Query>> {
    let name = full_name.strip_prefix(NAMESPACE)?;
    QUERIES.iter().find(|method| method.name == name)
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

    #[test]
    fn every_query_survives_the_wire() {
        for query in [Query::ShowServer, Query::Monitor, create_token("jörg", Some(7)).unwrap()] {
            let (method, params) = Method::of(QUERIES, &query).unwrap();
            assert_eq!(method.command(params.as_ref()), Ok(query));
        }
    }
}
