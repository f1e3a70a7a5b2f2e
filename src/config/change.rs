//! What reading or writing the configuration has done, thing by thing: what `reload` and
//! `save` answer. Values; what they say is done elsewhere.

use etherws_actors::fdb::PortNumber;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of one thing when the configuration was read again or written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Change {
    /// What was done.
    pub(crate) action: Action,
    /// A port by type and target, a listener by its address, or a key of the file.
    pub(crate) item: String,
    /// Number of the port, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u32>,
    /// The reason, if it is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Change {
    pub(crate) fn new(action: Action, item: impl Into<String>) -> Self {
        Self { action, item: item.into(), port: None, note: None }
    }

    pub(crate) fn port(self, port: PortNumber) -> Self {
        Self { port: Some(port.get()), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

/// What was done to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// It is new.
    Added,
    /// It goes on as something else.
    Changed,
    /// It is gone.
    Deleted,
    /// It should change and could not; the note says why.
    Kept,
}

impl Action {
    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Kept => "kept",
        }
    }
}
