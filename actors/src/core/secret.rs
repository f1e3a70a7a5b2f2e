//! A text that is not shown: a password, or a URL that may hold one.

use std::fmt;

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
