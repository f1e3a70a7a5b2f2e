//! HTTP/1.1 by hand: what goes over the wire is what the test says.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};

use super::LIMIT;

/// The head of a reply, and the body where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Reads a reply, its body included; `None` if the connection ends before.
    pub(crate) fn read(stream: &mut impl Read) -> Option<Self> {
        let mut response = Self::read_head(stream)?;
        let length = response.header("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        response.body = String::from_utf8(body).unwrap();
        Some(response)
    }

    /// Reads to the blank line and not an octet further.
    pub(crate) fn read_head(stream: &mut impl Read) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).ok()?;
            head.push(octet[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("name and value");
            (name.to_lowercase(), value.to_owned())
        };
        Some(Self { status, headers: lines.map(header).collect(), body: String::new() })
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection from another address of loopback.
pub(crate) fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    let [a, b, c, d] = from;
    socket::bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
    let SocketAddr::V4(to) = to else { panic!("{to}") };
    socket::connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrIn::from(to)).unwrap();
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// A request's octets. `Host` and, with a body, `Content-Length` and the type of JSON
/// are added; an empty `Content-Type` leaves that out.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\r\n"));
    if !headers.iter().any(|(name, _)| *name == "Host") {
        line("Host", "127.0.0.1");
    }
    for (name, value) in headers.iter().filter(|header| **header != ("Content-Type", "")) {
        line(name, value);
    }
    if !body.is_empty() {
        if !headers.iter().any(|(name, _)| *name == "Content-Type") {
            line("Content-Type", "application/json");
        }
        line("Content-Length", &body.len().to_string());
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// One request on a connection of its own.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut stream = connect(address);
    let host = address.to_string();
    let mut all = headers.to_vec();
    if !headers.iter().any(|(name, _)| *name == "Host") {
        all.push(("Host", &host));
    }
    stream.write_all(&request(method, path, &all, body)).unwrap();
    Response::read(&mut stream).expect("a reply")
}

/// `Authorization` of HTTP Basic.
pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
