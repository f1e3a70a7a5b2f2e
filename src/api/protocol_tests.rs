//! JSON-RPC: what comes back for any body.

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::{json, value::to_raw_value};

use super::*;

/// Notes every call and has a port 1 only.
#[derive(Default)]
struct Recorder(RefCell<Vec<String>>);

impl Perform for Recorder {
    async fn perform(
        &self,
        method: &'static Method,
        params: Option<&Value>,
    ) -> Result<Box<RawValue>, Refusal> {
        let params = method.reread(params)?;
        self.0.borrow_mut().push(format!("{} {params}", method.name));
        let port = &params["port"];
        if ["setPort", "delPort"].contains(&method.name) && port.is_i64() && *port != 1 {
            return Err(Refusal::no_such_port(port));
        }
        let empty = if method.name == "rpc.discover" {
            json!({"openrpc": "1"})
        } else {
            json!({"entries": []})
        };
        Ok(to_raw_value(&empty).expect("JSON"))
    }
}

fn ask(control: &Recorder, body: &[u8]) -> Option<Value> {
    let answer = actix_rt::System::new().block_on(handle(control, Bytes::copy_from_slice(body)))?;
    Some(serde_json::from_slice(&answer.to_vec()).expect("an answer is JSON"))
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
        (r#"{"id":1,"jsonrpc":"2.0","method":"listPort"}"#, -32601, "Method not found", json!(1)),
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
fn an_id_is_short_and_a_string_a_number_or_null() {
    let request = |id: &Value| json!({"jsonrpc": "2.0", "id": id, "method": "x"});
    for id in [json!("a".repeat(MAX_ID)), json!(-1), json!(1.5), json!(u64::MAX), Value::Null] {
        assert_eq!(answer(&request(&id).to_string())["id"], id);
    }
    let long = "a".repeat(1 << 20);
    for id in [json!("a".repeat(MAX_ID + 1)), json!(long), json!(true), json!([1]), json!({})] {
        for body in [request(&id), json!([request(&id), request(&id)])] {
            let control = Recorder::default();
            let answer = ask(&control, body.to_string().as_bytes()).expect("an answer");
            let all = answer.as_array().cloned().unwrap_or_else(|| vec![answer]);
            for one in all {
                assert_eq!((&one["id"], &one["error"]["code"]), (&Value::Null, &json!(-32600)));
                assert!(one["error"]["data"].to_string().len() < 100, "{one}");
            }
            assert!(control.0.borrow().is_empty());
        }
    }
}

#[test]
fn no_error_gives_back_what_is_long() {
    let long = json!("a".repeat(500_000));
    for request in [
        json!({"id": 1, "jsonrpc": long, "method": "x"}),
        json!({"id": 1, "jsonrpc": "2.0", "method": [long]}),
        json!({"id": 1, "jsonrpc": "2.0", "method": long}),
        json!({"id": 1, "jsonrpc": "2.0", "method": "etherws.control.delPort",
            "params": {"port": long}}),
    ] {
        let answer = answer(&request.to_string());
        assert!(answer["error"].is_object() && answer.to_string().len() < 300, "{answer}");
    }
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
            "max-macs",
            "stormbroadcast",
            "default",
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
        method in prop::sample::select(METHODS.iter().map(Method::full_name).collect::<Vec<_>>()),
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
