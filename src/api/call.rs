//! What a method of the control API is: one struct, its params, that says what it is called,
//! who may call it and what it does. The dispatcher, `ctl` with its tables and help, the API
//! document and the reference are made from these; nothing here knows a method by name.

use std::{collections::HashMap, fmt, future::ready, sync::Arc, time::Duration};

use clap::{ArgMatches, Args, FromArgMatches};
use etherws_actors::{control::Control, kinds::PortSpec, monitor::Event, names, settings::Role};
use futures_util::future::LocalBoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use tokio::sync::Semaphore;

use super::{
    audit::{Audit, audited},
    doctor::Finding,
    params,
    program::{Certificate, Server, Token},
    show_port::PortReport,
    status::Overview,
};
use crate::{capture::Capture, config::Change, hosts::HostInfo, refusal::Refusal, users::Users};

/// What every method's name begins with.
pub(crate) const NAMESPACE: &str = "etherws.control.";

/// The turns of methods with long answers: while one is made, it takes some 25 MB.
static LONG: Semaphore = Semaphore::const_new(1);

/// Entries from which on they are written on a thread for such work: some 5 ms of it.
pub(super) const MANY: usize = 512;

names! {
    /// What a method is about: `ctl`'s help is sorted by it.
    pub(crate) enum Group {
        /// What frames come in and go out by.
        Ports = "Ports",
        /// The system's network interfaces behind ports.
        Interfaces = "Interfaces",
        /// The forwarding database, and who is on the LAN.
        Addresses = "Addresses",
        /// Who comes in by WebSocket.
        Tunnels = "Tunnels",
        /// Who may come in, and who has been invited.
        Users = "Users",
        /// The program itself.
        Operation = "Operation",
        /// What passes the switch.
        Traffic = "See traffic",
    }
}

/// A method: its params, each with its comment. The first paragraph of the struct's own
/// comment is what `ctl`'s help says, all of it what the API document says.
pub(crate) trait Call:
    Args + FromArgMatches + Serialize + DeserializeOwned + JsonSchema + 'static
{
    /// Name behind [`NAMESPACE`].
    const NAME: &'static str;
    /// What else `ctl` calls it.
    const ALIASES: &'static [&'static str] = &[];
    /// What it is about.
    const GROUP: Group;
    /// Who may call it.
    const ROLE: Role;
    /// Whether it is to be noted who has called it.
    const AUDITED: bool = !matches!(Self::ROLE, Role::Read);
    /// Whether its answer may be a list of thousands: of those, one is made at a time.
    const LONG: bool = false;
    /// What its answer is a list of.
    type Entry: Entry;

    /// Carries it out, or leaves everything as it was.
    fn run(self, program: Program<'_>) -> impl Future<Output = Result<Vec<Self::Entry>, Refusal>>;

    /// What it is about to change as it is now, for the audit.
    fn subject(&self, _program: Program<'_>) -> impl Future<Output = Option<String>> {
        ready(None)
    }

    /// Whether its entries are gone afterwards.
    const REMOVES: bool = false;

    /// What the audit says of an entry; never a secret.
    fn told(entry: &Self::Entry) -> String {
        entry
            .rows()
            .into_iter()
            .flatten()
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Refuses what no switch would take, before one is asked.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Its command of `ctl`, which `command` already has name and help of.
    fn command(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// An entry of an answer, and its rows in a table.
pub(crate) trait Entry: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// Titles of the table's columns; none, where each row is a sentence of its own.
    const TITLES: &'static [&'static str];
    /// Those of columns that are left out where no row has anything in them.
    const OPTIONAL: &'static [&'static str] = &[];
    /// What a person is told where there are none.
    const NOTHING: Option<&'static str> = None;

    /// Its rows, mostly one.
    fn rows(&self) -> Vec<Vec<String>>;

    /// Titles of the columns that `--long` shows.
    const LONG_TITLES: &'static [&'static str] = Self::TITLES;

    /// Its rows for `--long`.
    fn long_rows(&self) -> Vec<Vec<String>> {
        self.rows()
    }

    /// What stands below its last row.
    fn below(&self) -> Option<String> {
        None
    }

    /// Further tables, which stand below the first.
    fn further(&self) -> Vec<Table> {
        Vec::new()
    }

    /// What a person is told besides.
    fn note(&self) -> Option<String> {
        None
    }
}

