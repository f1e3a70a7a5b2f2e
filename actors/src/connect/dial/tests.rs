//! Dialing against small servers on loopback, each on a port of its own.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use slog::{Discard, Logger, o};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    connect::{ProxyChoice, Scheme, TlsOptions, dial::*},
    core::error::one_line,
};

fn route() -> Route {
    let log = Logger::root(Discard, o!());
    Route { tls: TlsOptions::default(), proxy: ProxyChoice::Direct, log }
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
    match dial(&server(url), None, instance(), route).await {
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
    let hash = actix_http::ws::hash_key(key.unwrap_or_default().as_bytes());
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
    let instance = instance();
    let socket = dial(&server, Some(&credentials), instance, &route()).await.expect("a tunnel");
    assert_eq!(&socket.read[..], b"\x82\x05hello", "what came with the handshake is kept");
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
    header("date");
    assert_eq!(headers.len(), 9, "no origin, subprotocol, extension or body: {head}");
}

#[actix::test]
async fn without_credentials_there_is_no_authorization() {
    let (listener, address) = listen().await;
    let served = actix_rt::spawn(async move { handshake(accept(&listener).await).await });
    dial(&server(&format!("ws://{address}")), None, instance(), &route()).await.expect("a tunnel");
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
        dial(&server("ws://[fd00::1]/p"), None, instance(), &route).await.expect("a tunnel");
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
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ["407", "user:password"]),
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

/// A file that goes with the test.
struct PemFile(PathBuf);

impl PemFile {
    fn new(text: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("etherws-test-{}-{number}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a temporary file");
        Self(path)
    }

    fn route(&self) -> Route {
        Route {
            tls: TlsOptions { cacerts: Some(self.0.clone()), insecure: false, certificate: None },
            ..route()
        }
    }
}

impl Drop for PemFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(&[], "a test's CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key()).expect("a CA")
}

/// A wss server with a certificate of `ca`.
async fn wss(params: CertificateParams, ca: &CertifiedIssuer<'static, KeyPair>) -> String {
    let key = key();
    let certificate = params.signed_by(&key, ca).expect("a certificate");
    serve_tls(certificate.der().clone(), key, "127.0.0.1:0").await
}

async fn serve_tls(certificate: CertificateDer<'static>, key: KeyPair, on: &str) -> String {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    let listener = TcpListener::bind(on).await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    actix_rt::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            // A client that refuses the certificate is none of the server's business.
            if let Ok(stream) = acceptor.accept(accept(&listener).await).await {
                let _ = handshake(stream).await;
            }
        }
    });
    format!("wss://{address}/")
}

#[actix::test]
async fn a_certificate_of_a_given_ca_is_taken() {
    let ca = ca();
    let file = PemFile::new(&ca.pem());
    let url = wss(params(&["127.0.0.1"], "server"), &ca).await;
    let socket = dial(&server(&url), None, instance(), &file.route()).await.expect("a tunnel");
    assert_eq!(&socket.read[..], b"\x82\x05hello");
}

#[actix::test]
async fn a_certificate_that_is_not_right_is_refused_with_the_way_out() {
    let ca = ca();
    let file = PemFile::new(&ca.pem());
    let other = PemFile::new(&self::ca().pem());
    let right = || params(&["127.0.0.1"], "server");
    let mut expired = right();
    expired.not_after = date_time_ymd(2001, 1, 1);
    for (params, file, part) in [
        (right(), &other, "--cacerts"),
        (expired, &file, "has expired"),
        (params(&["else.where"], "server"), &file, "is for another name"),
        (params(&[], "127.0.0.1"), &file, "no subjectAltName"),
    ] {
        let url = wss(params, &ca).await;
        let error = failure(&url, &file.route()).await;
        for part in [part, "--insecure", &*url] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let mut insecure = route();
        insecure.tls.insecure = true;
        dial(&server(&url), None, instance(), &insecure).await.expect("any certificate");
    }
}

#[actix::test]
async fn without_a_file_the_systems_cas_count() {
    let ca = ca();
    let url = wss(params(&["127.0.0.1"], "server"), &ca).await;
    let error = failure(&url, &route()).await;
    assert!(error.contains("--cacerts"), "{error}");
}

