//! A WebSocket client by hand, for what a well-behaved library would not send. Each
//! connection is a port of the switch: what it sends floods to the others.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::http::{self, Response};

/// Key and the accept value that belongs to it (RFC 6455, 1.3).
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The headers of an upgrade as the original's client sends them.
pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

/// A WebSocket frame as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    /// The status code in a close frame.
    pub(crate) fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        self.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }
}

pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub(crate) struct WebSocket {
    stream: Box<dyn Stream>,
    tcp: TcpStream,
    pub(crate) response: Response,
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocket").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// The headers of [`UPGRADE`] with `more`, which wins.
pub(crate) fn upgrade_with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let known = |name: &str| more.iter().any(|(other, _)| *other == name);
    let mut headers: Vec<_> = UPGRADE.into_iter().filter(|(name, _)| !known(name)).collect();
    headers.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    headers
}

impl WebSocket {
    /// Opens `path`, which must succeed.
    pub(crate) fn open(address: SocketAddr, path: &str) -> Self {
        Self::open_with(address, path, &[]).expect("101")
    }

    /// Opens `path` with further headers; an empty value leaves a header out.
    pub(crate) fn open_with(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response> {
        let tcp = http::connect(address);
        let stream = Box::new(tcp.try_clone().unwrap());
        Self::handshake(stream, tcp, path, headers)
    }

    /// Opens `/` from another address of loopback: as another holder.
    pub(crate) fn open_from(from: [u8; 4], address: SocketAddr) -> Self {
        Self::open_from_with(from, address, "/", &[]).expect("101")
    }

    /// The same with a path and further headers.
    pub(crate) fn open_from_with(
        from: [u8; 4],
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response> {
        let tcp = http::connect_from(from, address);
        let stream = Box::new(tcp.try_clone().unwrap());
        Self::handshake(stream, tcp, path, headers)
    }

    /// The same over TLS to the name `localhost`, which the CA of `ca` must vouch for.
    pub(crate) fn open_tls(
        address: SocketAddr,
        ca: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response> {
        Self::open_tls_over(address, ca, path, headers, |tcp| tcp)
    }

    /// The same, with something between TLS and TCP.
    pub(crate) fn open_tls_over<S: Stream + 'static>(
        address: SocketAddr,
        ca: &str,
        path: &str,
        headers: &[(&str, &str)],
        wrap: impl FnOnce(TcpStream) -> S,
    ) -> Result<Self, Response> {
        let tcp = http::connect(address);
        let tls = tls_client(Path::new(ca));
        let stream = StreamOwned::new(tls, wrap(tcp.try_clone().unwrap()));
        Self::handshake(Box::new(stream), tcp, path, headers)
    }

    /// The TLS handshake alone, against the CA of `ca`.
    pub(crate) fn try_tls(address: SocketAddr, ca: &Path) -> std::io::Result<()> {
        let (mut tcp, mut tls) = (http::connect(address), tls_client(ca));
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(())
    }

    fn handshake(
        mut stream: Box<dyn Stream>,
        tcp: TcpStream,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response> {
        let headers = upgrade_with(headers);
        stream.write_all(&http::request("GET", path, &headers, "")).unwrap();
        let mut response = Response::read_head(&mut stream).expect("a reply");
        if response.status != 101 {
            let length = response.header("content-length").map_or(0, |text| text.parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            response.body = String::from_utf8_lossy(&body).into_owned();
            return Err(response);
        }
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        Ok(Self { stream, tcp, response })
    }

    /// Sends octets as they are.
    pub(crate) fn send_raw(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends a whole message, masked as a client must.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_raw(&encode(0x80 | opcode, payload));
    }

    /// Sends an Ethernet frame.
    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        self.send(BINARY, frame);
    }

    /// Receives the next WebSocket frame; `None` when the connection has ended.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        let [first, second] = self.take()?;
        let length = match second & 0x7f {
            126 => u16::from_be_bytes(self.take()?).into(),
            127 => usize::try_from(u64::from_be_bytes(self.take()?)).unwrap(),
            short => short.into(),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        let masked = second & 0x80 != 0;
        Some(Message { fin: first & 0x80 != 0, opcode: first & 0x7f, masked, payload })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut octets = [0; N];
        match self.stream.read_exact(&mut octets) {
            Ok(()) => Some(octets),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing received within the limit")
            }
            Err(_) => None,
        }
    }

    /// Asserts that the next message is this Ethernet frame: binary, in one part,
    /// unmasked.
    pub(crate) fn expect_frame(&mut self, frame: &[u8]) {
        let message = self.receive().expect("a message, not the end");
        let want = Message { fin: true, opcode: BINARY, masked: false, payload: frame.to_vec() };
        assert_eq!(message, want);
    }

    /// Asserts that a close with `code` comes next, and then the end of TCP.
    pub(crate) fn expect_close(&mut self, code: u16) {
        let message = self.receive().expect("a close frame, not the end");
        assert_eq!(message.close_code(), Some(code));
        self.expect_end();
    }

    /// Asserts that nothing but the end of the connection comes.
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.receive(), None);
    }

    /// Whether nothing arrives for as long as `silence`.
    pub(crate) fn is_silent_for(&mut self, silence: Duration) -> bool {
        self.tcp.set_read_timeout(Some(silence)).unwrap();
        let read = self.stream.read(&mut [0]);
        self.tcp.set_read_timeout(Some(super::LIMIT)).unwrap();
        read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// The connection alone, for a client that reads no messages.
    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Our end of the connection, as the switch lists it.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }
}

/// The client's side of TLS to `localhost`, for whom the CA of `ca` must vouch.
fn tls_client(ca: &Path) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// A masked WebSocket frame with `first` as its first octet: FIN, reserved bits and
/// opcode.
pub(crate) fn encode(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut octets = head(first, payload.len() as u64);
    octets[1] |= 0x80;
    octets.extend(mask);
    octets.extend(payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    octets
}

/// The head of an unmasked WebSocket frame, its length in the shortest form.
pub(crate) fn head(first: u8, length: u64) -> Vec<u8> {
    let mut octets = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => octets.push(short),
        (_, Ok(middle)) => {
            octets.push(126);
            octets.extend(middle.to_be_bytes());
        }
        _ => {
            octets.push(127);
            octets.extend(length.to_be_bytes());
        }
    }
    octets
}
