//! What a switch tells of itself while it runs: events, and metrics.

mod events;
mod metrics;

use std::collections::HashMap;

use crate::support::{http, switch::Switch};

/// A scrape: each sample by its name and labels, as they are written.
pub(super) fn scrape(switch: &Switch) -> HashMap<String, f64> {
    let response = http::ask(switch.control, "GET", "/metrics", &[], "");
    assert_eq!(response.status, 200);
    let lines = response.body.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    lines.map(sample).collect()
}