#[actix::test]
async fn a_servers_own_certificate_in_the_file_is_taken_though_it_is_a_cas() {
    let key = key();
    let mut own = params(&["127.0.0.1"], "openssl req -x509");
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = own.self_signed(&key).expect("a certificate");
    let mut expired = own.clone();
    expired.not_after = date_time_ymd(2001, 1, 1);
    let expired = expired.self_signed(&key).expect("a certificate");
    let mut foreign = params(&["else.where"], "openssl req -x509");
    foreign.is_ca = own.is_ca;
    let foreign = foreign.self_signed(&key).expect("a certificate");
    let file = PemFile::new(&[certificate.pem(), expired.pem(), foreign.pem()].concat());
    let again = || KeyPair::try_from(key.serialize_der()).expect("the same key");
    let url = serve_tls(certificate.der().clone(), again(), "127.0.0.1:0").await;
    dial(&server(&url), None, instance(), &file.route()).await.expect("a tunnel");
    let other = PemFile::new(&ca().pem());
    let error = failure(&url, &other.route()).await;
    assert!(error.contains("self-signed") && error.contains("--cacerts"), "{error}");
    for (certificate, part) in [(expired, "has expired"), (foreign, "another name")] {
        let url = serve_tls(certificate.der().clone(), again(), "127.0.0.1:0").await;
        let error = failure(&url, &file.route()).await;
        assert!(error.contains(part), "{error}");
    }
}

#[actix::test]
async fn an_ipv6_address_is_a_name_like_any_other() {
    if TcpListener::bind("[::1]:0").await.is_err() {
        eprintln!("skipped: there is no IPv6 loopback");
        return;
    }
    let ca = ca();
    let file = PemFile::new(&ca.pem());
    let key = key();
    let certificate = params(&["::1"], "server").signed_by(&key, &ca).expect("a certificate");
    let url = serve_tls(certificate.der().clone(), key, "[::1]:0").await;
    assert!(url.starts_with("wss://[::1]:"), "{url}");
    dial(&server(&url), None, instance(), &file.route()).await.expect("a tunnel");
}

#[actix::test]
async fn wss_through_a_proxy_is_tls_with_the_server() {
    let ca = ca();
    let file = PemFile::new(&ca.pem());
    let url = wss(params(&["h.example"], "server"), &ca).await;
    let behind: SocketAddr = url["wss://".len()..url.len() - 1].parse().expect("an address");
    let (listener, address) = listen().await;
    actix_rt::spawn(async move {
        let mut client = accept(&listener).await;
        head(&mut client).await?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        let mut server = TcpStream::connect(behind).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    });
    let route = Route { tls: file.route().tls, ..through(address.to_string()) };
    dial(&server("wss://h.example/"), None, instance(), &route).await.expect("a tunnel");
}

#[actix::test]
async fn a_server_without_tls_is_told_from_a_bad_certificate() {
    let (listener, address) = listen().await;
    actix_rt::spawn(async move {
        let mut stream = accept(&listener).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await
    });
    let error = failure(&format!("wss://{address}/"), &route()).await;
    assert!(error.contains("may not speak TLS"), "{error}");
}

#[actix::test]
async fn a_file_of_cas_is_checked() {
    let ca = ca();
    let url = wss(params(&["127.0.0.1"], "server"), &ca).await;
    for (text, part) in [
        ("", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "cannot read"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
    ] {
        let file = PemFile::new(text);
        let error = failure(&url, &file.route()).await;
        assert!(error.contains(part), "{part} in {error}");
        assert!(error.contains(&file.0.display().to_string()), "{error}");
    }
    let mut missing = route();
    missing.tls.cacerts = Some("/no/such/file.pem".into());
    let error = failure(&url, &missing).await;
    assert!(error.contains("/no/such/file.pem"), "{error}");
}

#[actix::test]
async fn control_asks_over_the_same_connection() {
    let (listener, address) = listen().await;
    actix_rt::spawn(async move {
        let mut stream = accept(&listener).await;
        let head = head(&mut stream).await?;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        stream.write_all(answer.as_bytes()).await
    });
    let url = format!("http://{address}/ctl");
    let server = ServerUrl::parse(&url, Scheme::Http).expect("a URL");
    let (client, uri) = http_client(&server, &route()).await.expect("a connection");
    let mut response = client.get(uri).send().await.expect("an answer");
    let body = response.body().await.expect("a body");
    let head = String::from_utf8_lossy(&body).to_ascii_lowercase();
    assert!(head.starts_with("get /ctl http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
}
