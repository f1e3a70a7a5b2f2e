//! `--logconf`: the file that Python's `logging.config.fileConfig` reads.

use std::fs;

use crate::support::{
    TempDir, frame,
    process::{Process, Site},
    switch::{Switch, command, etherws},
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
