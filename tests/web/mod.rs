//! The web page in headless Chromium, against a switch that runs.

mod managed;
mod page;
mod serving;
mod users;
