//! The control API: JSON-RPC 2.0, compatible with etherws 1.3. Turns the body of an
//! HTTP request into calls of methods and what they give into the body of the answer; HTTP,
//! its limits and passwords are the server's. Nothing that a peer sends may end in a panic.
//!
//! A method is one struct (`call`), in the file of its family, and a line in [`METHODS`].

mod add_port;
mod after;
mod answer;
pub(crate) mod audit;
mod binding;
pub(crate) mod call;
mod capture;
pub(crate) mod client;
mod discover;
pub(crate) mod doctor;
pub(crate) mod events;
mod fdb;
mod hosts;
mod interface;
mod mdb;
mod mirror;
mod neighbor;
mod params;
mod ping;
mod port;
mod profile;
pub(crate) mod program;
mod set_port;
mod show_port;
pub(crate) mod status;
mod stp;
pub(crate) mod users;
mod vlan;

use std::sync::LazyLock;

use actix_web::web::Bytes;
use etherws_actors::settings::Role;
use jsonrpsee_types::{ErrorCode, ErrorObjectOwned};
use serde_json::{Value, value::RawValue};

pub(crate) use self::{
    add_port::AddPort,
    binding::ListBinding,
    capture::{CaptureFrames, Filter},
    doctor::Doctor,
    events::Events,
    fdb::{AddFdb, DelFdb, FlushFdb, ListFdb},
    hosts::ListHosts,
    interface::{Interface, ListInterface, SetInterface},
    mdb::ListMdb,
    mirror::{DelMirror, ListMirror},
    neighbor::ListNeighbor,
    ping::Ping,
    port::{DelPort, ListPort, Port, PortRef},
    profile::ListProfile,
    program::{CreateToken, ListCertificate, Monitor, Reload, Save, ShowServer, Stream},
    set_port::SetPort,
    show_port::{Limit, PortReport, ShowPort},
    status::{Status, Stop},
    stp::{ShowStp, Tree},
    users::{ApproveUser, CreateInvitation, ListUser, RenameUser, RevokeUser},
    vlan::ListVlan,
};
use crate::{capture::mirror::Mirror, refusal::Refusal};
pub(crate) use answer::Answer;
use audit::Audit;
pub(crate) use call::one_at_a_time;
use call::{Method, NAMESPACE, Program};

/// Most requests in one batch: more than a page or a script has at once.
const BATCH_REQUESTS: usize = 32;

/// Octets of a request from which on it is read on a thread for such work: a millisecond.
const LONG_REQUEST: usize = 64 * 1024;

/// All methods.
pub(crate) const METHODS: &[Method] = &[
    Method::of::<ListPort>(),
    Method::of::<AddPort>(),
    Method::of::<SetPort>(),
    Method::of::<ShowPort>(),
    Method::of::<ListProfile>(),
    Method::of::<DelPort>(),
    Method::of::<Doctor>(),
    Method::of::<SetInterface>(),
    Method::of::<ListInterface>(),
    Method::of::<ListFdb>(),
    Method::of::<AddFdb>(),
    Method::of::<DelFdb>(),
    Method::of::<FlushFdb>(),
    Method::of::<ListBinding>(),
    Method::of::<ListMdb>(),
    Method::of::<ListHosts>(),
    Method::of::<ListNeighbor>(),
    Method::of::<ListVlan>(),
    Method::of::<ShowStp>(),
    Method::of::<ListUser>(),
    Method::of::<CreateInvitation>(),
    Method::of::<ApproveUser>(),
    Method::of::<RevokeUser>(),
    Method::of::<RenameUser>(),
    Method::of::<ShowServer>(),
    Method::of::<ListCertificate>(),
    Method::of::<CreateToken>(),
    Method::of::<Status>(),
    Method::of::<Reload>(),
    Method::of::<Save>(),
    Method::of::<Stop>(),
    Method::of::<Monitor>(),
    Method::of::<Events>(),
    Method::of::<Ping>(),
    Method::of::<CaptureFrames>(),
    Method::of::<ListMirror>(),
    Method::of::<Mirror>(),
    Method::of::<DelMirror>(),
    discover::DISCOVER,
];

/// The methods with the names of their commands of `ctl`.
pub(crate) fn commands() -> impl Iterator<Item = (&'static str, &'static Method)> {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| METHODS.iter().map(Method::command_name).collect());
    NAMES.iter().map(String::as_str).zip(METHODS)
}

