//! For tests: a network namespace of their own, without root.
//!
//! A user namespace needs a process with one thread, which a test binary is not:
//! the test runs itself again under `unshare -Urn`.
#![allow(unsafe_code)]

use std::{
    any::type_name,
    env,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Set in the process that runs inside the namespace.
const INSIDE: &str = "ETHERWS_TEST_NAMESPACE";

/// Runs `body`, a closure written in the test function itself, in a new user and
/// network namespace. Where those are not allowed it says that it was skipped.
pub(crate) fn in_namespace<F: FnOnce()>(body: F) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, test) = path.split_once("::").expect("a path in a crate");
    let allowed = unshare("true").output().is_ok_and(|output| output.status.success());
    if !allowed {
        println!("SKIPPED: {test}: no user namespaces here (needs `unshare -Urn` to work)");
        return;
    }
    let binary = env::current_exe().expect("the test binary");
    let output = unshare(&binary.to_string_lossy())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare has just worked");
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{test} in its namespace");
}

fn unshare(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-Urn", "--kill-child", program]).stdin(Stdio::null());
    command
}

/// Runs a line of `ip` in the namespace of this thread.
pub(crate) fn ip(line: &str) {
    let status = Command::new("ip").args(line.split_whitespace()).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {line}");
}

/// Lays a veth cable between new interfaces `near` and `far`, and waits until it
/// carries frames: the kernel brings its carrier up in the background, and drops
/// without a word what is sent before.
pub(crate) fn cable(near: &str, far: &str) {
    ip(&format!("link add {near} type veth peer name {far}"));
    ip(&format!("link set {near} up"));
    ip(&format!("link set {far} up"));
    await_carrier(near);
    await_carrier(far);
}

/// Waits until an interface that is up has its carrier.
pub(crate) fn await_carrier(name: &str) {
    let is_up = || {
        let output = Command::new("ip").args(["link", "show", name]).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("state UP"))
    };
    let start = Instant::now();
    while !is_up() {
        assert!(start.elapsed() < Duration::from_secs(20), "no carrier on {name}");
        // Each look starts `ip`, which is pause enough.
        thread::yield_now();
    }
}

/// Takes all capabilities from this thread, as an ordinary user has none.
pub(crate) fn drop_capabilities() {
    // The kernel's `struct __user_cap_header_struct`, version 3, for this thread,
    // and two `struct __user_cap_data_struct`.
    let header: [u32; 2] = [0x2008_0522, 0];
    let none = [0_u32; 6];
    // SAFETY: the kernel reads both structures, which are as long as it expects.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_capset, &header, &none) };
    assert_eq!(result, 0, "capset: {}", std::io::Error::last_os_error());
}
