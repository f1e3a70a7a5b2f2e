//! An answer's head as servers and proxies send it to a request for a tunnel, and what they
//! say in their own words when they refuse it.
//!
//! Reads not an octet beyond the head: what follows is the tunnel's.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use crate::core::error::clean;

/// Longest head, in octets: as much as common servers allow a request's.
const MAX_HEAD_LEN: usize = 16 * 1024;

/// Most headers of it: what common servers allow.
const MAX_HEADERS: usize = 128;

/// Most interim answers (RFC 9110, 15.2) before the final one: a few are usual, and none may
/// keep us for ever.
const MAX_INTERIM: usize = 16;

/// Octets of a refusal's body that are read for what it says.
const MAX_BODY_LEN: u64 = 4 * 1024;

/// Time for this body. Whoever refuses sends it with the head.
const BODY_LIMIT: Duration = Duration::from_secs(1);

/// Elements that do not end a line of a page.
const INLINE: [&str; 11] =
    ["a", "abbr", "b", "code", "em", "font", "i", "span", "strong", "tt", "u"];

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadError {
    /// The connection has failed.
    #[error(transparent)]
    Lost(#[from] io::Error),
    /// It ended before there was a head.
    #[error("it ended the connection without an answer")]
    Ended,
    /// A TLS record.
    #[error("it answers in TLS")]
    Tls,
    /// Anything else.
    #[error("its answer is not HTTP/1.1")]
    NotHttp,
    /// Longer than [`MAX_HEAD_LEN`], or one more than [`MAX_INTERIM`].
    #[error("its answer is too long")]
    Endless,
}

/// Status and headers.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a final answer; interim ones before it are passed over.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, HeadError> {
        for _ in 0..MAX_INTERIM {
            let head = Self::read_one(stream).await?;
            if head.status == 101 || head.status >= 200 {
                return Ok(head);
            }
        }
        Err(HeadError::Endless)
    }

    async fn read_one(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, HeadError> {
        const START: &[u8] = b"HTTP/1.";
        let mut octets = Vec::new();
        while !octets.ends_with(b"\r\n\r\n") && !octets.ends_with(b"\n\n") {
            match stream.read_u8().await {
                Ok(_) if octets.len() == MAX_HEAD_LEN => return Err(HeadError::Endless),
                Ok(octet) => octets.push(octet),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(HeadError::Ended);
                }
                Err(error) => return Err(error.into()),
            }
            match octets.as_slice() {
                // An alert or a handshake (RFC 8446, 5.1).
                [0x15 | 0x16, 3, ..] => return Err(HeadError::Tls),
                [0x15 | 0x16] => {}
                start if start.iter().zip(START).any(|(is, must)| is != must) => {
                    return Err(HeadError::NotHttp);
                }
                _ => {}
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&octets).map_err(|_| HeadError::NotHttp)?;
        let Some(status) = response.code.filter(|code| parsed.is_complete() && *code >= 100) else {
            return Err(HeadError::NotHttp);
        };
        let text = |header: &httparse::Header<'_>| {
            let value = String::from_utf8_lossy(header.value).trim().to_owned();
            (header.name.to_ascii_lowercase(), value)
        };
        Ok(Self { status, headers: response.headers.iter().map(text).collect() })
    }

    /// All values of a header, whose name is in small letters.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Its first value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Whether the header's list holds the token.
    pub(super) fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(token))
    }

    /// Names of the ways to authenticate that a challenge lists (RFC 9110, 11.6.1), in the
    /// header of that name.
    pub(super) fn schemes(&self, name: &str) -> Vec<String> {
        let mut schemes: Vec<String> = Vec::new();
        for value in self.all(name) {
            let mut quoted = false;
            let elements = value.split(|c| {
                quoted ^= c == '"';
                c == ',' && !quoted
            });
            for element in elements {
                // What has a `=` in its first word is a parameter of the one before.
                let word = element.split_whitespace().next().unwrap_or_default();
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if !word.is_empty() && word.chars().all(is_name) {
                    let known = schemes.iter().any(|one| one.eq_ignore_ascii_case(word));
                    if !known && schemes.len() < 8 {
                        schemes.push(word.to_owned());
                    }
                }
            }
        }
        schemes
    }

    /// What the sender says besides its status, on one line: the body's first line that is
    /// more than the status, or a header with an error.
    pub(super) async fn words(&self, stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
        let length = self.get("content-length").and_then(|length| length.parse().ok());
        let mut body = Vec::new();
        let mut limited = stream.take(length.unwrap_or(MAX_BODY_LEN).min(MAX_BODY_LEN));
        // What has come until then, or until it failed, is all there is.
        let _ = timeout(BODY_LIMIT, limited.read_to_end(&mut body)).await;
        if self.has_token("transfer-encoding", "chunked") {
            body = dechunked(&body);
        }
        let text = String::from_utf8_lossy(&body);
        let is_page = self.get("content-type").is_some_and(|kind| kind.contains("html"))
            || text.trim_start().starts_with('<');
        let text = if is_page { lines_of_page(&text) } else { text.into_owned() };
        let reason = awc::http::StatusCode::from_u16(self.status).ok();
        let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or("?");
        let is_more = |line: &String| {
            let rest = line.to_ascii_lowercase().replace(&reason.to_ascii_lowercase(), "");
            let rest = rest.replace(&self.status.to_string(), "").replace("error", "");
            // Pages end with the server's name.
            let names_server = self.get("server").is_some_and(|name| name == line);
            rest.chars().any(char::is_alphabetic) && !names_server
        };
        let in_header = || {
            let named = self.headers.iter().find(|(name, _)| name.contains("error"));
            named.map(|(_, value)| clean(value))
        };
        let lines = || text.lines().map(clean).filter(is_more);
        // Apache has it in its second line.
        let on_tls = lines().find(|line| self.status == 400 && speaks_of_tls(line));
        on_tls.or_else(|| lines().next()).or_else(in_header).filter(|text| !text.is_empty())
    }
}

