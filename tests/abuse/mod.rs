//! Strangers and bad neighbours of a switch that faces the Internet: what they send is
//! refused or dropped, and counted, and everybody else goes on.

mod addresses;
mod doors;
mod flood;
mod handshakes;
mod logins;
mod proxied;
mod strangers;
mod wire;