/// What methods act on: the switch, and the program around it; and who asks.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) control: &'a Control,
    pub(crate) service: &'a dyn Service,
    pub(crate) caller: &'a Caller,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// User, or account on a Unix socket; `-` where no name is known.
    pub(crate) name: String,
    /// Address and port, or process on a Unix socket.
    pub(crate) from: String,
    /// What may be asked; `None`: nothing.
    pub(crate) role: Option<Role>,
}

impl Caller {
    /// Refuses what is for `role`, which this one has not.
    pub(crate) fn check(&self, role: Role, what: &str) -> Result<(), Refusal> {
        if self.role >= Some(role) { Ok(()) } else { Err(self.denial(role, what)) }
    }

    /// That `what` is for `role`, which this one has not.
    pub(super) fn denial(&self, role: Role, what: &str) -> Refusal {
        let own = match self.role {
            Some(own) => format!("{} has the role {}", self.name, own.name()),
            None => format!("{} has no role here", self.name),
        };
        let text =
            format!("{what} is for the role {}, and {own}; see [control.roles]", role.name());
        Refusal::permission(text)
    }
}

/// The program around the switch, as methods see it.
pub(crate) trait Service {
    /// Notes what control was asked to change.
    fn audit(&self, audit: &Audit<'_>);
    /// Who is on the LAN.
    fn hosts(&self) -> LocalBoxFuture<'_, Result<Vec<HostInfo>, Refusal>>;
    /// Looks for what keeps a port from working; with its options, if it was added by control.
    fn examine(&self, port: PortReport, spec: Option<PortSpec>)
    -> LocalBoxFuture<'_, Vec<Finding>>;
    /// The program in short, without its ports.
    fn overview(&self) -> Overview;
    /// The last events, the oldest first.
    fn recent_events(&self) -> Vec<Arc<Event>>;
    /// Ends the program, once the answer is on its way.
    fn stop(&self);
    /// What its listeners have counted.
    fn servers(&self) -> Vec<Server>;
    /// Certificates that the program has, that which ends first first.
    fn certificates(&self) -> Vec<Certificate>;
    /// Makes a token.
    fn create_token(&self, user: &str, ttl: Duration) -> Result<Token, Refusal>;
    /// The users of the hub.
    ///
    /// # Errors
    /// It is none.
    fn users(&self) -> Result<Arc<Users>, Refusal>;
    /// Those who have a password for the tunnel.
    fn password_users(&self) -> Vec<String>;
    /// Names that have a role in control.
    fn role_names(&self) -> Vec<String>;
    /// How many sessions each user has who has any.
    fn sessions(&self) -> HashMap<Arc<str>, usize>;
    /// Ends the sessions of the user.
    fn end_sessions(&self, user: &str);
    /// Reads all files again, and applies what has changed.
    fn reload(&self) -> LocalBoxFuture<'_, Result<Vec<Change>, Refusal>>;
    /// Writes the ports as they are into the configuration file.
    fn save(&self) -> LocalBoxFuture<'_, Result<Vec<Change>, Refusal>>;
    /// Path of the stream of events.
    fn events(&self) -> String;
    /// Path and query of a capture, which is possible.
    fn capture<'a>(&'a self, what: &'a Capture) -> LocalBoxFuture<'a, Result<String, Refusal>>;
}

/// What will become of a call: its result.
type Outcome<'a> = LocalBoxFuture<'a, Result<Box<RawValue>, Refusal>>;

/// A type's schema.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

// `result` of every method but one; as a doc comment it would stand in each of them.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
struct Listing<T> {
    entries: Vec<T>,
}

/// A method without its types: what the tables of methods are made of.
pub(crate) struct Method {
    /// Name behind [`NAMESPACE`], or one that begins with `rpc.`.
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) group: Group,
    pub(crate) role: Role,
    pub(crate) audited: bool,
    /// What its params are, an object.
    pub(super) params: SchemaOf,
    /// What `result` is.
    pub(super) result: SchemaOf,
    pub(super) run: for<'a> fn(Option<&'a Value>, Program<'a>) -> Outcome<'a>,
    pub(super) check: fn(&Value) -> Result<(), Refusal>,
    #[cfg_attr(not(any(test, fuzzing)), expect(dead_code, reason = "tests look at it"))]
    pub(super) reread: fn(Option<&Value>) -> Result<Value, Refusal>,
    pub(super) command: fn(clap::Command) -> clap::Command,
    pub(super) given: fn(&ArgMatches) -> Result<Value, clap::Error>,
    pub(super) read: fn(Value, bool) -> serde_json::Result<Answer>,
}

