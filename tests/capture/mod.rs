//! Captures of a running switch: what is in the file, who may be slow, and what Wireshark
//! makes of it.

mod extcap;

use std::{fs, io::Write as _};

use nix::sys::signal::Signal;

use crate::support::{
    TempDir, frame,
    http::{self, Response},
    need,
    peers::tool,
    process::{Process, Site, run},
    switch::Switch,
    wait_for, wait_until,
    ws::WebSocket,
};

/// `ctl capture` with `args` into a file, once it captures.
struct Capture {
    process: Process,
    file: String,
    _dir: TempDir,
}

impl Capture {
    fn start(switch: &Switch, args: &[&str]) -> Self {
        let dir = TempDir::new();
        let file = dir.at("a.pcapng");
        let process =
            Process::start(switch.ctl_command(&[&["capture", "-w", &file], args].concat()));
        // What is in the file before a frame is sent when the mirror is there.
        wait_until("the head of a capture", || {
            fs::metadata(&file).is_ok_and(|file| file.len() > 0)
        });
        Self { process, file, _dir: dir }
    }

    /// Waits for so many packets, as they come into the file.
    fn wait_packets(&self, count: usize) {
        wait_until("packets in the file", || self.packets(&["frame.number"]).len() >= count);
    }

    /// Ends it by Ctrl-C, and gives how many packets it says it has captured and lost.
    fn end(&mut self) -> (u64, u64) {
        self.process.signal(Signal::SIGINT);
        self.count()
    }

    fn count(&mut self) -> (u64, u64) {
        let status = self.process.wait_exit();
        assert!(status.success(), "{status:?}");
        let said = |what: &str| {
            let ends = format!(" {what}");
            wait_for(what, || {
                self.process.stderr.find(|line| {
                    let line = line.strip_suffix(&ends)?;
                    line.split(' ').next()?.parse().ok()
                })
            })
        };
        (said("captured"), said("lost"))
    }

    /// These fields of each packet, as tshark reads the file.
    fn packets(&self, fields: &[&str]) -> Vec<String> {
        read(&self.file, fields)
    }
}

