//! TLS: whom to trust, what is wrong with a certificate, and control over the same way.

use std::{
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
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::connect::{Pin, TlsOptions};

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
            tls: TlsOptions { cacerts: Some(self.0.clone()), ..TlsOptions::default() },
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
    serve_chain(vec![certificate], key, on).await
}

async fn serve_chain(chain: Vec<CertificateDer<'static>>, key: KeyPair, on: &str) -> String {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
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
    dial(&server(&url), &anybody(), instance(), &file.route()).await.expect("a tunnel");
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
        dial(&server(&url), &anybody(), instance(), &insecure).await.expect("any certificate");
    }
}

#[actix::test]
async fn pins_are_of_the_servers_key_or_of_a_ca_that_has_issued_it() {
    let (ca, other) = (ca(), ca());
    let own = key();
    let leaf = params(&["127.0.0.1"], "server").signed_by(&own, &ca).expect("a certificate");
    let of = |certificate: &CertificateDer<'_>| Pin::of(certificate).expect("a key");
    let (leafs, cas, others) = (of(leaf.der()), of(ca.der()), of(other.der()));
    // Whoever shows the certificate of a CA need not be one whom it knows.
    let chain = vec![leaf.der().clone(), ca.der().clone(), other.der().clone()];
    let url = serve_chain(chain, own, "127.0.0.1:0").await;
    for (pins, insecure, taken) in [
        (vec![leafs], false, true),
        (vec![others, leafs], false, true),
        (vec![cas], false, true),
        (vec![others], false, false),
        (vec![others], true, false),
        (vec![cas], true, true),
    ] {
        let mut route = route();
        route.tls = TlsOptions { pins, insecure, ..TlsOptions::default() };
        match dial(&server(&url), &anybody(), instance(), &route).await {
            Ok(_) => assert!(taken, "{:?}", route.tls),
            Err(error) => {
                let error = one_line(&error);
                assert!(!taken && error.contains(&format!("--pin {leafs}")), "{error}");
            }
        }
    }
    // With a file of CAs, both count.
    let file = PemFile::new(&other.pem());
    let tls = TlsOptions { pins: vec![leafs], ..file.route().tls };
    let error = failure(&url, &Route { tls, ..route() }).await;
    assert!(error.contains("--cacerts"), "{error}");
}

#[actix::test]
async fn of_a_chain_is_named_what_is_missing_or_has_expired() {
    let root = ca();
    let file = PemFile::new(&root.pem());
    let intermediate = |until| {
        let mut params = params(&[], "the intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(until, 1, 1);
        CertifiedIssuer::signed_by(params, key(), &root).expect("a CA")
    };
    for (until, sent, parts) in [
        (2001, true, ["the CA certificate for \"the intermediate\" has expired on", "renew it"]),
        (2050, false, ["was issued by \"the intermediate\"", "not sent by the server"]),
    ] {
        let (issuer, own) = (intermediate(until), key());
        let leaf = params(&["127.0.0.1"], "server").signed_by(&own, &issuer).expect("signed");
        let mut chain = vec![leaf.der().clone()];
        chain.extend(sent.then(|| issuer.der().clone()));
        let url = serve_chain(chain, own, "127.0.0.1:0").await;
        let error = failure(&url, &file.route()).await;
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
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
    dial(&server(&url), &anybody(), instance(), &file.route()).await.expect("a tunnel");
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
    dial(&server(&url), &anybody(), instance(), &file.route()).await.expect("a tunnel");
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
    dial(&server("wss://h.example/"), &anybody(), instance(), &route).await.expect("a tunnel");
}

#[actix::test]
async fn a_server_without_tls_is_told_from_a_bad_certificate() {
    let (listener, address) = listen().await;
    actix_rt::spawn(async move {
        let mut stream = accept(&listener).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await
    });
    let error = failure(&format!("wss://{address}/"), &route()).await;
    assert!(error.contains("does not speak TLS"), "{error}");
}

#[actix::test]
async fn a_file_of_cas_is_checked() {
    let ca = ca();
    let url = wss(params(&["127.0.0.1"], "server"), &ca).await;
    for (text, part) in [
        ("", "is empty"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "is damaged"),
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
