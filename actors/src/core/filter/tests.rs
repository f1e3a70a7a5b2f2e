use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use proptest::{
    collection::vec, prelude::*, sample::select, strategy::ValueTree as _, test_runner::TestRunner,
};

use super::{
    model::{Told, told, tree},
    *,
};
use crate::{core::packet::reference, fuzz};

proptest! {
    #[test]
    fn a_filter_matches_what_is_told_of_a_frame(
        (tree, tolds) in (tree(true), vec(told(false), 1..30)),
    ) {
        let text = tree.text();
        prop_assume!(text.len() <= 1024);
        let filter: Expression = text.parse().map_err(|e: FilterError| TestCaseError::fail(e.to_string()))?;
        for told in tolds {
            let frame = Frame::new(told.octets().into());
            prop_assert_eq!(filter.matches(&frame), tree.holds(&told), "{}: {:?}", text, told);
            // A tag's change that is left to be done is seen as done.
            for changed in reference::changes(&frame) {
                let by_hand = reference::by_hand(&changed);
                prop_assert_eq!(filter.matches(&changed), filter.matches(&by_hand));
            }
        }
    }

    #[test]
    fn any_text_is_a_filter_or_an_error_with_its_place(
        words in vec(select(vec!["(", ")", "!", "not", "and", "or", "||", "&&", "&", "tcp", "ether", "ip6", "src", "dst", "host", "net",
            "port", "proto", "vlan", "80", "192.0.2.1", "::/0", "10/8", "less", "multicast", "\u{e4}\u{7}", "\\ip", " ", "-"]), 0..20),
        octets in vec(any::<u8>(), 0..200),
    ) {
        for text in [words.join(" "), words.concat()] {
            let len = u16::try_from(text.len()).unwrap().to_be_bytes();
            fuzz::filter(&[&len, text.as_bytes(), &octets].concat());
        }
    }
}

#[test]
fn an_error_shows_the_place_and_what_is_missing() {
    for (text, expected, carets) in [
        ("tcp and", "expected a question", "       ^"),
        ("host foo", "expected an IP address, or a word", "     ^^^"),
        ("tcp prot 80", "expected and, or, or the end", "    ^^^^"),
        ("(tcp or udp", "expected and, or, or )", "           ^"),
        ("port 65536", "expected a port", "     ^^^^^"),
        ("portrange 9-7", "expected two ports", "          ^^^"),
        ("net 10.1.0.0/8", "give 10.0.0.0/8", "    ^^^^^^^^^^"),
        ("net 10.0.0.0", "expected a network", "    ^^^^^^^^"),
        ("host 10.0.0.0/8", "wants net", "     ^^^^^^^^^^"),
        ("tcp host 10.0.0.1", "this has no hosts", "^^^"),
        ("ip port 80", "only tcp, udp and sctp", "^^"),
        ("src proto 6", "neither src nor dst", "^^^"),
        ("ip broadcast", "give ether before it", "   ^^^^^^^^^"),
        ("vlan 4095", "expected the number of a VLAN", "     ^^^^"),
        ("ether host 02:00", "expected a MAC address", "           ^^^^^"),
        ("host 02:00:00:00:00:01", "wants ether before it", "     ^^^^^^^^^^^^^^^^^"),
        ("ether proto 5", "expected an EtherType", "            ^"),
        ("tcp[13] & 2 != 0", "octets of a frame cannot", "^^^^^^^"),
        ("src or port 80", "expected dst", "       ^^^^"),
        ("\u{e4} and", "expected an IP address", "^"),
    ] {
        let error = text.parse::<Expression>().expect_err(text).to_string();
        let lines: Vec<_> = error.split('\n').collect();
        assert!(lines[0].contains(expected), "{error}");
        assert_eq!(lines[1..], [text, carets], "{error}");
    }
    let empty = "".parse::<Expression>().unwrap_err().to_string();
    assert_eq!(empty, "Invalid filter: expected a question, such as tcp port 80");
    let long = "tcp or ".repeat(200) + "udp";
    assert!(
        long.parse::<Expression>()
            .unwrap_err()
            .to_string()
            .ends_with("1403 octets; give at most 1024")
    );
    let deep = |depth| format!("{}tcp{}", "(".repeat(depth), ")".repeat(depth));
    assert!(deep(32).parse::<Expression>().is_ok() && deep(33).parse::<Expression>().is_err());
}

