//! CONNECT (RFC 9110, 9.3.6), and what a proxy says when it refuses.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{Proxy, ProxyError};
use crate::connect::{
    answer::{Head, HeadError},
    url::ServerUrl,
};

/// Has the proxy at the other end of `stream` connect to `server`.
pub(super) async fn connect(
    proxy: &Proxy,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    server: &ServerUrl,
) -> Result<(), ProxyError> {
    let lost = |source| ProxyError::Lost { proxy: proxy.to_string(), source };
    let to = server.host_port();
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some(login) = &proxy.login {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", login.basic()));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let head = Head::read(stream).await.map_err(|error| match error {
        HeadError::Lost(source) => lost(source),
        HeadError::Ended => lost(std::io::ErrorKind::UnexpectedEof.into()),
        HeadError::Tls => ProxyError::SpeaksTls { proxy: proxy.to_string() },
        HeadError::NotHttp | HeadError::Endless => {
            ProxyError::NotOne { proxy: proxy.to_string(), speaks: "an HTTP" }
        }
    })?;
    if (200..300).contains(&head.status) {
        return Ok(());
    }
    let mut said = format!("status {}", head.status);
    if let Some(words) = head.words(stream).await {
        said = format!("{said}, {words:?}");
    }
    said.push_str(&advice(&head, proxy.login.is_some()));
    Err(ProxyError::Refused { proxy: proxy.to_string(), server: to, said })
}

/// The way out; it follows the status.
fn advice(head: &Head, given: bool) -> String {
    match head.status {
        401 | 407 => {
            let name = if head.status == 407 { "proxy-authenticate" } else { "www-authenticate" };
            let schemes = head.schemes(name);
            let takes_basic = schemes.iter().any(|one| one.eq_ignore_ascii_case("basic"));
            let wanted = if schemes.is_empty() {
                "a user and a password".to_owned()
            } else {
                schemes.join(" or ")
            };
            match (takes_basic || schemes.is_empty(), given) {
                (true, true) => {
                    format!("; it requires {wanted}, and the user or the password is wrong")
                }
                (true, false) => format!(
                    "; it requires {wanted}, and no user and password were given; give them: \
                     http://user:password@host:port"
                ),
                (false, _) => format!(
                    "; it requires {wanted}, and etherws only knows Basic{}; go through a program \
                     that knows it, such as cntlm",
                    if given { ", which was tried" } else { "" }
                ),
            }
        }
        403 | 405 => "; it has to allow CONNECT to this port".to_owned(),
        502..=504 => "; it cannot reach the server, or does not know its name".to_owned(),
        _ => String::new(),
    }
}
