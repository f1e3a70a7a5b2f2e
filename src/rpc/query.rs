//! Methods that ask the program around the switch: who came to its listeners. The same
//! form as the switch's own methods, in a table of their own.

use super::{
    Refusal,
    entry::Entries,
    method::{Method, NAMESPACE},
};

/// What can be asked of the program around the switch.
#[derive(Debug, Clone)]
pub(crate) enum Query {
    /// What its listeners have counted.
    ShowServer,
}

/// All methods of this kind.
pub(crate) const QUERIES: &[Method<Query>] = &[Method {
    name: "showServer",
    doc: "What each listener has counted: connections, sessions, and whom it turned away.",
    command: |_| Ok(Query::ShowServer),
    params: |query| match query {
        Query::ShowServer => Some(serde_json::Value::Null),
    },
    entries: |entries| serde_json::from_value(entries).map(Entries::Servers),
}];

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
    fn answer(&self, query: Query) -> Result<Entries, Refusal>;
}