impl Method {
    pub(super) const fn of<C: Call>() -> Self {
        Self {
            name: C::NAME,
            aliases: C::ALIASES,
            group: C::GROUP,
            role: C::ROLE,
            audited: C::AUDITED,
            params: C::json_schema,
            result: SchemaGenerator::subschema_for::<Listing<C::Entry>>,
            run: |params, program| {
                Box::pin(async move {
                    let call = typed::<C>(params)?;
                    let _turn = if C::LONG { LONG.acquire().await.ok() } else { None };
                    let entries = if C::AUDITED {
                        audited(call, program).await?
                    } else {
                        call.run(program).await?
                    };
                    written(entries).await
                })
            },
            check: |params| typed::<C>(Some(params))?.check(),
            reread: |params| Ok(encode(&typed::<C>(params)?)),
            command: C::command,
            given: |matches| C::from_arg_matches(matches).map(|call| encode(&call)),
            read: read::<C::Entry>,
        }
    }

    /// Reads a result.
    #[cfg(test)]
    pub(crate) fn read(&self, result: Value) -> serde_json::Result<Answer> {
        (self.read)(result, false)
    }

    /// Its comment. One line, as the API document has it.
    pub(crate) fn doc(&self) -> String {
        let schema = (self.params)(&mut SchemaGenerator::default());
        let doc = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Params as the method reads them: nothing that it does not know.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn reread(&self, params: Option<&Value>) -> Result<Value, Refusal> {
        (self.reread)(params)
    }

    /// Name on the wire.
    pub(crate) fn full_name(&self) -> String {
        format!("{}{}", self.namespace(), self.name)
    }

    /// Names that begin with `rpc.` are the protocol's own (JSON-RPC 2.0, 4.3).
    pub(super) fn namespace(&self) -> &'static str {
        if self.name.starts_with("rpc.") { "" } else { NAMESPACE }
    }

    /// Name of its command of `ctl`: `listif` for `listInterface`.
    pub(crate) fn command_name(&self) -> String {
        let name = self.name.strip_prefix("rpc.").unwrap_or(self.name);
        name.to_lowercase().replace("interface", "if")
    }

    /// Its command of `ctl`; `name` is its [`command_name`](Self::command_name).
    pub(crate) fn command(&self, name: &'static str) -> clap::Command {
        let command = clap::Command::new(name).visible_aliases(self.aliases);
        // The rest of the comment is about the wire.
        (self.command)(command).long_about(None::<&str>)
    }

    /// What a command line has asked of it.
    pub(crate) fn given(&'static self, matches: &ArgMatches) -> Result<Request, clap::Error> {
        let long = matches.try_get_one(LONG_OPTION).ok().flatten().copied().unwrap_or(false);
        Ok(Request { method: self, params: (self.given)(matches)?, long })
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A method and its params, to be asked of a switch.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static Method,
    /// An object.
    pub(super) params: Value,
    /// Whether the long form of the table is wanted.
    pub(super) long: bool,
}

impl fmt::Debug for Request {
    /// Without the params: there may be a password in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method.name).finish_non_exhaustive()
    }
}

impl Request {
    /// As the method's own type, if it asks for that.
    pub(crate) fn typed<C: Call>(&self) -> Option<C> {
        (self.method.name == C::NAME).then(|| typed(Some(&self.params)).ok())?
    }

    /// Refuses what no switch would take.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        (self.method.check)(&self.params)
    }

    /// The params to send: none if there is nothing in them.
    pub(crate) fn params(&self) -> Option<&Value> {
        Some(&self.params).filter(|params| params.as_object().is_none_or(|all| !all.is_empty()))
    }
}

impl<C: Call> From<&C> for Request {
    fn from(call: &C) -> Self {
        let find = || super::METHODS.iter().find(|method| method.name == C::NAME);
        let method = find().expect("a method that is called is in the list; a test calls each");
        Self { method, params: encode(call), long: false }
    }
}

/// An answer as it is shown.
pub(crate) struct Answer {
    /// `entries` as they came; of `rpc.discover` the document.
    pub(crate) json: Value,
    /// None for what is no list.
    pub(crate) tables: Vec<Table>,
}

/// Entries as rows.
pub(crate) struct Table {
    pub(crate) titles: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    /// What stands below the row at the same place.
    pub(crate) below: Vec<Option<String>>,
    pub(crate) notes: Vec<String>,
}

