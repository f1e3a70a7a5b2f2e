//! Signals: the first ends in order, the second at once; SIGHUP opens logs anew.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::{
    TempDir,
    switch::Switch,
    wait_until,
    ws::{self, WebSocket},
};

#[test]
fn a_second_signal_ends_at_once_what_the_first_ends_in_order() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let mut switch = Switch::start(&[]);
        // It is told, and does not answer: the switch would wait for it.
        let (mut socket, _) = switch.open();
        switch.process.signal(Signal::SIGTERM);
        let farewell = socket.receive().expect("a close frame");
        assert_eq!((farewell.opcode, farewell.close_code()), (ws::CLOSE, Some(1001)));
        switch.process.signal(second);
        assert_eq!(switch.process.wait_exit().code(), Some(0));
        assert!(switch.process.stderr.contains("ending at once"));
    }
}

#[test]
fn a_hangup_opens_log_files_again_and_cuts_nothing() {
    let dir = TempDir::new();
    let (log, old) = (dir.at("log"), dir.at("log.1"));
    let conf = "[loggers]\nkeys=root\n[handlers]\nkeys=file,err\n[formatters]\nkeys=\n\
        [logger_root]\nlevel=DEBUG\nhandlers=file,err\n\
        [handler_file]\nclass=FileHandler\nargs=('LOG',)\n\
        [handler_err]\nclass=StreamHandler\nargs=(sys.stderr,)\n";
    let conf = dir.file("conf", conf.replace("LOG", &log));
    let switch = Switch::start(&["--logconf", &conf]);
    let (mut socket, number) = switch.open();
    fs::rename(&log, &old).unwrap();
    switch.process.signal(Signal::SIGHUP);
    wait_until("a new file", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("reloading"))
    });
    assert!(!fs::read_to_string(&old).unwrap().contains("reloading"));
    socket.send(ws::PING, b"still there");
    assert_eq!(socket.receive().expect("a pong").payload, b"still there");
    assert_eq!(switch.port(number)["state"], "up");
    drop(WebSocket::open(switch.tunnel, "/"));
}
