//! Dialing against small servers on loopback, each on a port of its own.

mod tls;

use std::{io, net::SocketAddr};

use slog::{Discard, Logger, o};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    connect::{ProxyChoice, Scheme, dial::*},
    core::error::one_line,
};

fn route() -> Route {
    let log = Logger::root(Discard, o!());
    Route { proxy: ProxyChoice::Direct, ..Route::new(log) }
}

fn anybody() -> TunnelRequest {
    TunnelRequest::default()
}

fn instance() -> Instance {
    Instance::random().expect("random numbers")
}

fn through(proxy: String) -> Route {
    Route { proxy: ProxyChoice::Url(proxy), ..route() }
}

fn server(url: &str) -> ServerUrl {
    ServerUrl::parse(url, Scheme::WebSocket).expect(url)
}

/// What dialing fails with, on one line.
async fn failure(url: &str, route: &Route) -> String {
    match dial(&server(url), &anybody(), instance(), route).await {
        Ok(_) => panic!("{url} gave a tunnel"),
        Err(error) => {
            let line = one_line(&error);
            assert!(!line.contains('\n'), "{line}");
            line
        }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.expect("a client").0
}

/// Reads the head of a request.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).expect("ASCII"))
}

fn accepted(head: &str) -> String {
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let mut keys = headers.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = keys.next().map(|(_, key)| key);
    let hash = hash_key(key.unwrap_or_default().as_bytes());
    let accept = std::str::from_utf8(&hash).expect("base64");
    // As the original answers.
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// Does a handshake as a server; gives the request and a stream that stays open.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<(String, S)> {
    let head = head(&mut stream).await?;
    let mut answer = accepted(&head).into_bytes();
    answer.extend_from_slice(b"\x82\x05hello");
    stream.write_all(&answer).await?;
    stream.flush().await?;
    Ok((head, stream))
}

/// A server that gives each request the same answer.
async fn answering(answer: &'static str) -> String {
    let (listener, address) = listen().await;
    actix_rt::spawn(async move {
        let mut stream = accept(&listener).await;
        head(&mut stream).await.expect("a request");
        stream.write_all(answer.as_bytes()).await.expect("a client");
    });
    format!("ws://{address}/p")
}