impl Table {
    fn leave_out_if_empty(&mut self, title: &str) {
        let column = self.titles.iter().position(|one| *one == title);
        let Some(at) = column.filter(|&at| self.rows.iter().all(|row| row[at].is_empty())) else {
            return;
        };
        self.titles.remove(at);
        self.rows.iter_mut().for_each(|row| drop(row.remove(at)));
    }
}

/// The entries of a result.
pub(super) fn entries<E: Entry>(result: Value) -> serde_json::Result<Vec<E>> {
    serde_json::from_value(result).map(|list: Listing<E>| list.entries)
}

fn read<E: Entry>(mut result: Value, long: bool) -> serde_json::Result<Answer> {
    let json = result.get("entries").cloned().unwrap_or_default();
    let entries: Vec<E> = entries(result.take())?;
    let further = entries.iter().flat_map(E::further);
    Ok(Answer { json, tables: [table_of(&entries, long)].into_iter().chain(further).collect() })
}

/// Entries in a table.
pub(super) fn table_of<E: Entry>(entries: &[E], long: bool) -> Table {
    let titles = if long { E::LONG_TITLES } else { E::TITLES };
    let mut table = Table {
        titles: titles.to_vec(),
        rows: Vec::new(),
        below: Vec::new(),
        notes: match entries {
            [] => E::NOTHING.into_iter().map(str::to_owned).collect(),
            some => some.iter().filter_map(E::note).collect(),
        },
    };
    for entry in entries {
        table.rows.extend(if long { entry.long_rows() } else { entry.rows() });
        table.below.resize(table.rows.len(), None);
        if let Some(last) = table.below.last_mut() {
            *last = entry.below();
        }
    }
    E::OPTIONAL.iter().for_each(|title| table.leave_out_if_empty(title));
    table
}

/// Id of the option that asks for the long form of a table.
const LONG_OPTION: &str = "long";

/// `command` with the option for the long form of its table.
pub(super) fn with_long(command: clap::Command, help: &'static str) -> clap::Command {
    command.arg(
        clap::Arg::new(LONG_OPTION)
            .short('l')
            .long("long")
            .help(help)
            .num_args(0)
            .action(clap::ArgAction::SetTrue),
    )
}

/// Octets of params at most, with eight for each value: errors show what is wrong with them,
/// and this thread has frames to forward.
const MAX_PARAMS: usize = 64 * 1024;

pub(super) fn size(value: &Value) -> usize {
    8 + match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(name, one)| name.len() + size(one)).sum(),
        _ => 0,
    }
}

/// Refuses params that are too long for any method.
pub(super) fn check_size(params: Option<&Value>) -> Result<(), Refusal> {
    if params.map_or(0, size) <= MAX_PARAMS {
        return Ok(());
    }
    let limit = MAX_PARAMS / 1024;
    let text = format!("params are longer than {limit} KiB; give fewer or shorter ones");
    Err(Refusal::value(text))
}

/// A value as an error shows it.
pub(super) fn brief(value: &Value) -> String {
    const SHORT: usize = 64;
    if size(value) <= SHORT { value.to_string() } else { "what is too long to show".to_owned() }
}

/// Params in the method's own type.
pub(super) fn typed<C: Call>(params: Option<&Value>) -> Result<C, Refusal> {
    check_size(params)?;
    let params = params::lenient(C::json_schema, params.unwrap_or(&Value::Null))?;
    serde_json::from_value(params).map_err(|error| Refusal::read(&error.to_string()))
}

/// As JSON: there is nothing in params that it cannot say.
pub(super) fn encode(params: &impl Serialize) -> Value {
    serde_json::to_value(params).unwrap_or_default()
}

/// A result as it goes out. Many entries are written elsewhere: this thread has frames to
/// forward.
async fn written<E: Entry>(entries: Vec<E>) -> Result<Box<RawValue>, Refusal> {
    let many = entries.len() > MANY;
    let write = move || to_raw_value(&Listing { entries });
    let written = if many { apart(write).await? } else { write() };
    written.map_err(|error| Refusal::runtime(error.to_string()))
}

/// Does work of which one is done at a time, on a thread where no frame waits for it.
pub(crate) async fn one_at_a_time<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let _turn = LONG.acquire().await.ok();
    apart(work).await
}

/// Does long work on a thread where no frame waits for it.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let lost = |_| Refusal::runtime("the program is about to end");
    tokio::task::spawn_blocking(work).await.map_err(lost)
}
