//! What makes it a service: what it tells systemd, its units, its Debian package, and the program
//! and the image that run anywhere.

mod machine;
mod manual;
mod package;
mod portable;
mod service;
mod unit;
