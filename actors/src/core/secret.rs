//! A text that is not shown: a password, or a URL that may hold one; and what of a URL is.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// A text that `Debug` does not show, nor an error of reading it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline))]
pub struct Secret(pub String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde's own error would quote what was given.
        let text = String::deserialize(deserializer);
        text.map(Self).map_err(|_| D::Error::custom("must be a string, in quotes"))
    }
}

/// A text as it may be shown to anybody. A URL has neither user nor password then, nor the
/// values in its query, since tokens stand there: `wss://host/path?token=(secret)`.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    let (authority, more) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (path, query) = match more.split_once('?') {
        Some((path, query)) if !query.is_empty() => (path, query),
        _ => return format!("{scheme}://{host}{more}").into(),
    };
    let hidden = |value: &str| match value.split_once('=') {
        Some((name, _)) => format!("{name}=(secret)"),
        None => "(secret)".to_owned(),
    };
    let query = query.split('&').map(hidden).collect::<Vec<_>>().join("&");
    format!("{scheme}://{host}{path}?{query}").into()
}
