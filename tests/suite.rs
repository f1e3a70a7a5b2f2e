//! Tests of the real binary, by rising cost: command line and control, tunnels to
//! foreign programs on loopback, the original, network namespaces with real devices.
//!
//! One program, so that it is linked once.

mod abuse;
mod api;
mod capture;
mod cli;
mod config;
mod documents;
mod embedding;
mod faults;
mod imports;
mod netns;
mod observe;
mod original;
mod packaging;
mod rpc;
mod setup;
mod support;
mod tunnel;
mod web;
