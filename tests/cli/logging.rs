//! `--logconf`: the file that Python's `logging.config.fileConfig` reads.

use std::{
    fs,
    io::{BufRead as _, BufReader},
};

use crate::support::{
    TempDir, frame, need,
    peers::tool,
    process::{Process, Site},
    switch::{ETHERWS, Switch, command, etherws},
    wait_until,
};

fn config(handler: &str) -> String {
    format!(
        "[loggers]\nkeys=root,etherws\n\n[handlers]\nkeys=file\n\n[formatters]\nkeys=line\n\n\
         [logger_root]\nlevel=WARNING\nhandlers=\n\n\
         [logger_etherws]\nlevel=DEBUG\nhandlers=file\nqualname=etherws\npropagate=0\n\n\
         [handler_file]\n{handler}\nlevel=NOTSET\nformatter=line\n\n\
         [formatter_line]\nformat=%(asctime)s %(levelname)-8s %(name)s %(message)s\n"
    )
}

#[test]
fn a_users_file_decides_where_lines_go_and_how_they_look() {
    for class in ["FileHandler", "handlers.WatchedFileHandler"] {
        let dir = TempDir::new();
        let log = dir.at("etherws.log");
        let conf = dir.file("log.ini", config(&format!("class={class}\nargs=('{log}', 'a')")));
        // The ports that it listens on are in the file, and nowhere else.
        let mut args = vec!["sw", "--foreground", "--logconf", &conf];
        args.extend(["--host", "127.0.0.1", "--port", "0", "--ctlport", "0"]);
        let switch = Process::start(command(&Site::here(), &args));
        wait_until("lines", || fs::read_to_string(&log).is_ok_and(|text| text.contains("control")));
        let text = fs::read_to_string(&log).unwrap();
        let line = text.lines().find(|line| line.contains("tunnel")).unwrap();
        // 2026-01-02 03:04:05,678 INFO     etherws listening ...
        let (time, rest) = line.split_at(23);
        assert!(time.chars().all(|sign| sign.is_ascii_digit() || "-: ,".contains(sign)), "{line}");
        assert!(rest.starts_with(" INFO     etherws "), "{line}");
        assert_eq!(switch.stderr.text(), "");
    }
}

#[test]
fn what_a_file_cannot_say_is_named_by_section_and_key() {
    let good = config("class=NullHandler\nargs=()");
    let with = |from: &str, to: &str| good.replace(from, to);
    for (conf, named) in [
        (with("class=NullHandler", "class=SMTPHandler"), &["handler_file", "SMTPHandler"][..]),
        (with("args=()", "args=open('x')"), &["handler_file", "args"]),
        (with("level=DEBUG", "level=LOUD"), &["logger_etherws", "level", "LOUD"]),
        (with("%(message)s", "%(massage)s"), &["formatter_line", "format", "massage"]),
        (with("handlers=file", "handlers=files"), &["logger_etherws", "files"]),
        (with("[handler_file]", "[handler_fill]"), &["handler_file"]),
        (with("NullHandler\nargs=()", "FileHandler\nargs=('/no/folder/x',)"), &["/no/folder/x"]),
    ] {
        let dir = TempDir::new();
        let file = dir.file("log.ini", &conf);
        for mode in [Some("--foreground"), None] {
            let mut args = vec!["sw", "--port", "0", "--ctlport", "0", "--logconf", &file];
            args.extend(mode);
            let output = etherws(&args).failed();
            assert!(output.stderr.contains(&file), "{conf}\n{}", output.stderr);
            for word in named {
                assert!(output.stderr.contains(word), "{word}\n{conf}\n{}", output.stderr);
            }
        }
    }
}

#[test]
fn a_log_on_standard_error_gets_frames_with_debug_only() {
    let dir = TempDir::new();
    let conf = dir.file("log.ini", config("class=StreamHandler\nargs=(sys.stderr,)"));
    for (options, wanted) in [(&["--debug"][..], true), (&[], false)] {
        let switch = Switch::start(&[&["--logconf", &conf][..], options].concat());
        let (mut one, _) = switch.open();
        let (mut other, _) = switch.open();
        one.send_frame(&frame(255, 9, b"seen"));
        other.expect_frame(&frame(255, 9, b"seen"));
        if wanted {
            wait_until("a line", || switch.process.stderr.contains("02:00:00:00:00:09"));
        }
        let debug = switch.process.stderr.contains(" DEBUG ");
        assert_eq!(debug, wanted, "{}", switch.process.stderr.text());
    }
}

