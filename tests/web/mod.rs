//! The web page in headless Chromium, against a switch that runs.

mod page;
mod serving;