#[actix::test]
async fn the_request_is_what_every_server_takes() {
    let (listener, address) = listen().await;
    let served = actix_rt::spawn(async move { handshake(accept(&listener).await).await });
    let server = server(&format!("ws://{address}/p//x?q=1"));
    let credentials = Credentials { user: "user".to_owned(), password: "pass:word".to_owned() };
    let request = TunnelRequest { credentials: Some(credentials), ..anybody() };
    let instance = instance();
    let socket = dial(&server, &request, instance, &route()).await.expect("a tunnel");
    assert!(socket.read.is_empty(), "not an octet behind the head is read");
    let (head, _) = served.await.expect("no panic").expect("a request");
    assert!(head.starts_with("GET /p//x?q=1 HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    let headers: Vec<_> = head.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
    let header = |name| {
        let found: Vec<_> = headers.iter().filter(|header| header.0 == name).collect();
        assert_eq!(found.len(), 1, "{name} in {head}");
        found[0].1
    };
    assert_eq!(header("host"), address.to_string());
    assert_eq!(header("upgrade"), "websocket");
    assert_eq!(header("connection"), "upgrade");
    assert_eq!(header("sec-websocket-version"), "13");
    assert_eq!(header("sec-websocket-key").len(), 24);
    assert_eq!(header("user-agent"), USER_AGENT);
    assert_eq!(header("authorization"), "basic dxnlcjpwyxnzondvcmq=");
    assert_eq!(header(INSTANCE_HEADER), instance.to_string());
    assert_eq!(headers.len(), 8, "no origin, subprotocol, extension or body: {head}");
}

#[actix::test]
async fn without_credentials_there_is_no_authorization() {
    let (listener, address) = listen().await;
    let served = actix_rt::spawn(async move { handshake(accept(&listener).await).await });
    dial(&server(&format!("ws://{address}")), &anybody(), instance(), &route())
        .await
        .expect("a tunnel");
    let (head, _) = served.await.expect("no panic").expect("a request");
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("authorization"), "{head}");
}

#[actix::test]
async fn a_refusal_names_url_status_and_the_way_out() {
    for (answer, parts) in [
        (
            "HTTP/1.1 401 Authorization Required\r\nWWW-Authenticate: Basic realm=etherws\r\n\r\n",
            ["401", "--user"],
        ),
        ("HTTP/1.1 302 Found\r\nLocation: ws://else.where/x\r\n\r\n", ["302", "ws://else.where/x"]),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ["404", "path"]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ["200", "OK"]),
        ("HTTP/1.1 426 Upgrade Required\r\n\r\n", ["426", "tunnel"]),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
            ["Sec-WebSocket-Accept", "does not match"],
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            ["WebSocket server", "Missing"],
        ),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", ["WebSocket server", "upgrade"]),
        ("SSH-2.0-OpenSSH\r\n\r\n", ["WebSocket server", "path and port"]),
        ("", ["WebSocket server", "without an answer"]),
    ] {
        let url = answering(answer).await;
        let error = failure(&url, &route()).await;
        for part in parts.into_iter().chain([&*url]) {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

#[actix::test]
async fn interim_answers_are_passed_over_and_what_nobody_offered_is_refused() {
    for (header, wanted) in [
        ("", None),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", Some("permessage-deflate")),
        ("Sec-WebSocket-Protocol: chat\r\n", Some("chat")),
        ("Sec-WebSocket-Protocol:\r\n", None),
    ] {
        let (listener, address) = listen().await;
        let served = actix_rt::spawn(async move {
            let mut stream = accept(&listener).await;
            let head = head(&mut stream).await?;
            let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n";
            let answer = accepted(&head).replace("\r\n\r\n", &format!("\r\n{header}\r\n"));
            stream.write_all(format!("{hints}{answer}").as_bytes()).await?;
            Ok::<_, io::Error>(stream)
        });
        let server = server(&format!("ws://{address}/"));
        let result = dial(&server, &anybody(), instance(), &route()).await;
        match (result, wanted) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => {
                let error = one_line(&error);
                assert!(error.contains(part) && error.contains("nobody has offered"), "{error}");
            }
            (result, _) => panic!("{header:?}: {result:?}"),
        }
        drop(served);
    }
}

#[actix::test]
async fn host_and_headers_are_as_they_were_given() {
    let (listener, address) = listen().await;
    let served = actix_rt::spawn(async move { handshake(accept(&listener).await).await });
    let header = |text| Header::parse(text).expect(text);
    let request = TunnelRequest {
        host: Some("hub.example:81".to_owned()),
        headers: vec![header("X-Token: a b"), header("user-agent: curl")],
        ..anybody()
    };
    let server = server(&format!("ws://{address}/"));
    dial(&server, &request, instance(), &route()).await.expect("a tunnel");
    let (head, _) = served.await.expect("no panic").expect("a request");
    for line in ["Host: hub.example:81", "X-Token: a b", "user-agent: curl"] {
        assert!(head.lines().any(|one| one == line), "{line} in {head}");
    }
    assert_eq!(head.to_ascii_lowercase().matches("user-agent").count(), 1, "{head}");
}

#[actix::test]
async fn advice_fits_the_cause_and_is_never_what_was_done() {
    let closed = "HTTP/1.1 503 x\r\nContent-Length: 6\r\n\r\nclosed";
    let user = TunnelRequest {
        credentials: Some(Credentials { user: "u".to_owned(), password: "secret".to_owned() }),
        ..anybody()
    };
    let bearer = "HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm=\"x\"\r\n\r\n";
    let named = TunnelRequest { host: Some("h".to_owned()), ..anybody() };
    for (request, answer, part, never) in [
        (&anybody(), "HTTP/1.1 401 x\r\n\r\n", "give them (--user)", "wrong"),
        (&user, "HTTP/1.1 401 x\r\n\r\n", "password is wrong", "give them"),
        (&user, bearer, "requires Bearer, and --user is for Basic only and was tried", "wrong"),
        (&anybody(), "HTTP/1.1 407 x\r\n\r\n", "--proxy", "--user"),
        (&anybody(), "HTTP/1.1 421 x\r\n\r\n", "give one that it serves with --host", "given"),
        (&named, "HTTP/1.1 421 x\r\n\r\n", "serve the name that was given with --host", "the URL"),
        (&anybody(), "HTTP/1.1 429 x\r\nRetry-After: 9\r\n\r\n", "wait 9 s", "minute"),
        (
            &anybody(),
            "HTTP/1.1 429 x\r\nRetry-After: 9\r\nContent-Length: 17\r\n\r\nToo many sessions",
            "\"Too many sessions\"; wait 9 s, then try again",
            "password",
        ),
        (
            &anybody(),
            "HTTP/1.1 403 x\r\nContent-Length: 12\r\n\r\nNot from you",
            "403 Forbidden, \"Not from you\"",
            "see its log",
        ),
        (&anybody(), "HTTP/1.1 431 x\r\n\r\n", "the URL is longer", "--header"),
        (&anybody(), closed, "503 Service Unavailable, \"closed\"; see the logs", "overloaded"),
        (&anybody(), "HTTP/1.1 302 x\r\nLocation: /x/\r\n\r\n", "/x/; give that URL", "TLS"),
        (
            &anybody(),
            "HTTP/1.1 301 x\r\nLocation: https://127.0.0.1/x\r\n\r\n",
            "it requires TLS; give wss://127.0.0.1/x",
            "points",
        ),
        (&anybody(), "HTTP/1.1 307 x\r\nLocation: mailto:x\r\n\r\n", "mailto:x", "TLS"),
        (&anybody(), "HTTP/1.1 426 x\r\nSec-WebSocket-Version: 8\r\n\r\n", "version 8", "path"),
        (&anybody(), "\x15\x03\x01\x00\x02\x02\x28", "speaks TLS; give wss://127.0.0.1:", "path"),
    ] {
        let url = answering(answer).await;
        let result = dial(&server(&url), request, instance(), &route()).await;
        let Err(error) = result else { panic!("{answer} gave a tunnel") };
        let error = one_line(&error);
        assert!(error.contains(part) && !error.contains(never), "{part} in {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[actix::test]
async fn an_endless_head_is_not_read_for_ever() {
    let (listener, address) = listen().await;
    let served = actix_rt::spawn(async move {
        let mut stream = accept(&listener).await;
        head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 101 x\r\nX: ").await?;
        let mut written = 0_usize;
        loop {
            written += stream.write(&[b'x'; 4096]).await?;
            if written > 64 << 20 {
                return Ok::<_, io::Error>("read it all");
            }
        }
    });
    let error = failure(&format!("ws://{address}/"), &route()).await;
    assert!(error.contains("WebSocket server"), "{error}");
    assert!(served.await.expect("no panic").is_err(), "the client hangs up");
}

#[actix::test]
async fn a_silent_server_is_given_up() {
    let (listener, address) = listen().await;
    let served = actix_rt::spawn(async move { (accept(&listener).await, listener) });
    tokio::time::pause();
    let start = Instant::now();
    let error = failure(&format!("ws://{address}/"), &route()).await;
    assert!(error.contains("within 10 s"), "{error}");
    assert!(start.elapsed() <= CONNECT_LIMIT + std::time::Duration::from_secs(1));
    served.await.expect("no panic");
}

#[actix::test]
async fn a_closed_port_and_an_unknown_name_are_named() {
    let (listener, address) = listen().await;
    drop(listener);
    let error = failure(&format!("ws://{address}/"), &route()).await;
    assert!(error.contains(&format!("cannot connect to {address}")), "{error}");
    assert!(error.contains("refused"), "{error}");
    let error = failure("ws://no-such-name.invalid/", &route()).await;
    assert!(error.contains("cannot resolve the name no-such-name.invalid"), "{error}");
}

/// A proxy that answers as told, and behind which a server is reached at once.
async fn proxy(answer: &'static str) -> (SocketAddr, JoinHandle<io::Result<[String; 2]>>) {
    let (listener, address) = listen().await;
    let served = actix_rt::spawn(async move {
        let mut stream = accept(&listener).await;
        let connect = head(&mut stream).await?;
        stream.write_all(answer.as_bytes()).await?;
        let (request, _) = handshake(stream).await?;
        Ok([connect, request])
    });
    (address, served)
}

#[actix::test]
async fn a_proxy_is_asked_to_connect() {
    for (user, header) in [("", ""), ("u:p%40ss@", "Proxy-Authorization: Basic dTpwQHNz\r\n")] {
        let (address, served) =
            proxy("HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n").await;
        let route = through(format!("http://{user}{address}"));
        dial(&server("ws://[fd00::1]/p"), &anybody(), instance(), &route).await.expect("a tunnel");
        let [connect, request] = served.await.expect("no panic").expect("a client");
        let expected =
            format!("CONNECT [fd00::1]:80 HTTP/1.1\r\nHost: [fd00::1]:80\r\n{header}\r\n");
        assert_eq!(connect, expected);
        assert!(request.starts_with("GET /p HTTP/1.1\r\n"), "{request}");
        assert!(request.to_ascii_lowercase().contains("\r\nhost: [fd00::1]\r\n"), "{request}");
        assert!(!request.contains("Proxy-Authorization"), "{request}");
    }
}

#[actix::test]
async fn a_proxys_refusal_names_it_without_its_password() {
    for (answer, parts) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ["407", "password is wrong"]),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", ["403", "CONNECT"]),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", ["502", "h.example:80"]),
    ] {
        let (address, _served) = proxy(answer).await;
        let route = through(format!("me:secret@{address}"));
        let error = failure("ws://h.example/", &route).await;
        for part in parts.into_iter().chain([&*address.to_string()]) {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("secret"), "{error}");
    }
}