/// Runs a shell's script in mount and user namespaces of its own.
fn apart(script: &str) -> Process {
    let mut unshare = Site::here().command("unshare");
    unshare.args(["-Urm", "sh", "-ec", script]);
    Process::start(unshare)
}

#[test]
fn a_daemon_logs_to_the_systems_log_unless_told_otherwise() {
    need!(tool("socat"));
    need!(match apart("true").wait_exit().success() {
        true => Ok(()),
        false => Err("no namespaces of users".to_owned()),
    });
    let dir = TempDir::new();
    // A /dev of its own, in which somebody listens at /dev/log.
    let script = format!(
        "mkdir {0}/dev; mount -t tmpfs dev {0}/dev
        for file in null zero urandom; do : >{0}/dev/$file; mount --bind /dev/$file {0}/dev/$file; done
        mount --rbind {0}/dev /dev
        socat -u UNIX-RECV:/dev/log OPEN:{0}/log,creat,append &
        reader=$!
        until [ -S /dev/log ]; do :; done
        {ETHERWS} sw --host 127.0.0.1 --port 0 --ctlsock {0}/control --pid-file {0}/pid
        kill -0 \"$(cat {0}/pid)\"
        {ETHERWS} ctl --ctlurl unix:{0}/control stop
        until grep -q ending {0}/log; do :; done
        kill $reader",
        dir.at("").trim_end_matches('/')
    );
    let mut shell = apart(&script);
    assert!(shell.wait_exit().success(), "{}", shell.stderr.text());
    let log = fs::read_to_string(dir.at("log")).unwrap();
    // Priority 30: the facility of daemons, and information.
    assert!(log.contains("<30>etherws[") && log.contains("listening"), "{log}");
    assert!(!fs::exists(dir.at("pid")).unwrap(), "it goes with the process");
}

#[test]
fn for_the_journal_each_line_has_its_priority_and_no_time() {
    let script = format!(
        "JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec {ETHERWS} sw --foreground \
         --host 0.0.0.0 --port 0 --ctlport 0"
    );
    let mut shell = Site::here().command("sh");
    shell.args(["-c", &script]);
    let switch = Process::start(shell);
    wait_until("the listeners", || switch.stderr.text().matches("listening").count() == 2);
    let text = switch.stderr.text();
    assert!(text.contains("<4>anyone who can reach the tunnel listener"), "{text}");
    assert!(text.contains("<6>listening, "), "{text}");
    assert!(text.lines().all(|line| line.starts_with('<')), "{text}");
    // What is set is told in words.
    let debugs = ["Some(", "{ ", "None"];
    assert!(debugs.iter().all(|word| !text.contains(word)), "{text}");
}

#[test]
fn a_port_that_cannot_be_opened_is_warned_of_once_and_set_in_words() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("ws://{}/", server.local_addr().unwrap());
    let dir = TempDir::new();
    let file = dir.file(
        "etherws.toml",
        format!("[control]\nhost = \"127.0.0.2\"\nport = 0\n[[port]]\ntype = \"client\"\ntarget = \"{target}\"\n"),
    );
    let mut sw = command(&Site::here(), &["sw", "--foreground", "--config", &file]);
    sw.args(["--port", "0", "--host", "127.0.0.1"]);
    let switch = Process::start(sw);
    for _ in 0..4 {
        // Ends in the same way each time: with nothing left to be read.
        let mut request = BufReader::new(server.accept().unwrap().0).lines();
        request.find(|line| line.as_ref().is_ok_and(String::is_empty));
    }
    let text = switch.stderr.text();
    assert_eq!(text.matches("port is down").count(), 1, "{text}");
    let control = text.lines().find(|line| line.contains("service: control")).unwrap();
    let address = control.split("address: ").nth(1).unwrap().split(',').next().unwrap();
    let url = format!("http://{address}/ctl");
    etherws(&["ctl", "--ctlurl", &url, "setport", "1", "--max-macs", "7", "--shut", "1"]).ok();
    wait_until("the change", || switch.stderr.contains("settings: shut on, max-macs 7"));
}