/// Calls methods: of the program, or a test's stand-in.
pub(crate) trait Perform {
    /// Carries one call out, or leaves everything as it was. Gives the result.
    fn perform(
        &self,
        method: &'static Method,
        params: Option<&Value>,
    ) -> impl Future<Output = Result<Box<RawValue>, Refusal>>;
}

impl Perform for Program<'_> {
    async fn perform(
        &self,
        method: &'static Method,
        params: Option<&Value>,
    ) -> Result<Box<RawValue>, Refusal> {
        if let Err(refusal) = self.caller.check(method.role, &method.command_name()) {
            if method.audited {
                self.note_denied(method.name, params.map(audit::noted), &refusal);
            }
            return Err(refusal);
        }
        (method.run)(params, *self).await
    }
}

impl Program<'_> {
    fn note_denied(&self, method: &str, params: Option<String>, refusal: &Refusal) {
        self.service.audit(&Audit {
            caller: self.caller,
            method,
            params: params.unwrap_or_default(),
            before: String::new(),
            after: String::new(),
            outcome: refusal.text().to_owned(),
            denied: true,
        });
    }
}

/// The answer to somebody who may ask nothing: his request need not even be read.
pub(crate) fn deny(program: &Program<'_>) -> Answer {
    let refusal = program.caller.denial(Role::Read, "control");
    program.note_denied("-", None, &refusal);
    let mut answer = Answer::default();
    let error = refusal.with_code(ErrorCode::InvalidRequest);
    Response { id: Value::Null, outcome: Err(error) }.write(&mut answer);
    answer
}

/// Octets of a method's name at most: to look for what it is like takes time by its length.
const MAX_METHOD: usize = 128;

/// Least likeness of a name to one that was meant (Jaro's, as clap takes it).
const LIKENESS: f64 = 0.7;

/// The one of `names` that `name` is most like, if it is one at all.
fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let likeness =
        |known: &&'a str| (strsim::jaro(&name.to_lowercase(), &known.to_lowercase()), *known);
    let best = names.iter().map(likeness).max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(likeness, _)| *likeness > LIKENESS).map(|(_, known)| known)
}

/// The method of a full name.
fn find(name: &Value) -> Result<&'static Method, Refusal> {
    let full_name = name.as_str().ok_or_else(|| {
        Refusal::attribute(format!("method is not a string: {}", call::brief(name)))
    })?;
    if full_name.len() > MAX_METHOD {
        let text = format!("a method's name of {} octets; none is so long", full_name.len());
        return Err(Refusal::attribute(text));
    }
    let is_it = |method: &&Method| full_name.strip_prefix(method.namespace()) == Some(method.name);
    METHODS.iter().find(is_it).ok_or_else(|| {
        let Some(name) = full_name.strip_prefix(NAMESPACE) else {
            let text = format!("Invalid method namespace: {full_name}; it is {NAMESPACE}");
            return Refusal::value(text);
        };
        let names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
        let likely = nearest(name, &names)
            .map_or_else(String::new, |likely| format!("did you mean {likely}? "));
        Refusal::attribute(format!("no method {name}; {likely}there are {}", names.join(", ")))
    })
}

/// Octets of an id that is a string: a UUID has 36.
const MAX_ID: usize = 256;

/// What a request's body asks for. Nothing in it is long: what is too long for anybody was
/// refused, and dropped, where it was read.
enum Asked {
    One(Call),
    Batch(Vec<Call>),
}

/// One call that is asked for, or what is wrong with it.
struct Call {
    id: Value,
    /// Whether it gets no answer, not even an error.
    is_notification: bool,
    wanted: Result<(&'static Method, Option<Value>), ErrorObjectOwned>,
}

impl Asked {
    fn read(body: &[u8]) -> Self {
        // serde_json refuses what is nested deeper than 128.
        match serde_json::from_slice(body) {
            Ok(Value::Array(batch)) if (1..=BATCH_REQUESTS).contains(&batch.len()) => {
                Self::Batch(batch.into_iter().map(Call::read).collect())
            }
            Ok(Value::Array(batch)) => {
                let text =
                    format!("a batch holds 1 to {BATCH_REQUESTS} requests, not {}", batch.len());
                Self::One(Call::invalid(Value::Null, &Refusal::value(text)))
            }
            Ok(request) => Self::One(Call::read(request)),
            Err(err) => {
                let refusal = Refusal::value(format!("body is not valid JSON: {err}"));
                Self::One(Call::wrong(Value::Null, refusal.with_code(ErrorCode::ParseError)))
            }
        }
    }
}

impl Call {
    const fn wrong(id: Value, error: ErrorObjectOwned) -> Self {
        Self { id, is_notification: false, wanted: Err(error) }
    }

