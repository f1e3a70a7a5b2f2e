//! The command line: every option once, on the real binary, as a shell sees it.

mod ctl;
mod daemon;
mod daily;
mod doctor;
mod errors;
mod htpasswd;
mod legacy;
mod logging;
mod passwords;
mod privileges;
mod signals;
mod socket;
mod sw;
mod terminal;