/// These fields of each packet of a file, between blanks.
fn read(file: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Site::here().command("tshark");
    command.args(["-n", "-r", file, "-T", "fields", "-E", "separator=|"]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = run(command);
    output.stdout.lines().map(str::to_owned).collect()
}

/// Two WebSockets that are ports 1 and 2, whose stations 1 and 2 the switch knows.
fn stations(switch: &Switch) -> (WebSocket, WebSocket) {
    let ((mut one, a), (mut two, b)) = (switch.open(), switch.open());
    assert_eq!((a, b), (1, 2));
    one.send_frame(&frame(255, 1, b"1"));
    two.expect_frame(&frame(255, 1, b"1"));
    two.send_frame(&frame(1, 2, b"2"));
    one.expect_frame(&frame(1, 2, b"2"));
    (one, two)
}

#[test]
fn a_file_says_port_direction_and_why_a_frame_was_discarded() {
    need!(tool("tshark"));
    need!(tool("tcpdump"));
    let switch = Switch::start(&[]);
    let (mut one, mut two) = stations(&switch);
    let mut capture = Capture::start(&switch, &[]);
    one.send_frame(&frame(2, 1, b"to 2"));
    two.expect_frame(&frame(2, 1, b"to 2"));
    one.send_frame(&frame(1, 1, b"to itself"));
    // A port that comes while it captures.
    let (mut three, number) = switch.open();
    assert_eq!(number, 3);
    three.send_frame(&frame(2, 3, b"late"));
    two.expect_frame(&frame(2, 3, b"late"));
    capture.wait_packets(5);
    assert_eq!(capture.end(), (5, 0));
    let packets = capture.packets(&[
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.comment",
        "frame.len",
        "eth.src",
    ]);
    let name = |number: u64| {
        format!("{number} server {}", switch.port(number)["target"].as_str().unwrap())
    };
    let (n1, n2, n3) = (name(1), name(2), name(3));
    let (one, three) = ("02:00:00:00:00:01", "02:00:00:00:00:03");
    assert_eq!(
        packets,
        [
            format!("{n1}|0x00000001||18|{one}"),
            format!("{n2}|0x00000002||18|{one}"),
            format!("{n1}|0x00000001|discarded: same-port|23|{one}"),
            format!("{n3}|0x00000001||18|{three}"),
            format!("{n2}|0x00000002||18|{three}"),
        ]
    );
    let dump = run({
        let mut command = Site::here().command("tcpdump");
        command.args(["-nn", "-e", "-r", &capture.file]);
        command
    });
    // It shows the octets of an EtherType that it does not know, on lines of their own.
    let lines = dump.ok().stdout;
    assert_eq!(lines.lines().filter(|line| !line.starts_with('\t')).count(), 5, "{lines}");
}

#[test]
fn filters_choose_frames_and_snaplen_cuts_them() {
    need!(tool("tshark"));
    let switch = Switch::start(&[]);
    let (mut one, mut two) = stations(&switch);
    switch.ctl(&["setport", "--name", "second", "2"]).ok();
    let tagged = |vid: u8| {
        let mut data = frame(2, 1, &[9; 100]);
        data.splice(12..12, [0x81, 0, 0, vid]);
        data
    };
    let mut capture = Capture::start(
        &switch,
        &[
            "second",
            "--vlan",
            "10",
            "--mac",
            "02:00:00:00:00:01",
            "--ethertype",
            "0x88b5",
            "-s",
            "64",
            "-c",
            "2",
        ],
    );
    for vid in [10, 11, 10] {
        one.send_frame(&tagged(vid));
        two.expect_frame(&tagged(vid));
    }
    one.send_frame(&frame(2, 1, b"untagged"));
    two.send_frame(&tagged(10));
    // It ends by itself: two frames are enough.
    assert_eq!(capture.count(), (2, 0));
    let packets =
        capture.packets(&["frame.packet_flags_direction", "frame.cap_len", "frame.len", "vlan.id"]);
    assert_eq!(packets, ["0x00000002|64|118|10"; 2]);
}

#[test]
fn words_behind_the_ports_are_a_filter() {
    need!(tool("tshark"));
    let switch = Switch::start(&[]);
    let (mut one, mut two) = stations(&switch);
    let words =
        ["2", "(", "ether", "src", "02:00:00:00:00:01", "or", "arp", ")", "and", "less", "20"];
    let mut capture = Capture::start(&switch, &[&words[..], &["-c", "2"]].concat());
    for data in [&b"long enough to be left out"[..], b"one", b"two"] {
        one.send_frame(&frame(2, 1, data));
        two.expect_frame(&frame(2, 1, data));
        two.send_frame(&frame(1, 2, b"back"));
        one.expect_frame(&frame(1, 2, b"back"));
    }
    assert_eq!(capture.count(), (2, 0));
    let packets = capture.packets(&["frame.packet_flags_direction", "frame.len"]);
    assert_eq!(packets, ["0x00000002|17"; 2]);
    let wrong = switch.ctl(&["capture", "1", "tcp", "port", "80", "or", "foo"]).failed();
    let said = "etherws: Invalid filter: expected a port: 0 to 65535, http, domain ..\n  \
                tcp port 80 or foo\n                 ^^^\n";
    assert_eq!(wrong.stderr, said);
    let params = serde_json::json!({ "filter": "tcp port" });
    let answer = switch.rpc("capture", &params);
    assert!(
        answer["error"]["data"].as_str().unwrap().ends_with("\ntcp port\n        ^"),
        "{answer}"
    );
}

#[test]
fn a_reader_that_stops_loses_packets_and_nobody_a_frame() {
    need!(tool("tshark"));
    // As much as a queue, sockets and pipes hold, several times.
    const FRAMES: usize = 40_000;
    const WINDOW: usize = 100;
    let switch = Switch::start(&[]);
    let (mut one, mut two) = stations(&switch);
    let mut capture = Capture::start(&switch, &["1", "--direction", "rx"]);
    capture.process.signal(Signal::SIGSTOP);
    let data = frame(2, 1, &[5; 1486]);
    for _ in 0..FRAMES / WINDOW {
        for _ in 0..WINDOW {
            one.send_frame(&data);
        }
        for _ in 0..WINDOW {
            two.expect_frame(&data);
        }
    }
    capture.process.signal(Signal::SIGCONT);
    // The last one comes when there is room again, and tells what was lost before it.
    let last = frame(2, 1, b"the last");
    wait_until("the capture to go on", || {
        one.send_frame(&last);
        two.expect_frame(&last);
        capture.packets(&["frame.len"]).iter().any(|len| len == "22")
    });
    let port = switch.port(1);
    let (captured, lost) = capture.end();
    assert!(lost > 0, "{captured} captured");
    // All but the two frames from before.
    assert!(captured + lost <= port["rx"].as_u64().unwrap(), "{captured} and {lost}: {port}");
    assert!(captured + lost >= FRAMES as u64, "{captured} and {lost}");
    assert!(port["discards"].as_object().unwrap().values().all(|count| *count == 0), "{port}");
}

#[test]
fn captures_are_bounded_and_end_with_their_readers() {
    const MOST: usize = 16;
    let switch = Switch::start(&[]);
    let get = |path: &str| {
        let mut stream = http::connect(switch.control);
        let host = switch.control.to_string();
        stream.write_all(&http::request("GET", path, &[("Host", &host)], "")).unwrap();
        let response = Response::read_head(&mut stream).expect("an answer");
        (stream, response)
    };
    let mut open = Vec::new();
    let refused = loop {
        let (stream, response) = get("/capture");
        if response.status != 200 {
            break response;
        }
        assert_eq!(response.header("content-type"), Some("application/x-pcapng"));
        open.push(stream);
        assert!(open.len() <= MOST, "there is no limit");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert!(open.len() >= MOST - 1, "{} captures", open.len());
    open.clear();
    wait_until("room for a capture", || get("/capture").1.status == 200);
    for wrong in ["/capture?vlan=4095", "/capture?port=1", "/capture?ports=9"] {
        assert_eq!(get(wrong).1.status, 400, "{wrong}");
    }
    for (args, expected) in [
        (&["capture", "9"][..], "9: no such port"),
        (&["capture", "x"], "x: no such port"),
        (&["capture", "1e3"], "Invalid port: 1e3"),
        (
            &["capture", "--ethertype", "foo"],
            "Invalid ethertype: foo; give a number such as 0x0806, or",
        ),
        (&["capture", "--snaplen", "3"], "Invalid snaplen: 3; give 20 to"),
    ] {
        let output = switch.ctl(args).failed();
        assert!(output.stderr.contains(expected), "{output:?}");
    }
}

#[test]
fn without_a_file_each_frame_is_a_line() {
    let switch = Switch::start(&[]);
    let (mut one, mut two) = stations(&switch);
    let mut process = Process::start(switch.ctl_command(&["capture", "--direction=rx"]));
    let sent = |one: &mut WebSocket, two: &mut WebSocket| {
        one.send_frame(&frame(2, 1, b"x"));
        two.expect_frame(&frame(2, 1, b"x"));
    };
    wait_until("a line", || {
        sent(&mut one, &mut two);
        process.stdout.contains(" rx 02:00:00:00:00:01 > 02:00:00:00:00:02, 0x88b5, length 15")
    });
    process.signal(Signal::SIGTERM);
    assert!(process.wait_exit().success());
    wait_until("a count", || process.stderr.contains("captured"));
    // A reader that has seen enough is no error.
    let command = format!(
        "exec 3>&1; {{ {} ctl --ctlurl {} capture -w -; echo \"status $?\" >&3; }} | head -c 20 | wc -c",
        crate::support::switch::ETHERWS,
        switch.control_url(),
    );
    let mut shell = Site::here().command("sh");
    shell.args(["-c", &command]);
    let shell = Process::start(shell);
    wait_until("the end of the pipe", || {
        sent(&mut one, &mut two);
        shell.stdout.contains("status ")
    });
    assert!(shell.stdout.contains("status 0"));
}
