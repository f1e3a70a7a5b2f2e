//! Connections that we open: proxy, TCP, TLS, and the handshake of HTTP or of a tunnel.
//!
//! Below the port kind `client`, and what `ctl` and `doctor` use as their HTTP client.
//! Nothing here knows a port's number or the forwarding database.

mod addresses;
mod answer;
pub mod certificate;
mod command;
mod credentials;
pub mod dial;
pub mod files;
mod judge;
mod pin;
pub mod probe;
pub mod proxy;
mod stream;
pub mod tcp;
pub mod tls;
pub mod url;

pub use credentials::{Credentials, Header, HeaderError};
pub use dial::{DialError, TunnelRequest, certificate_advice, dial, http_client, unix_http_client};
pub use pin::{Pin, PinError};
pub use proxy::ProxyChoice;
pub use stream::{ConnectError, Route, Seen, Stream, Tcp};
pub use tls::{ClientCertificate, TlsOptions};
pub use url::{Scheme, ServerUrl, UrlError};
