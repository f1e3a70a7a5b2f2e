//! Connections that we open: proxy, TCP, TLS, and the handshake of HTTP or of a tunnel.
//!
//! Below the port kind `client`, and what `ctl` and `doctor` use as their HTTP client.
//! Nothing here knows a port's number or the forwarding database.

mod addresses;
mod credentials;
pub mod dial;
pub mod probe;
pub mod proxy;
mod stream;
pub mod tcp;
pub mod tls;
pub mod url;

pub use credentials::Credentials;
pub use dial::{DialError, certificate_advice, dial, http_client, unix_http_client};
pub use proxy::ProxyChoice;
pub use stream::{ConnectError, Route};
pub use tls::{ClientCertificate, TlsOptions};
pub use url::{Scheme, ServerUrl, UrlError};