    fn invalid(id: Value, refusal: &Refusal) -> Self {
        Self::wrong(id, refusal.with_code(ErrorCode::InvalidRequest))
    }

    fn read(mut request: Value) -> Self {
        let Some(members) = request.as_object_mut() else {
            return Self::invalid(Value::Null, &Refusal::wrong_type("a request is an object"));
        };
        let id = members.remove("id");
        let is_notification = id.is_none();
        let id = match id.unwrap_or_default() {
            Value::String(id) if id.len() > MAX_ID => {
                let text = format!("an id of {} octets; give at most {MAX_ID}", id.len());
                return Self::invalid(Value::Null, &Refusal::value(text));
            }
            id @ (Value::String(_) | Value::Number(_) | Value::Null) => id,
            _ => {
                let text = "id must be a string, a number or null";
                return Self::invalid(Value::Null, &Refusal::wrong_type(text));
            }
        };
        match members.get("jsonrpc") {
            Some(Value::String(version)) if version == "2.0" => {}
            Some(other) => {
                let other = call::brief(other);
                let text = format!("Invalid JSON-RPC version: {other}; it is \"2.0\"");
                return Self::invalid(id, &Refusal::value(text));
            }
            None => return Self::invalid(id, &Refusal::key("'jsonrpc' is missing")),
        }
        let Some(name) = members.get("method") else {
            return Self::invalid(id, &Refusal::key("'method' is missing"));
        };
        let found = find(name).map_err(|refusal| refusal.with_code(ErrorCode::MethodNotFound));
        let wanted = found.and_then(|method| {
            let params = members.remove("params");
            let checked = call::check_size(params.as_ref());
            checked.map_err(|refusal| refusal.with_code(ErrorCode::InvalidParams))?;
            Ok((method, params))
        });
        Self { id, is_notification, wanted }
    }

    /// `None`: nobody is to be answered.
    async fn carry_out(self, program: &impl Perform) -> Option<Response> {
        let Self { id, is_notification, wanted } = self;
        let outcome = match wanted {
            Ok((method, params)) => program
                .perform(method, params.as_ref())
                .await
                .map_err(|refusal| refusal.with_code(ErrorCode::InvalidParams)),
            Err(error) => Err(error),
        };
        (!is_notification).then_some(Response { id, outcome })
    }
}

/// Carries out what the body of an HTTP request asks for, in its order, and gives the
/// body of the answer, which is `application/json`. `None`: there were notifications
/// alone, and nothing is to be answered (HTTP 204).
pub(crate) async fn handle(program: &impl Perform, body: Bytes) -> Option<Answer> {
    let mut answer = Answer::default();
    let long = body.len() > LONG_REQUEST;
    let read = move || Asked::read(&body);
    match if long { call::apart(read).await.ok()? } else { read() } {
        Asked::One(call) => {
            if let Some(response) = call.carry_out(program).await {
                response.write(&mut answer);
            }
        }
        Asked::Batch(batch) => {
            for call in batch {
                if let Some(response) = call.carry_out(program).await {
                    answer.push(if answer.len() == 0 { &b"["[..] } else { b"," });
                    response.write(&mut answer);
                }
            }
            if answer.len() > 0 {
                answer.push(&b"]"[..]);
            }
        }
    }
    (answer.len() > 0).then_some(answer)
}

/// What one call came to. The type of jsonrpsee, which knows no negative numbers, would refuse
/// some ids.
struct Response {
    id: Value,
    outcome: Result<Box<RawValue>, ErrorObjectOwned>,
}

impl Response {
    /// Writes it behind what is in `answer`. A result is moved there; one that has no room is
    /// an error.
    fn write(self, answer: &mut Answer) {
        let outcome = self.outcome.and_then(|result| {
            let reserved = answer.reserve(result.get().len());
            reserved.map_err(|refusal| refusal.with_code(ErrorCode::InternalError))?;
            Ok(result)
        });
        answer.push(&b"{\"jsonrpc\":\"2.0\",\"id\":"[..]);
        answer.push_json(&self.id);
        match outcome {
            Ok(result) => {
                answer.push(&b",\"result\":"[..]);
                answer.push(String::from(Box::<str>::from(result)));
            }
            Err(error) => {
                answer.push(&b",\"error\":"[..]);
                answer.push_json(&error);
            }
        }
        answer.push(&b"}"[..]);
    }
}

#[cfg(test)]
mod protocol_tests;
#[cfg(test)]
mod tests;
