use slog::{Discard, o};

use super::*;

fn client(options: ClientOptions) -> Result<Client, String> {
    let log = Logger::root(Discard, o!());
    Client::new(options, log).map_err(|error| one_line(&error))
}

#[test]
fn the_target_is_the_url_as_given_without_its_token() {
    for (url, wanted) in [
        ("WS://Host:80/p", "WS://Host:80/p"),
        ("wss://h/lan?token=hidden", "wss://h/lan?token=(secret)"),
    ] {
        let options = ClientOptions::new(url);
        let debug =
            format!("{options:?} {:?}", crate::kinds::PortSpec::new::<Client>(options.clone()));
        assert!(debug.contains(wanted) && !debug.contains("hidden"), "{debug}");
        assert_eq!(client(options).map(|client| client.target()), Ok(wanted.to_owned()));
    }
}

#[test]
fn options_that_cannot_work_are_refused_before_anything_is_dialed() {
    let secret = || Some(Secret("secret".to_owned()));
    let url = "wss://host/";
    let ok = || ClientOptions::new(url);
    for (options, part) in [
        (ClientOptions::new("http://host/"), "is not a WebSocket URL"),
        (ClientOptions::new("ws://user:secret@host/"), "--user"),
        (ClientOptions { urls: vec!["http://host/".to_owned()], ..ok() }, "is not a WebSocket URL"),
        (ClientOptions { urls: vec![url.to_owned(); 8], ..ok() }, "9 URLs"),
        (ClientOptions { user: Some("a:b".to_owned()), passwd: secret(), ..ok() }, "a colon"),
        (ClientOptions { passwd: secret(), ..ok() }, "without a user"),
        (
            ClientOptions {
                urls: vec!["ws://host/".to_owned()],
                pin: vec![format!("sha256:{}", "00".repeat(32))],
                ..ok()
            },
            "ws://host/ goes without TLS",
        ),
        (ClientOptions { cert: Some("/own.pem".into()), ..ok() }, "give both"),
        (ClientOptions { cacerts: Some("/no/such/file".into()), ..ok() }, "/no/such/file"),
        (
            ClientOptions { proxy: Some("ftp://u:secret@h".to_owned().into()), ..ok() },
            "the ftp proxy h is not supported",
        ),
    ] {
        let error = client(options).expect_err(part);
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
    }
}
