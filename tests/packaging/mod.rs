//! What makes it a service: what it tells systemd, its units, and its Debian package.

mod machine;
mod manual;
mod package;
mod service;
mod unit;
