//! Tunnels: Ethernet frames as binary WebSocket messages, one frame a message.
//!
//! Stands between the ports `session` and `client` and their streams. A new tunnel
//! comes from [`dial()`] or from an upgrade that was accepted; from then on both are a
//! [`WebSocket`]. Nothing here knows a port's number or the forwarding database.

pub(crate) mod checksum;
pub(crate) mod coalesce;
pub mod codec;
pub mod connect;
pub mod dial;
mod encode;
mod heartbeat;
mod instance;
mod intake;
pub mod link;
mod pace;
pub mod probe;
pub mod proxy;
pub(crate) mod segment;
pub mod tcp;
pub mod tls;
pub mod url;

pub use connect::{ConnectError, Route};
pub use dial::{DialError, certificate_advice, dial, http_client, unix_http_client};
pub use instance::{Holder, INSTANCE_HEADER, Instance};
pub use link::WebSocket;
pub use proxy::ProxyChoice;
pub use tls::{ClientCertificate, TlsOptions};
pub use url::{Scheme, ServerUrl, UrlError};
