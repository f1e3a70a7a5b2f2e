//! The control API: JSON-RPC 2.0, compatible with etherws 1.3. Turns the body of an
//! HTTP request into commands and their replies into the body of the answer; HTTP,
//! its limits and passwords are the server's. Knows no method by name: the table in
//! `method` does. Nothing that a peer sends may end in a panic.

pub(crate) mod client;
mod discover;
pub(crate) mod entry;
pub(crate) mod method;
pub(crate) mod params;
pub(crate) mod query;
mod wire;

use etherws_actors::control::{Command, Control, Reply};
use jsonrpsee_types::{ErrorCode, ErrorObjectOwned, TwoPointZero};
use serde::Serialize;
use serde_json::Value;

use crate::refusal::Refusal;
use entry::Entries;
use method::Method;
use query::{Answer, Query};

/// Most requests in one batch: each may be answered with the whole FDB, some 5 MB.
const BATCH_REQUESTS: usize = 32;

/// What is asked for: of the switch, or of the program around it.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one a request, and not for long")]
pub(crate) enum Request {
    Switch(Command),
    Program(Query),
    /// The API document.
    Discover,
}

impl From<Command> for Request {
    fn from(command: Command) -> Self {
        Self::Switch(command)
    }
}

/// Carries commands out: the switch, or a test's stand-in.
pub(crate) trait Execute {
    /// Carries one command out, or leaves everything as it was.
    fn execute(&self, command: Command) -> impl Future<Output = Result<Reply, Refusal>>;
}

impl Execute for Control {
    async fn execute(&self, command: Command) -> Result<Reply, Refusal> {
        Ok(Self::execute(self, command).await?)
    }
}

/// Carries out what the body of an HTTP request asks for, in its order, and gives the
/// body of the answer, which is `application/json`. `None`: there were notifications
/// alone, and nothing is to be answered (HTTP 204).
pub(crate) async fn handle(control: &(impl Execute + Answer), body: &[u8]) -> Option<Vec<u8>> {
    // serde_json refuses what is nested deeper than 128.
    match serde_json::from_slice(body) {
        Ok(Value::Array(batch)) => handle_batch(control, batch).await,
        Ok(request) => to_vec(&handle_one(control, request).await?),
        Err(err) => {
            let refusal = Refusal::value(format!("body is no JSON: {err}"));
            to_vec(&Response::new(Value::Null, Err(refusal.with_code(ErrorCode::ParseError))))
        }
    }
}

async fn handle_batch(control: &(impl Execute + Answer), batch: Vec<Value>) -> Option<Vec<u8>> {
    if batch.is_empty() || batch.len() > BATCH_REQUESTS {
        let text = format!("a batch holds 1 to {BATCH_REQUESTS} requests, not {}", batch.len());
        return to_vec(&invalid(Value::Null, &Refusal::value(text)));
    }
    let mut responses = Vec::with_capacity(batch.len());
    for request in batch {
        responses.extend(handle_one(control, request).await);
    }
    if responses.is_empty() { None } else { to_vec(&responses) }
}

