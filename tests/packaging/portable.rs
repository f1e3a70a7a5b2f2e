//! The program for any Linux, where there is nothing else; its archive, and its image. They are
//! those that `make portable` and `make image` have built.

use std::{env::consts::ARCH, fs, path::PathBuf};

use nix::unistd::geteuid;

use crate::support::{
    LIMIT, TempDir,
    certs::Certificates,
    lab::Namespace,
    need,
    peers::tool,
    process::{Output, Process, Site, run, run_within},
    switch::{Switch, command},
    wait_until,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A file of this version in the folder of what is built, made by `make` of this target.
pub(super) fn built(file: &str, target: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/..")).join(file);
    path.canonicalize().map_err(|_| format!("{file} is not there; run `make {target}`"))
}

/// The name of a file that `make portable` or `make image` makes.
pub(super) fn name(end: &str) -> String {
    format!("portable/etherws-{VERSION}-{ARCH}-{end}")
}

/// Runs a script of this folder in namespaces of its own.
fn run_alone(script: &str, file: &PathBuf, dir: &TempDir) -> Output {
    let mut command = Site::here().command("unshare");
    if !geteuid().is_root() {
        command.arg("-Ur");
    }
    command.args(["-mnpf", "--mount-proc", "--kill-child", "sh"]);
    command.arg(format!("{}/tests/packaging/{script}", env!("CARGO_MANIFEST_DIR")));
    command.arg(file).arg(dir.path());
    run_within(3 * LIMIT, command, b"")
}

#[test]
fn the_program_needs_nothing_beside_it() {
    let program = need!(built(&format!("{ARCH}-unknown-linux-musl/release/etherws"), "portable"));
    for program in ["unshare", "chroot", "ip", "openssl", "dnsmasq"] {
        need!(tool(program));
    }
    let output = run_alone("portable.sh", &program, &TempDir::new()).ok();
    assert!(output.stdout.contains("needs nothing beside it"), "{output:?}");
}

#[test]
fn its_archive_is_whole_and_of_no_machine() {
    let archive = need!(built(&name("linux.tar.gz"), "portable"));
    let mut sums = Site::here().command("sha256sum");
    sums.args(["-c", &format!("{}.sha256", name("linux.tar.gz").trim_start_matches("portable/"))]);
    sums.current_dir(archive.parent().unwrap());
    run(sums).ok();

    let mut list = Site::here().command("tar");
    list.args(["--numeric-owner", "-tvzf"]).arg(&archive);
    let list = run(list).ok().stdout;
    for line in list.lines() {
        assert!(line.contains(" 0/0 "), "{line}");
        assert!(line.starts_with("drwxr-xr-x") || line[1..].starts_with("rw"), "{line}");
    }
    for file in [
        "bin/etherws",
        "lib/systemd/system/etherws.service",
        "lib/sysusers.d/etherws.conf",
        "share/bash-completion/completions/etherws",
        "share/doc/etherws/LICENSE-MIT",
        "share/doc/etherws/README.md",
        "share/doc/etherws/THIRD-PARTY",
        "share/doc/etherws/docs/install.md",
        "share/doc/etherws/packaging/etherws.toml",
        "share/man/man1/etherws.1",
        "share/man/man5/etherws.toml.5",
    ] {
        let path = format!("/{file}");
        assert!(list.lines().any(|line| line.ends_with(&path)), "{file}: {list}");
    }
    // No folder of who has built it is in the program.
    let program = built(&format!("{ARCH}-unknown-linux-musl/release/etherws"), "portable");
    let octets = fs::read(program.unwrap()).unwrap();
    let here = env!("CARGO_MANIFEST_DIR").as_bytes();
    assert!(!octets.windows(here.len()).any(|window| window == here));
}

#[test]
fn its_image_serves_where_it_may_do_nothing() {
    let image = need!(built(&name("image.tar"), "image"));
    for program in ["unshare", "chroot", "ip", "python3", "sha256sum"] {
        need!(tool(program));
    }
    if !geteuid().is_root() {
        return need!(Err::<(), _>("only root has other users to become"));
    }
    let output = run_alone("image.sh", &image, &TempDir::new()).ok();
    assert!(output.stdout.contains("serves: 0 ports"), "{output:?}");
}

#[test]
fn the_program_for_arm64_has_a_tunnel_with_the_one_of_this_machine() {
    let file = "aarch64-unknown-linux-musl/release/etherws";
    let program = need!(built(file, "portable ARCH=aarch64"));
    need!(tool("qemu-aarch64-static"));
    let certs = need!(Certificates::new());
    let (a, b) = need!(Namespace::pair());
    // Calls of it, and those of this machine's program to it.
    let arm64 = |words: &[&str]| {
        let mut command = a.site.then(["qemu-aarch64-static"]).command(&program);
        command.args(words);
        command
    };
    let ctl = |words: &[&str]| run(command(&a.site, &[&["ctl"], words].concat()));
    assert_eq!(run(arm64(&["--version"])).ok().stdout, format!("etherws {VERSION}\n"));
    let files = ["--sslkey", &certs.key, "--sslcert", &certs.cert];
    let listen = ["sw", "--foreground", "--host", "192.0.2.1", "--port", "8443"];
    let _hub = Process::start(arm64(&[&listen[..], &files].concat()));
    wait_until("control of the hub", || ctl(&["listport"]).code == Some(0));
    ctl(&["addport", "tap", "ewp0"]).ok();
    ctl(&["setif", "--address", "198.51.100.1/24", "1"]).ok();

    let right = Switch::start_at(&b.site, &[]);
    right.add(&["tap", "ewp0"]);
    right.ctl(&["setif", "--address", "198.51.100.2/24", "1"]).ok();
    right.add(&["client", "--cacerts", &certs.ca, "wss://192.0.2.1:8443/"]);
    // Both ways, in one frame and, of this size, in two.
    for octets in [56, 2000] {
        wait_until("pings through the tunnel", || {
            a.pings("198.51.100.2", octets) & b.pings("198.51.100.1", octets)
        });
    }
    let url = "http://127.0.0.1:7867/ctl";
    let list = run(arm64(&["ctl", "--ctlurl", url, "listport"])).ok().stdout;
    assert!(list.contains("ewp0"), "{list}");
}
