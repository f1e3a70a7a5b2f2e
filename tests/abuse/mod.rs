//! What a stranger may do to a switch that faces the Internet.

mod flood;