/// `None`: a notification, which gets no answer, not even an error.
async fn handle_one(control: &(impl Execute + Answer), mut request: Value) -> Option<Response> {
    let Some(members) = request.as_object_mut() else {
        return Some(invalid(Value::Null, &Refusal::wrong_type("a request is an object")));
    };
    let id = members.remove("id");
    let notification = id.is_none();
    let id = id.unwrap_or_default();

    match members.get("jsonrpc") {
        Some(Value::String(version)) if version == "2.0" => {}
        Some(other) => {
            let text = format!("Invalid JSON-RPC version: {other}; it is \"2.0\"");
            return Some(invalid(id, &Refusal::value(text)));
        }
        None => return Some(invalid(id, &Refusal::key("'jsonrpc' is missing"))),
    }
    let Some(name) = members.get("method") else {
        return Some(invalid(id, &Refusal::key("'method' is missing")));
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
    let name =
        name.as_str().ok_or_else(|| Refusal::attribute(format!("method is no string: {name}")))?;
    Method::find(name)
}

async fn call(
    control: &(impl Execute + Answer),
    method: &Method,
    params: Option<&Value>,
) -> Result<Entries, Refusal> {
    match method.request(params)? {
        Request::Switch(command) => control.execute(command).await.map(Entries::from),
        Request::Program(query) => control.answer(query).await,
        Request::Discover => Ok(Entries::Document(discover::document())),
    }
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
    Result(Output),
    Error(ErrorObjectOwned),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Output {
    Listing { entries: Entries },
    Document(Value),
}

impl Response {
    fn new(id: Value, outcome: Result<Entries, ErrorObjectOwned>) -> Self {
        let outcome = match outcome {
            Ok(Entries::Document(document)) => Outcome::Result(Output::Document(document)),
            Ok(entries) => Outcome::Result(Output::Listing { entries }),
            Err(error) => Outcome::Error(error),
        };
        Self { jsonrpc: TwoPointZero, id, outcome }
    }
}

/// Always `Some`: an answer has nothing in it that JSON cannot say.
fn to_vec(answer: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(answer).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Notes every command and has a port 1 alone.
    #[derive(Default)]
    struct Recorder(RefCell<Vec<String>>);

    impl Execute for Recorder {
        async fn execute(&self, command: Command) -> Result<Reply, Refusal> {
            self.0.borrow_mut().push(format!("{command:?}"));
            match command {
                Command::DelPort { port } | Command::SetPort { port, .. } if port.get() != 1 => {
                    Err(Refusal::no_such_port(port))
                }
                Command::ListInterfaces | Command::SetInterface { .. } => {
                    Ok(Reply::Interfaces(Vec::new()))
                }
                Command::ListFdb
                | Command::AddFdb { .. }
                | Command::DelFdb { .. }
                | Command::FlushFdb { .. } => Ok(Reply::Fdb(Vec::new())),
                _ => Ok(Reply::Ports(Vec::new())),
            }
        }
    }

    impl Answer for Recorder {
        async fn answer(&self, query: Query) -> Result<Entries, Refusal> {
            self.0.borrow_mut().push(format!("{query:?}"));
            Ok(Entries::Servers(Vec::new()))
        }
    }

    fn ask(control: &Recorder, body: &[u8]) -> Option<Value> {
        let answer = actix_rt::System::new().block_on(handle(control, body))?;
        Some(serde_json::from_slice(&answer).expect("an answer is JSON"))
    }

    fn answer(body: &str) -> Value {
        ask(&Recorder::default(), body.as_bytes()).expect("an answer")
    }

    #[test]
    fn result_has_the_form_of_1_3() {
        assert_eq!(
            answer(r#"{"jsonrpc":"2.0","method":"etherws.control.listPort","id":0}"#),
            json!({"jsonrpc": "2.0", "id": 0, "result": {"entries": []}})
        );
    }

    #[test]
    fn every_error_has_code_message_data_and_the_id() {
        for (body, code, message, id) in [
            ("", -32700, "Parse error", Value::Null),
            ("{", -32700, "Parse error", Value::Null),
            ("5", -32600, "Invalid Request", Value::Null),
            ("[]", -32600, "Invalid Request", Value::Null),
            (r#"{"id":7,"method":"x"}"#, -32600, "Invalid Request", json!(7)),
            (r#"{"id":"a","jsonrpc":2.0,"method":"x"}"#, -32600, "Invalid Request", json!("a")),
            (r#"{"id":-1,"jsonrpc":"2.0"}"#, -32600, "Invalid Request", json!(-1)),
            (r#"{"jsonrpc":"1.0","method":"x"}"#, -32600, "Invalid Request", Value::Null),
            (
                r#"{"id":1,"jsonrpc":"2.0","method":"listPort"}"#,
                -32601,
                "Method not found",
                json!(1),
            ),
            (r#"{"id":1,"jsonrpc":"2.0","method":5}"#, -32601, "Method not found", json!(1)),
            (
                r#"{"id":1,"jsonrpc":"2.0","method":"etherws.control.x"}"#,
                -32601,
                "Method not found",
                json!(1),
            ),
            (
                r#"{"id":null,"jsonrpc":"2.0","method":"etherws.control.delPort"}"#,
                -32602,
                "Invalid params",
                Value::Null,
            ),
            (
                r#"{"id":1,"jsonrpc":"2.0","method":"etherws.control.delPort","params":{"port":77}}"#,
                -32602,
                "Invalid params",
                json!(1),
            ),
        ] {
            let answer = answer(body);
            assert_eq!(answer["id"], id, "{body}");
            assert_eq!(answer["error"]["code"], code, "{body}");
            assert_eq!(answer["error"]["message"], message, "{body}");
            let data = answer["error"]["data"].as_str().unwrap_or_default();
            assert!(data.contains("Error: "), "{body}: {data}");
            assert!(answer.get("result").is_none());
        }
    }

    #[test]
    fn notification_is_carried_out_and_not_answered() {
        let control = Recorder::default();
        let body = br#"{"jsonrpc":"2.0","method":"etherws.control.delPort","params":{"port":1}}"#;
        assert_eq!(ask(&control, body), None);
        assert_eq!(control.0.borrow().len(), 1);
        let unknown = br#"{"jsonrpc":"2.0","method":"etherws.control.x"}"#;
        assert_eq!(ask(&control, unknown), None);
    }

    #[test]
    fn batch_is_answered_in_order_without_its_notifications() {
        let control = Recorder::default();
        let body = br#"[
            {"jsonrpc":"2.0","method":"etherws.control.listFdb","id":"a"},
            {"jsonrpc":"2.0","method":"etherws.control.listPort"},
            1,
            {"jsonrpc":"2.0","method":"etherws.control.setPort","params":{"port":2},"id":"b"}]"#;
        let answer = ask(&control, body).expect("an answer");
        assert_eq!(control.0.borrow().len(), 3);
        assert_eq!(answer.as_array().map(Vec::len), Some(3));
        assert_eq!(answer[0], json!({"jsonrpc": "2.0", "id": "a", "result": {"entries": []}}));
        assert_eq!(answer[1]["error"]["code"], -32600);
        assert_eq!((&answer[2]["id"], &answer[2]["error"]["code"]), (&json!("b"), &json!(-32602)));

        let notifications = br#"[{"jsonrpc":"2.0","method":"etherws.control.listPort"}]"#;
        assert_eq!(ask(&control, notifications), None);
    }

    #[test]
    fn oversized_batch_is_refused_whole() {
        let control = Recorder::default();
        let request = r#"{"jsonrpc":"2.0","method":"etherws.control.listFdb","id":1}"#;
        let body = format!("[{}]", vec![request; BATCH_REQUESTS + 1].join(","));
        let answer = ask(&control, body.as_bytes()).expect("an answer");
        assert_eq!(answer["error"]["code"], -32600);
        assert!(control.0.borrow().is_empty());
    }

    #[test]
    fn deep_nesting_is_a_parse_error() {
        assert_eq!(answer(&"[".repeat(100_000))["error"]["code"], -32700);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[0-9a-z./:-]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let names = prop::sample::select(vec![
                "port",
                "shut",
                "type",
                "target",
                "options",
                "user",
                "passwd",
                "address",
                "netmask",
                "mtu",
                "mac",
                "vid",
                "all",
                "loopguard",
                "maxmacs",
                "stormbroadcast",
                "x",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names, inner, 0..6).prop_map(|members| members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_params_get_a_result_or_an_invalid_params(
            method in prop::sample::select(method::METHODS.iter().map(Method::full_name).collect::<Vec<_>>()),
            params in any_json(),
        ) {
            let request = json!({"jsonrpc": "2.0", "id": 1, "params": params, "method": method});
            let answer = answer(&request.to_string());
            prop_assert!(
                answer["result"]["entries"].is_array()
                    || answer["result"]["openrpc"].is_string()
                    || answer["error"]["code"] == -32602,
                "{}", answer
            );
        }

        #[test]
        fn any_body_gets_json_or_nothing(body in prop::collection::vec(any::<u8>(), 0..64)) {
            ask(&Recorder::default(), &body);
        }
    }
}
