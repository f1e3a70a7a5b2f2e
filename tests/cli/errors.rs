//! What all errors have in common, whatever shows them.

use crate::support::switch::etherws;

#[test]
fn no_error_has_a_number_of_the_system() {
    for args in [
        &["check", "/no/such/file"][..],
        &["sw", "--config", "/no/such/file"],
        &["sw", "--sslkey", "/no/such/key", "--sslcert", "/no/such/cert"],
        &["sw", "--htpasswd", "/no/such/users"],
        &["sw", "--host", "192.0.2.77", "--port", "8080", "--ctlport", "0"],
        &["ctl", "--ctlurl", "http://127.0.0.9:1/ctl", "listport"],
        &["ctl", "--ctlurl", "unix:/no/such/socket", "listport"],
        &["passwd", "/no/such/folder/users", "alice"],
        &["doctor", "--config", "/no/such/file", "--url", "ws://127.0.0.9:1/"],
    ] {
        let output = etherws(args).failed();
        let text = output.stdout + &output.stderr;
        assert!(!text.is_empty() && !text.contains("os error"), "{args:?}: {text}");
    }
}