#[test]
fn words_may_be_left_out_as_tcpdump_has_it() {
    for (short, long) in [
        ("port 80 or 443", "port 80 or port 443"),
        ("tcp dst port (http or https)", "(tcp dst port 80 or tcp dst port 443)"),
        ("src 192.0.2.1", "src host 192.0.2.1"),
        ("192.0.2.1", "host 192.0.2.1"),
        ("! arp&&!(tcp)", "not arp and not (tcp)"),
        ("net 10", "net 10.0.0.0/8"),
        ("not not ip", "ip"),
        ("ether proto \\arp", "ether proto 0x0806"),
        ("proto tcp", "proto 6"),
    ] {
        let [short, long] = [short, long].map(|text| text.parse::<Expression>().expect(text));
        assert_eq!(short.terms, long.terms, "{short}");
    }
    for (text, yes) in [
        ("tcp", true),
        ("not", true),
        ("(udp)", true),
        ("!arp", true),
        ("::1", true),
        ("tcp port 80", true),
        ("1", false),
        ("uplink", false),
        ("", false),
        ("vlan7", false),
        ("tcp7", false),
    ] {
        assert_eq!(Expression::may_begin(text), yes, "{text}");
    }
}

#[test]
fn a_super_frame_is_as_long_as_what_it_is_cut_into() {
    use crate::core::offload::segment::{segment, tests::Shape};
    let frame = Shape::tcp4(2500, 1000).frame();
    let mut longest = 0;
    segment(frame.clone(), |segment| longest = longest.max(segment.len())).expect("it fits");
    assert!(longest > 1000 && longest < 1200);
    let matches = |text: &str| text.parse::<Expression>().unwrap().matches(&frame);
    assert!(matches(&format!("less {longest}")) && matches(&format!("greater {longest}")));
    assert!(!matches(&format!("greater {}", longest + 1)));
    assert!(matches("tcp"));
}

/// The numbers of the packets that tcpdump lets pass.
fn tcpdump(packets: &[Vec<u8>], filter: &str) -> Option<Vec<usize>> {
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut file =
        [0xa1b2_c3d4_u32.to_le_bytes(), [2, 0, 4, 0], [0; 4], [0; 4], word(65536), word(1)]
            .concat();
    for (number, packet) in packets.iter().enumerate() {
        file.extend([word(number), word(0), word(packet.len()), word(packet.len())].concat());
        file.extend(packet);
    }
    let mut command = Command::new("tcpdump");
    command.args(["-n", "-r", "-", "-w", "-", filter]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&file));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("expression rejects all packets") {
        return Some(Vec::new());
    }
    assert!(output.status.success(), "{filter}: {said}");
    let (mut rest, mut numbers) = (&output.stdout[24..], Vec::new());
    while let Some((head, behind)) = rest.split_first_chunk::<16>() {
        let read = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        numbers.push(read(0));
        rest = &behind[read(8)..];
    }
    Some(numbers)
}

#[test]
fn tcpdump_matches_the_same_packets() {
    const PACKETS: usize = 400;
    const FILTERS: usize = 120;
    if tcpdump(&[], "ip").is_none() {
        println!("SKIPPED: tcpdump is not installed");
        return;
    }
    let mut runner = TestRunner::deterministic();
    let mut sample = |tags| {
        let told = told(true).prop_map(move |mut told| {
            told.tags = told.tags.into_iter().cycle().take(tags).collect();
            told
        });
        vec(told, PACKETS).new_tree(&mut runner).unwrap().current()
    };
    let of = |told: Vec<Told>| told.iter().map(Told::octets).collect::<Vec<_>>();
    let (untagged, tagged) = (of(sample(0)), of(sample(1)));
    let mut runner = TestRunner::deterministic();
    let mut matched = 0;
    for _ in 0..FILTERS {
        let text = tree(false).new_tree(&mut runner).unwrap().current().text();
        // tcpdump's own offsets move behind `vlan`; with one tag that is what we do always.
        for (packets, text) in [
            (&untagged, text.clone()),
            (&tagged, format!("vlan and ({text})")),
            (&tagged, format!("vlan 10 and ({text})")),
        ] {
            let Ok(filter) = text.parse::<Expression>() else { continue };
            let ours: Vec<_> = (0..packets.len())
                .filter(|at| filter.matches(&Frame::new(packets[*at].clone().into())))
                .collect();
            assert_eq!(Some(&ours), tcpdump(packets, &text).as_ref(), "{text}");
            matched += ours.len();
        }
    }
    assert!(matched > FILTERS * 10, "{matched} of many packets match");
}