/// What nginx, Apache, Caddy and others answer to plain HTTP on a port with TLS.
pub(super) fn speaks_of_tls(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["https", "ssl-enabled", "tls"].iter().any(|word| words.contains(word))
}

/// The content of as many chunks as are there (RFC 9112, 7.1).
fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = body.windows(2).position(|pair| pair == b"\r\n") {
        let size = String::from_utf8_lossy(&body[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else { break };
        let rest = &body[end + 2..];
        let chunk = &rest[..size.min(rest.len())];
        content.extend_from_slice(chunk);
        body = rest.get(size + 2..).unwrap_or_default();
    }
    content
}

/// The text of a page, a line for each of its blocks.
fn lines_of_page(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let end = match &*name {
            // Not text. Until its end, or that of the page.
            "style" | "script" if !tag.starts_with('/') => format!("</{name}"),
            _ => ">".to_owned(),
        };
        rest = match tag.to_ascii_lowercase().find(&end) {
            Some(at) if end == ">" => &tag[at + 1..],
            Some(at) => &tag[at..],
            None => "",
        };
        text.push(if INLINE.contains(&&*name) { ' ' } else { '\n' });
    }
    text.push_str(rest);
    for (entity, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error::MAX_WORDS;

    async fn said(answer: &str) -> Option<String> {
        let mut stream = answer.as_bytes();
        let head = Head::read(&mut stream).await.expect(answer);
        head.words(&mut stream).await
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over_and_bounded() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        let text = format!("{interim}HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\nrest");
        let mut stream = text.as_bytes();
        let head = Head::read(&mut stream).await.expect("101");
        assert_eq!((head.status, head.get("a"), stream), (101, Some("b"), &b"rest"[..]));
        let endless = interim.repeat(MAX_INTERIM);
        let error = Head::read(&mut endless.as_bytes()).await.expect_err("no answer");
        assert!(matches!(error, HeadError::Endless));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_from_the_first_octets() {
        for (octets, wanted) in [
            (&b""[..], "ended"),
            (b"HTTP/1.1 200", "ended"),
            (b"\x15\x03\x01\x00\x02\x02\x28", "in TLS"),
            (b"\x16\x03\x01", "in TLS"),
            (b"SSH-2.0-OpenSSH_9\r\n", "not HTTP"),
            (b"HTTP/2 200\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 abc\r\n\r\n", "not HTTP"),
            (b"\r\n\r\n", "not HTTP"),
        ] {
            let error = Head::read(&mut &*octets).await.expect_err("no answer").to_string();
            assert!(error.contains(wanted), "{octets:?}: {error}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD_LEN));
        let error = Head::read(&mut long.as_bytes()).await.expect_err("too long");
        assert!(matches!(error, HeadError::Endless));
    }

    #[tokio::test]
    async fn the_first_line_that_says_more_than_the_status_is_taken() {
        let page = "<html><head><title>403 Forbidden</title><style>p {}</style></head>\n<body>\
                    <h1>Forbidden</h1><p>You &lt;b&gt; may <b>not</b> pass.</p></body></html>";
        let with = |header: &str, body: &str| {
            let length = body.len();
            format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n{header}\r\n{body}")
        };
        let html = "Content-Type: text/html\r\n";
        for (answer, wanted) in [
            (with(html, page), Some("You <b> may not pass.")),
            (with("", "\n\u{1b}[2Jno\u{202e} entry \r\nmore"), Some("[2Jno entry")),
            (with("X-Squid-Error: ERR_DENIED 0\r\n", "403 Forbidden"), Some("ERR_DENIED 0")),
            (with("", ""), None),
            (with("Server: nginx/1.22.1\r\n", "403 Forbidden\nnginx/1.22.1\n"), None),
            (with(html, "<style>"), None),
            (
                "HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno \r\n5;x\r\nentry\r\n0\r\n\r\n"
                    .to_owned(),
                Some("no entry"),
            ),
        ] {
            assert_eq!(said(&answer).await.as_deref(), wanted, "{answer}");
        }
        let long = said(&with("", &"long ".repeat(1000))).await.expect("text");
        assert_eq!(long.chars().count(), MAX_WORDS + 1);
    }

    #[tokio::test]
    async fn challenges_name_their_schemes() {
        let mut answer = "HTTP/1.1 407 x\r\nProxy-Authenticate: Digest realm=\"a, NTLM b\", \
                          qop=\"auth\", Basic realm=\"x\"\r\nProxy-Authenticate: NTLM\r\n\
                          Proxy-Authenticate: Negotiate abc==\r\n\r\n"
            .as_bytes();
        let head = Head::read(&mut answer).await.expect("407");
        let wanted = ["Digest", "Basic", "NTLM", "Negotiate"];
        assert_eq!(head.schemes("proxy-authenticate"), wanted);
    }
}
