//! What a kind of port takes: its own lines, and one that registers it.

use std::future;

use etherws_actors::{kinds::SpecError, prelude::*};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The whole of a kind: it takes every frame, and has none.
mod sink {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct SinkOptions {
        target: String,
        #[serde(default)]
        depth: u32,
    }

    pub(super) struct Sink(SinkOptions);

    impl Kind for Sink {
        const NAME: &'static str = "sink";
        type Options = SinkOptions;

        fn target(options: &SinkOptions) -> &str {
            &options.target
        }

        fn medium(options: SinkOptions, _: &Context) -> Result<Self, PortError> {
            Ok(Self(options))
        }
    }

    impl Medium for Sink {
        type Link = Drain;

        fn kind(&self) -> &'static str {
            Self::NAME
        }

        fn target(&self) -> String {
            self.0.target.clone()
        }

        async fn open(&mut self) -> Result<Drain, PortError> {
            Ok(Drain)
        }
    }

    pub(super) struct Drain;

    impl FrameIo for Drain {
        async fn recv(&self) -> std::io::Result<Frame> {
            future::pending().await
        }

        async fn send(&self, _: &Frame) -> std::io::Result<()> {
            Ok(())
        }
    }
}

fn options(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[actix::test]
async fn a_kind_from_outside_is_known_to_control_like_any_other() {
    let given = options(json!({"target": "drain", "depth": 7}));
    let error = PortSpec::from_options("sink", given.clone()).expect_err("not yet known");
    assert!(error.to_string().contains("tap, netdev or client, not \"sink\""), "{error}");

    kinds::register::<sink::Sink>();

    let error = PortSpec::from_options("sunk", Map::new()).expect_err("unknown").to_string();
    assert!(error.contains("client or sink, not \"sunk\""), "{error}");
    let wrong = PortSpec::from_options("sink", options(json!({"target": "a", "length": 1})));
    assert!(matches!(wrong, Err(SpecError::Options { kind: "sink", .. })), "{wrong:?}");

    let port = PortSpec::from_options("sink", given.clone()).expect("known");
    assert_eq!((port.to_string().as_str(), port.options()), ("sink drain", given));
    let json = serde_json::to_value(&port).expect("JSON");
    assert_eq!(json, json!({"type": "sink", "target": "drain", "depth": 7}));
    assert_eq!(serde_json::from_value::<PortSpec>(json).expect("the same"), port);

    let switch = SwitchHandle::start(SwitchOptions::default());
    let added = switch.control().add_port(port.clone(), PortSettings::default()).await;
    let added = added.expect("a port");
    assert_eq!((added.kind, added.target.as_str(), added.state.name()), ("sink", "drain", "up"));
    let known = switch.control().known();
    assert_eq!(known.first().map(|(_, known)| &known.new), Some(&port));
}

#[test]
fn options_go_to_a_file_without_what_is_not_given_and_without_passwords() {
    let client = ClientOptions {
        urls: vec!["ws://b/".to_owned()],
        insecure: true,
        ..ClientOptions::new("ws://a/")
    };
    let plain = PortSpec::new::<Client>(client.clone());
    let file = plain.for_file().expect("no password");
    let expected = json!({"target": "ws://a/", "urls": ["ws://b/"], "insecure": true});
    assert_eq!(file, options(expected));
    let secret = ClientOptions {
        user: Some("u".to_owned()),
        passwd: Some("secret".to_owned().into()),
        ..client
    };
    let secret = PortSpec::new::<Client>(secret);
    let error = secret.for_file().expect_err("a password").to_string();
    assert!(error.contains("password-file") && !error.contains("secret"), "{error}");
    assert!(!format!("{secret:?}").contains("\"secret\""), "{secret:?}");
    assert_ne!(secret, plain);
}
