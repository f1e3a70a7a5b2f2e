//! What is noted of calls that change something, for the log and the events: who, what, and
//! how it was before and after; without secrets, and no longer than a line.

use etherws_actors::{kinds::kinds, secret::shown};
use serde_json::{Map, Value};

use super::call::{Call, Caller, Program, encode, size, typed};
use crate::refusal::Refusal;

/// What control was asked to change.
#[derive(Debug)]
pub(crate) struct Audit<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) method: &'a str,
    /// Without secrets.
    pub(crate) params: String,
    pub(crate) before: String,
    pub(crate) after: String,
    /// `ok`, or why it was refused.
    pub(crate) outcome: String,
    /// Whether the caller's role did not allow it.
    pub(crate) denied: bool,
}

/// Carries out what is noted, and notes it.
pub(super) async fn audited<C: Call>(
    call: C,
    program: Program<'_>,
) -> Result<Vec<C::Entry>, Refusal> {
    let params = encode(&call);
    let mut before = call.subject(program).await;
    let outcome = call.run(program).await;
    let mut after = match (&before, typed::<C>(Some(&params))) {
        (Some(_), Ok(again)) => again.subject(program).await,
        _ => None,
    };
    if let (None, Ok(entries)) = (&after, &outcome) {
        let told = match &entries[..] {
            few if few.len() <= 3 => few.iter().map(C::told).collect::<Vec<_>>().join("; "),
            many => format!("{} entries", many.len()),
        };
        *(if C::REMOVES { &mut before } else { &mut after }) = Some(told);
    }
    program.service.audit(&Audit {
        caller: program.caller,
        method: C::NAME,
        params: noted(&params),
        before: before.unwrap_or_default(),
        after: after.unwrap_or_default(),
        outcome: outcome
            .as_ref()
            .map_or_else(|refusal| refusal.text().to_owned(), |_| "ok".to_owned()),
        denied: false,
    });
    outcome
}

/// Octets of params that are noted, with eight for each value: a line of a log.
const MAX_NOTED: usize = 2048;

/// Params as they are noted of a call, which may be one that is refused.
pub(super) fn noted(params: &Value) -> String {
    if size(params) > MAX_NOTED {
        return format!("(longer than {MAX_NOTED} octets)");
    }
    without_secrets(params.clone()).to_string()
}

/// Params without what is secret in them.
pub(super) fn without_secrets(params: Value) -> Value {
    let is_secret = |name: &str| kinds().iter().any(|kind| kind.secrets.contains(&name));
    match params {
        Value::Object(members) => {
            let noted = members.into_iter().map(|(name, value)| {
                let value = match value {
                    Value::Null => Value::Null,
                    _ if is_secret(&name) => Value::from("(secret)"),
                    // It may be written without a scheme.
                    Value::String(proxy)
                        if name == "proxy" && proxy.contains('@') && !proxy.contains("://") =>
                    {
                        shown(&format!("http://{proxy}")).into()
                    }
                    // What stands in one is mostly the key of some service.
                    Value::Array(headers) if name == "header" => {
                        headers.iter().map(without_value).collect()
                    }
                    other => without_secrets(other),
                };
                (name, value)
            });
            noted.collect::<Map<_, _>>().into()
        }
        Value::Array(list) => list.into_iter().map(without_secrets).collect(),
        Value::String(text) => shown(&text).into(),
        other => other,
    }
}

/// The name of a header.
fn without_value(header: &Value) -> String {
    let name = header.as_str().and_then(|text| text.split_once(':'));
    name.map_or_else(|| "(secret)".to_owned(), |(name, _)| format!("{name}: (secret)"))
}
