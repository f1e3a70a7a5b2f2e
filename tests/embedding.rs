//! The examples, run as their readers run them.

use std::path::Path;

use crate::support::{
    process::{Output, Site, run},
    switch::{ETHERWS, Switch},
};

fn example(name: &str, args: &[&str]) -> Output {
    // Cargo builds examples beside the program.
    let binary = Path::new(ETHERWS).with_file_name("examples").join(name);
    let mut command = Site::here().command(binary);
    command.args(args);
    run(command)
}

#[test]
fn two_switches_learn_what_passes_between_them() {
    let text = example("two_switches", &[]).ok().stdout;
    assert!(text.contains("bob hears: Who is there?"), "{text}");
    assert!(text.contains("right: 02:00:00:00:00:01 is behind port 1"), "{text}");
}

#[test]
fn an_embedded_switch_joins_another() {
    let switch = Switch::start(&[]);
    let text = example("embed", &[&switch.url()]).ok().stdout;
    assert!(text.contains("the monitor sees 43 octets"), "{text}");
    assert!(text.contains(&format!("port 3 client up {}: rx ", switch.url())), "{text}");
}

#[test]
fn a_port_kind_of_ones_own_carries_frames() {
    let text = example("custom_port", &[]).ok().stdout;
    assert!(text.contains("port 1: udp up"), "{text}");
    assert!(text.contains("received: over UDP"), "{text}");
}
