//! What goes wrong in a network and must not spread: each test breaks one thing, and
//! ends with the switch up, the other ports undisturbed and memory back.

mod cuts;
mod host;
mod peers;
