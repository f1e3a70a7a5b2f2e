//! The units, as systemd judges them without running them.

use crate::support::{need, peers::tool, process::Site, process::run};

const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging");

/// Exposure that the service may have, of 10.
const MOST: f64 = 2.0;

#[test]
fn the_service_is_hardened() {
    need!(tool("systemd-analyze"));
    let mut analyze = Site::here().command("systemd-analyze");
    let unit = format!("{PACKAGING}/etherws.service");
    analyze.args(["security", "--offline=true", "--no-pager", &unit]);
    let report = run(analyze).ok().stdout;
    let level = report.lines().find_map(|line| line.split_once("Overall exposure level"));
    let (_, level) = level.unwrap_or_else(|| panic!("no level: {report}"));
    let (_, level) = level.split_once(": ").unwrap();
    let level: f64 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= MOST, "{report}");
}

#[test]
fn the_units_have_no_mistakes() {
    need!(tool("systemd-analyze"));
    for unit in ["etherws.service", "etherws.socket", "etherws-control.socket"] {
        let mut analyze = Site::here().command("systemd-analyze");
        analyze.args(["verify", "--recursive-errors=no", "--man=no"]);
        let output = run({
            analyze.arg(format!("{PACKAGING}/{unit}"));
            analyze
        });
        // That it is not installed here is no mistake.
        let mut mistakes = output.stderr.lines().filter(|line| {
            line.contains(unit) && !line.contains("is not executable: No such file")
        });
        assert_eq!(mistakes.next(), None, "{unit}");
    }
}
