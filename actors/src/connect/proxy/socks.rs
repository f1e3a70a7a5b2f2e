//! SOCKS 5 (RFC 1928), with user and password (RFC 1929). Names are resolved by the proxy:
//! who is behind one often cannot.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Proxy, ProxyError};
use crate::connect::url::ServerUrl;

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;

/// Has the proxy at the other end of `stream` connect to `server`.
pub(super) async fn connect(
    proxy: &Proxy,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    server: &ServerUrl,
) -> Result<(), ProxyError> {
    let lost = |source| ProxyError::Lost { proxy: proxy.to_string(), source };
    let no_socks = || ProxyError::NotOne { proxy: proxy.to_string(), speaks: "a SOCKS 5" };
    let refused = |said: &str| ProxyError::Refused {
        proxy: proxy.to_string(),
        server: server.host_port(),
        said: said.to_owned(),
    };
    let login = proxy.login.as_ref();
    let greeting: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    stream.write_all(greeting).await.map_err(lost)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(lost)?;
    match (chosen, login) {
        ([VERSION, NO_AUTHENTICATION], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some(login)) => {
            let mut request = vec![1];
            for text in [&login.user, &login.password] {
                let length = u8::try_from(text.len());
                request.push(length.map_err(|_| {
                    refused("user and password may have 255 octets each; they are longer")
                })?);
                request.extend_from_slice(text.as_bytes());
            }
            stream.write_all(&request).await.map_err(lost)?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await.map_err(lost)?;
            if answer[1] != 0 {
                return Err(refused("the user or the password is wrong for it"));
            }
        }
        ([VERSION, NONE_ACCEPTABLE], Some(_)) => {
            return Err(refused(
                "it does not take a user and a password, but another way to authenticate",
            ));
        }
        ([VERSION, NONE_ACCEPTABLE], None) => {
            return Err(refused(
                "it wants a user and a password, and none were given; give them: \
                 socks5://user:password@host:port",
            ));
        }
        _ => return Err(no_socks()),
    }
    let mut request = vec![VERSION, CONNECT, 0];
    let host = server.host();
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len());
            request.push(3);
            request.push(length.map_err(|_| refused("a name may have 255 octets"))?);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&server.port().to_be_bytes());
    stream.write_all(&request).await.map_err(lost)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.map_err(lost)?;
    let [VERSION, code, _, kind] = answer else { return Err(no_socks()) };
    if code != 0 {
        return Err(refused(reason(code)));
    }
    // Where it connects from; not an octet more.
    let length = match kind {
        1 => 4,
        3 => usize::from(stream.read_u8().await.map_err(lost)?),
        4 => 16,
        _ => return Err(no_socks()),
    };
    let mut address = [0; 255 + 2];
    stream.read_exact(&mut address[..length + 2]).await.map_err(lost)?;
    Ok(())
}

/// RFC 1928, 6.
const fn reason(code: u8) -> &'static str {
    match code {
        1 => "general failure; see its log",
        2 => "its rules do not allow it",
        3 => "it cannot reach the server's network",
        4 => "it cannot reach the server, or does not know its name",
        5 => "the server does not accept the connection",
        6 => "the server is too far away (TTL expired)",
        7 => "it does not connect for others (command not supported)",
        8 => "it does not know this kind of address",
        _ => "it gives a reason that has no name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::url::Scheme;

    /// What a proxy with these answers was sent, and what came of it.
    async fn exchange(login: &str, url: &str, answers: &[u8]) -> (Vec<u8>, Result<(), String>) {
        let (mut near, mut far) = tokio::io::duplex(4096);
        far.write_all(answers).await.expect("room");
        let proxy = Proxy::parse("--proxy", &format!("socks5://{login}p:1")).expect("a proxy");
        let server = ServerUrl::parse(url, Scheme::WebSocket).expect(url);
        let result = connect(&proxy, &mut near, &server).await.map_err(|error| error.to_string());
        drop(near);
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.expect("what was sent");
        (sent, result)
    }

    #[tokio::test]
    async fn names_and_addresses_go_to_the_proxy_as_they_are() {
        let answers = [5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
        let (sent, result) = exchange("", "ws://h.example:81/", &answers).await;
        assert_eq!(sent, b"\x05\x01\x00\x05\x01\x00\x03\x09h.example\x00\x51");
        assert_eq!(result, Ok(()));
        let (sent, _) = exchange("", "ws://127.0.0.1/", &answers).await;
        assert_eq!(sent[3..], [5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
        let answers = [5, 2, 1, 0, 5, 0, 0, 3, 1, b'x', 0, 80];
        let (sent, result) = exchange("u:p%40@", "ws://[::1]/", &answers).await;
        let mut wanted = b"\x05\x02\x00\x02\x01\x01u\x02p@\x05\x01\x00\x04".to_vec();
        wanted.extend([0; 15]);
        wanted.extend([1, 0, 80]);
        assert_eq!(sent, wanted);
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn refusals_say_why() {
        for (login, answers, part) in [
            ("", &[5, 0xff][..], "none were given"),
            ("u:secret@", &[5, 0xff], "another way"),
            ("u:secret@", &[5, 2, 1, 1], "is wrong"),
            ("", &[5, 0, 5, 2, 0, 1], "rules"),
            ("", &[5, 0, 5, 5, 0, 1], "does not accept"),
            ("", b"HTTP/1.1 400", "does not answer as a SOCKS 5 proxy"),
            ("", &[5, 2], "does not answer as a SOCKS 5 proxy"),
        ] {
            let (_, result) = exchange(login, "ws://h/", answers).await;
            let error = result.expect_err(part);
            assert!(error.contains(part) && error.contains("p:1"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
