//! The tunnel on loopback: foreign programs at the other end, bad input, TLS and
//! proxies. A WebSocket is a port of its own, so no device is needed.

mod acme;
mod acme_renewal;
mod between;
mod certificates;
mod foreign;
mod links;
mod proxy;
mod reverse;
mod scale;
mod server;
mod tls;
mod trust;
mod wire;
