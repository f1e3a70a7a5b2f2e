//! The host itself: no room on the disk, no descriptors left, clocks that lie.

use std::{
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::support::{
    TempDir, frame,
    lab::Namespace,
    need,
    process::{run, usage},
    switch::Switch,
    wait_until,
    ws::WebSocket,
};

/// Everything goes to a file on a small disk, and to standard error.
const LOGGING: &str = "[loggers]\nkeys=root\n[handlers]\nkeys=file,err\n[formatters]\nkeys=\n\
    [logger_root]\nlevel=DEBUG\nhandlers=file,err\n\
    [handler_file]\nclass=FileHandler\nargs=('DISK/log',)\n\
    [handler_err]\nclass=StreamHandler\nlevel=INFO\nargs=(sys.stderr,)\n";

/// Sends a broadcast, which the other must get.
fn pass(one: &mut WebSocket, other: &mut WebSocket, number: usize) {
    let sent = frame(255, 1, &number.to_be_bytes());
    one.send_frame(&sent);
    other.expect_frame(&sent);
}

#[test]
fn a_full_disk_costs_log_lines_and_nothing_else() {
    let namespace = need!(Namespace::new());
    let dir = TempDir::new();
    let disk = dir.at("disk");
    fs::create_dir(&disk).unwrap();
    let conf = dir.file("conf", LOGGING.replace("DISK", &disk));
    let mount = "mount -t tmpfs -o size=64k none \"$0\" && exec \"$@\"";
    let site = namespace.site.then(["unshare", "-m", "sh", "-c", mount, &disk]);
    let mut switch = Switch::start_at(&site, &["--debug", "--logconf", &conf]);
    // `ctl` needs no such mount.
    switch.site = namespace.site.clone();
    let inside = format!("/proc/{}/root{disk}/log", switch.process.pid());
    assert!(fs::metadata(&inside).is_ok(), "{inside}");
    // A port that comes and goes is a few lines.
    let talk = || {
        let number = switch.add(&["tap", "ewp0"]).to_string();
        switch.ctl(&["delport", &number]).ok();
    };
    talk();
    let before = usage(switch.process.pid());
    let ballast = format!("/proc/{}/root{disk}/ballast", switch.process.pid());
    fs::write(&ballast, vec![0; 56 * 1024]).unwrap();
    wait_until("the disk to be full", || {
        talk();
        switch.process.stderr.contains("cannot write: No space left on device")
    });
    talk();

    fs::remove_file(&ballast).unwrap();
    let full = fs::metadata(&inside).unwrap().len();
    wait_until("lines again", || {
        talk();
        fs::metadata(&inside).unwrap().len() > full
    });
    wait_until("memory, descriptors and threads to be back", || {
        let after = usage(switch.process.pid());
        after.resident_kib <= before.resident_kib * 11 / 10
            && after.descriptors <= before.descriptors
            && after.threads <= before.threads
    });
}

/// Clock ticks that a process has used, 100 a second.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn limit_descriptors(switch: &Switch, soft: &str) {
    let mut command = switch.site.command("prlimit");
    let pid = switch.process.pid().to_string();
    command.args(["--pid", &pid, &format!("--nofile={soft}:")]);
    run(command).ok();
}

#[test]
fn without_descriptors_the_listener_waits_and_control_still_answers() {
    let switch = Switch::start(&[]);
    let (mut one, _) = switch.open();
    let (mut other, _) = switch.open();
    let pid = switch.process.pid();
    let before = usage(pid);
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft = soft.split_whitespace().next().unwrap();

    limit_descriptors(&switch, &before.descriptors.to_string());
    let waiting: Vec<_> =
        (0..20).map(|_| TcpStream::connect(switch.tunnel).expect("a backlog")).collect();
    wait_until("the descriptors' end", || switch.process.stderr.contains("cannot accept"));
    let used = ticks(pid);
    assert!(one.is_silent_for(Duration::from_secs(1)));
    let used = ticks(pid) - used;
    assert!(used < 20, "{used} ticks in a second");
    pass(&mut one, &mut other, 1);
    // Those who wait for the tunnel are there for 5 s and must not get it.
    let asked = Instant::now();
    for _ in 0..5 {
        assert_eq!(switch.ports().len(), 2, "control has a descriptor in reserve");
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());

    limit_descriptors(&switch, soft);
    drop(waiting);
    drop(WebSocket::open(switch.tunnel, "/"));
    pass(&mut one, &mut other, 2);
    wait_until("the descriptors to be back", || {
        let after = usage(pid);
        after.descriptors <= before.descriptors
            && after.resident_kib <= before.resident_kib * 11 / 10
    });
}

#[test]
fn a_clock_that_has_just_begun_or_is_ages_old_changes_nothing() {
    let namespace = need!(Namespace::new());
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime = uptime.split('.').next().unwrap();
    for offset in [format!("-{uptime}"), "3000000000".to_owned()] {
        let words = ["unshare", "-T", "--monotonic", &offset, "--kill-child", "-f"];
        let site = namespace.site.then(words);
        let probe = site.command("true");
        let output = run(probe);
        if output.code != Some(0) {
            return need!(Err(format!("no time namespaces here: {}", output.stderr)));
        }
        let mut switch = Switch::start_at(&site, &["--ageout", "1"]);
        switch.site = namespace.site.clone();
        let url = "ws://127.0.0.1:1/";
        assert!(switch.ctl(&["addport", "client", url]).code.is_some());
        assert!(switch.json(&["listfdb"]).is_empty());
    }
}
