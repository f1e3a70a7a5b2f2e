//! The control API: JSON-RPC 2.0, compatible with etherws 1.3. Turns the body of an
//! HTTP request into commands and their replies into the body of the answer; HTTP,
//! its limits and passwords are the server's. Knows no method by name: the table in
//! `method` does. Nothing that a peer sends may end in a panic.

pub(crate) mod client;
pub(crate) mod entry;
pub(crate) mod method;

use std::fmt;

use etherws_actors::control::{Command, Reply};
use jsonrpsee_types::{ErrorCode, ErrorObjectOwned, TwoPointZero};
use serde::Serialize;
use serde_json::Value;

use entry::Entries;
use method::Method;

/// Most requests in one batch: each may be answered with the whole FDB, some 5 MB.
const BATCH_REQUESTS: usize = 32;

/// Carries commands out: the switch, or a test's stand-in.
pub(crate) trait Execute {
    /// Carries one command out, or leaves everything as it was.
    fn execute(&self, command: Command) -> impl Future<Output = Result<Reply, Refusal>>;
}

/// Why a request was not carried out. Shown as `Exception: text`, in the names of
/// Python's exceptions, as in etherws 1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    exception: &'static str,
    text: String,
}

impl Refusal {
    /// `text` names thing, value and way out in one line.
    pub(crate) fn new(exception: &'static str, text: impl Into<String>) -> Self {
        Self { exception, text: text.into() }
    }

    /// The switch has no such port.
    pub(crate) fn no_such_port(port: impl fmt::Display) -> Self {
        Self::new("KeyError", format!("{port}: no such port; listPort shows those there are"))
    }

    /// As the error of a JSON-RPC answer.
    pub(crate) fn with_code(&self, code: ErrorCode) -> ErrorObjectOwned {
        let message = match code {
            // As the specification and 1.3 write it.
            ErrorCode::InvalidRequest => "Invalid Request",
            code => code.message(),
        };
        ErrorObjectOwned::owned(code.code(), message, Some(self.to_string()))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.exception, self.text)
    }
}

/// Carries out what the body of an HTTP request asks for, in its order, and gives the
/// body of the answer, which is `application/json`. `None`: there were notifications
/// alone, and nothing is to be answered (HTTP 204).
pub(crate) async fn handle(control: &impl Execute, body: &[u8]) -> Option<Vec<u8>> {
    // serde_json refuses what is nested deeper than 128.
    match serde_json::from_slice(body) {
        Ok(Value::Array(batch)) => handle_batch(control, batch).await,
        Ok(request) => to_vec(&handle_one(control, request).await?),
        Err(err) => {
            let refusal = Refusal::new("ValueError", format!("body is no JSON: {err}"));
            to_vec(&Response::new(Value::Null, Err(refusal.with_code(ErrorCode::ParseError))))
        }
    }
}

async fn handle_batch(control: &impl Execute, batch: Vec<Value>) -> Option<Vec<u8>> {
    if batch.is_empty() || batch.len() > BATCH_REQUESTS {
        let text = format!("a batch holds 1 to {BATCH_REQUESTS} requests, not {}", batch.len());
        return to_vec(&invalid(Value::Null, &Refusal::new("ValueError", text)));
    }
    let mut responses = Vec::with_capacity(batch.len());
    for request in batch {
        responses.extend(handle_one(control, request).await);
    }
    if responses.is_empty() { None } else { to_vec(&responses) }
}

/// `None`: a notification, which gets no answer, not even an error.
async fn handle_one(control: &impl Execute, mut request: Value) -> Option<Response> {
    let Some(members) = request.as_object_mut() else {
        return Some(invalid(Value::Null, &Refusal::new("TypeError", "a request is an object")));
    };
    let id = members.remove("id");
    let notification = id.is_none();
    let id = id.unwrap_or_default();

    match members.get("jsonrpc") {
        Some(Value::String(version)) if version == "2.0" => {}
        Some(other) => {
            let text = format!("Invalid JSON-RPC version: {other}; it is \"2.0\"");
            return Some(invalid(id, &Refusal::new("ValueError", text)));
        }
        None => return Some(invalid(id, &Refusal::new("KeyError", "'jsonrpc' is missing"))),
    }
    let Some(name) = members.get("method") else {
        return Some(invalid(id, &Refusal::new("KeyError", "'method' is missing")));
    };

    let outcome = match find(name) {
        Ok(method) => call(control, method, members.get("params"))
            .await
            .map_err(|refusal| refusal.with_code(ErrorCode::InvalidParams)),
        Err(refusal) => Err(refusal.with_code(ErrorCode::MethodNotFound)),
    };
    (!notification).then(|| Response::new(id, outcome))
}

fn find(name: &Value) -> Result<&'static Method, Refusal> {
    let name = name
        .as_str()
        .ok_or_else(|| Refusal::new("AttributeError", format!("method is no string: {name}")))?;
    Method::find(name)
}

async fn call(
    control: &impl Execute,
    method: &Method,
    params: Option<&Value>,
) -> Result<Entries, Refusal> {
    let command = method.command(params)?;
    control.execute(command).await.map(Entries::from)
}

fn invalid(id: Value, refusal: &Refusal) -> Response {
    Response::new(id, Err(refusal.with_code(ErrorCode::InvalidRequest)))
}

/// An answer. The id is given back whatever it is, as 1.3 does: the type of
/// jsonrpsee, which knows no negative numbers, would refuse some.
#[derive(Serialize)]
struct Response {
    jsonrpc: TwoPointZero,
    id: Value,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result { entries: Entries },
    Error(ErrorObjectOwned),
}

impl Response {
    fn new(id: Value, outcome: Result<Entries, ErrorObjectOwned>) -> Self {
        let outcome = match outcome {
            Ok(entries) => Outcome::Result { entries },
            Err(error) => Outcome::Error(error),
        };
        Self { jsonrpc: TwoPointZero, id, outcome }
    }
}

/// Always `Some`: an answer has nothing in it that JSON cannot say.
fn to_vec(answer: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(answer).ok()
}
