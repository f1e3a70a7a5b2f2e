use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::core::packet::TPID_SVLAN;

/// A port with these settings, as on a command line.
fn port(settings: &str) -> PortVlans {
    let mut all = PortSettings::declared();
    for pair in settings.split_whitespace() {
        let (name, value) = pair.split_once('=').expect("name=value");
        all.set(name, value).expect("a good value");
    }
    PortVlans::new(&all).expect("no contradiction").expect("about VLANs")
}

fn error(settings: &[(&str, &str)]) -> VlanError {
    let mut all = PortSettings::declared();
    settings.iter().for_each(|(name, value)| all.set(name, value).expect("a good value"));
    PortVlans::new(&all).expect_err("a contradiction")
}

/// A frame with these tags: `8100:10p3+88a8:7`, or `untagged`.
fn frame(tags: &str) -> Frame {
    let mut octets = [[0xff; 6], [2; 6]].concat();
    for tag in tags.split('+').filter(|tag| *tag != "untagged") {
        let (tpid, tci) = tag.split_once(':').expect("a TPID");
        let (vid, pcp) = tci.split_once('p').unwrap_or((tci, "0"));
        let tci = pcp.parse::<u16>().expect("PCP") << 13 | vid.parse::<u16>().expect("VID");
        octets.extend(u16::from_str_radix(tpid, 16).expect("TPID").to_be_bytes());
        octets.extend(tci.to_be_bytes());
    }
    octets.extend([0x88, 0xb6]);
    octets.resize(80, 0);
    Frame::new(octets.into())
}

/// The tags that a frame has on the wire.
fn tags(frame: &Frame) -> String {
    let frame = frame.copy_to(&mut BytesMut::new(), usize::MAX);
    let mut tags = Vec::new();
    for tag in frame.data()[12..].chunks(4) {
        let [tpid, tci] = [[tag[0], tag[1]], [tag[2], tag[3]]].map(u16::from_be_bytes);
        if ![TPID_CVLAN, TPID_SVLAN].contains(&tpid) {
            break;
        }
        let pcp = if tci >> 13 == 0 { String::new() } else { format!("p{}", tci >> 13) };
        tags.push(format!("{tpid:04x}:{}{pcp}", tci & 0xfff));
    }
    if tags.is_empty() { "untagged".to_owned() } else { tags.join("+") }
}

fn received(port: &PortVlans, frame: &Frame) -> Result<Frame, Discard> {
    Ok(frame.clone().retag(port.ingress(frame)?))
}

fn sent(port: &PortVlans, frame: &Frame) -> Result<Frame, Discard> {
    Ok(frame.clone().retag(port.egress(frame)?))
}

const ACCESS: &str = "vlan-mode=access tag=10";
const TRUNK: &str = "vlan-mode=trunk trunks=10,20";
const ALL: &str = "vlan-mode=trunk";
const UNTAGGED: &str = "vlan-mode=native-untagged tag=10 trunks=20";
const TAGGED: &str = "vlan-mode=native-tagged tag=10 trunks=20";
const TUNNEL: &str = "vlan-mode=dot1q-tunnel tag=20";

/// What leaves by an access port of VLAN 10, a trunk of 10 and 20, a trunk of all, and a
/// native-untagged one of 10 with trunk 20; or why it does not come in.
fn through(ingress: &str, tags_in: &str) -> String {
    let frame = match received(&port(ingress), &frame(tags_in)) {
        Ok(frame) => frame,
        Err(reason) => return reason.name().to_owned(),
    };
    [ACCESS, TRUNK, ALL, UNTAGGED]
        .map(|egress| {
            sent(&port(egress), &frame).map_or_else(|_| "-".to_owned(), |frame| tags(&frame))
        })
        .join(" ")
}

#[test]
fn frames_pass_as_through_open_vswitch_but_for_what_the_standard_says() {
    for (ingress, frame, out) in [
        (ACCESS, "untagged", "untagged 8100:10 8100:10 untagged"),
        (ACCESS, "8100:0p5", "untagged 8100:10p5 8100:10p5 untagged"),
        (ACCESS, "8100:10", "vlan-accept"),
        (ACCESS, "8100:20", "vlan-accept"),
        (ACCESS, "8100:4095", "vlan-accept"),
        (ACCESS, "88a8:10", "vlan-accept"),
        (ACCESS, "8100:0+8100:20", "vlan-accept"),
        (TRUNK, "untagged", "vlan-ingress"),
        (TRUNK, "8100:0p5", "vlan-ingress"),
        (TRUNK, "8100:10p3", "untagged 8100:10p3 8100:10p3 untagged"),
        (TRUNK, "8100:20", "- 8100:20 8100:20 8100:20"),
        (TRUNK, "8100:30", "vlan-ingress"),
        (TRUNK, "8100:4095", "vlan-ingress"),
        (TRUNK, "8100:10+8100:7", "8100:7 8100:10+8100:7 8100:10+8100:7 8100:7"),
        // Open vSwitch takes either type for a VLAN; of another type it is payload here.
        (TRUNK, "88a8:10", "vlan-ingress"),
        (ALL, "untagged", "- - untagged -"),
        (ALL, "8100:0p5", "- - 8100:0p5 -"),
        (ALL, "8100:30", "- - 8100:30 -"),
        (ALL, "88a8:10", "- - 88a8:10 -"),
        // Open vSwitch carries it, against 9.6.
        (ALL, "8100:4095", "vlan-ingress"),
        (UNTAGGED, "untagged", "untagged 8100:10 8100:10 untagged"),
        (UNTAGGED, "8100:0p5", "untagged 8100:10p5 8100:10p5 untagged"),
        (UNTAGGED, "8100:10", "untagged 8100:10 8100:10 untagged"),
        (UNTAGGED, "8100:20p1", "- 8100:20p1 8100:20p1 8100:20p1"),
        (UNTAGGED, "8100:30", "vlan-ingress"),
        (UNTAGGED, "88a8:20", "88a8:20 8100:10+88a8:20 8100:10+88a8:20 88a8:20"),
        (TAGGED, "untagged", "untagged 8100:10 8100:10 untagged"),
        (TAGGED, "8100:20", "- 8100:20 8100:20 8100:20"),
        // The type of the outer tag is the egress port's, and not the tunnel port's.
        (TUNNEL, "untagged", "- 8100:20 8100:20 8100:20"),
        (TUNNEL, "8100:4095", "- 8100:20+8100:4095 8100:20+8100:4095 8100:20+8100:4095"),
        (
            TUNNEL,
            "88a8:1+8100:2",
            "- 8100:20+88a8:1+8100:2 8100:20+88a8:1+8100:2 8100:20+88a8:1+8100:2",
        ),
    ] {
        assert_eq!(through(ingress, frame), out, "{ingress}: {frame}");
    }
    assert_eq!(
        sent(&port(TAGGED), &frame("8100:10")).map(|frame| tags(&frame)),
        Ok("8100:10".into())
    );
}

#[test]
fn nobody_gets_into_another_vlan_by_a_second_tag() {
    let strict = format!("{UNTAGGED} native-strict=on");
    let access = format!("{ACCESS} accept=untagged");
    for tags_in in ["8100:10+8100:20", "8100:0+8100:20", "88a8:20", "88a8:10+8100:20", "8100:10"] {
        for port in [&*strict, &access] {
            assert_eq!(through(port, tags_in), "vlan-accept", "{port}: {tags_in}");
        }
    }
    // Neither by a strict port that the first tag goes at.
    let out = |tags_in| sent(&port(&strict), &frame(tags_in)).map(|frame| tags(&frame));
    assert_eq!(out("8100:10+8100:20"), Err(Discard::VlanEgress));
    assert_eq!(out("8100:10"), Ok("untagged".to_owned()));
    // What is of another VLAN of the trunk passes.
    assert_eq!(
        through(&strict, "8100:20+8100:10"),
        "- 8100:20+8100:10 8100:20+8100:10 8100:20+8100:10"
    );
    assert_eq!(through(&strict, "untagged"), "untagged 8100:10 8100:10 untagged");
}

#[test]
fn one_setting_sets_both_ways_and_no_pvid_can_be_said() {
    let general = port("pvid=10 tagged=20");
    assert_eq!(
        (general.pvid(), [0, 1, 10, 20].map(|vid| general.is_member(Vid::from_tci(vid)))),
        (Vid::new(10), [false, false, true, true])
    );
    assert!(general.is_untagged(Vid::from_tci(10)) && !general.is_untagged(Vid::from_tci(20)));
    let none = port(&format!("{UNTAGGED} pvid=none"));
    assert_eq!(none.ingress(&frame("untagged")), Err(Discard::VlanIngress));
    assert_eq!(sent(&none, &frame("8100:10")).map(|frame| tags(&frame)), Ok("untagged".to_owned()));
    // Several VLANs that leave untagged: what comes in is of one.
    let several = port("pvid=10 untagged=10,11");
    assert_eq!(
        sent(&several, &frame("8100:11")).map(|frame| tags(&frame)),
        Ok("untagged".to_owned())
    );
    // Frames without a VLAN are carried both ways or not at all.
    for (settings, pvid) in [
        ("vlan-mode=trunk tagged=10", None),
        ("trunks=0,10 tagged=10", None),
        ("tagged=0,10", Vid::new(0)),
        ("untagged=0", Vid::new(0)),
    ] {
        assert_eq!(port(settings).pvid(), pvid, "{settings}");
    }
    assert!(
        !port("trunks=0-4094").names(Vid::from_tci(7)) && port("trunks=7").names(Vid::from_tci(7))
    );
    // There is no VLAN 1 unless it is asked for.
    for settings in [ACCESS, TRUNK, UNTAGGED, TUNNEL, "pvid=10"] {
        assert!(!port(settings).is_member(Vid::from_tci(1)), "{settings}");
    }
    let is_plain = |settings: &[(&str, &str)]| {
        let mut all = PortSettings::declared();
        settings.iter().for_each(|(name, value)| all.set(name, value).expect("good"));
        PortVlans::new(&all) == Ok(None)
    };
    assert!(is_plain(&[]) && is_plain(&[("native-strict", "off"), ("tpid", "802.1q")]));
}

#[test]
fn another_tag_type_and_priority_tags_are_as_set() {
    let provider = port(&format!("{TRUNK} tpid=802.1ad"));
    let inner = received(&port(TUNNEL), &frame("8100:7p6")).expect("a tunnel takes all");
    assert_eq!(
        sent(&provider, &inner).map(|frame| tags(&frame)),
        Ok("88a8:20+8100:7p6".to_owned())
    );
    let back = received(&provider, &frame("88a8:20p3+8100:7")).expect("its own type");
    assert_eq!(sent(&port(TUNNEL), &back).map(|frame| tags(&frame)), Ok("8100:7".to_owned()));
    assert_eq!(
        sent(&port(TRUNK), &back).map(|frame| tags(&frame)),
        Ok("8100:20p3+8100:7".to_owned())
    );
    assert_eq!(provider.ingress(&frame("8100:20")), Err(Discard::VlanIngress));
    // A tag that is payload in VLAN 0 would be a VLAN on the other wire.
    let all = port(&format!("{ALL} tpid=802.1ad"));
    assert_eq!(all.ingress(&frame("8100:20")), Err(Discard::VlanIngress));
    assert_eq!(all.egress(&frame("88a8:20")), Err(Discard::VlanEgress));
    for (rule, low, high) in [
        ("never", "untagged", "untagged"),
        ("if-nonzero", "untagged", "8100:0p5"),
        ("always", "8100:0", "8100:0p5"),
    ] {
        let port = port(&format!("{ACCESS} priority-tags={rule}"));
        let out = |tags_in| sent(&port, &frame(tags_in)).map(|frame| tags(&frame));
        assert_eq!((out("8100:10"), out("8100:10p5")), (Ok(low.to_owned()), Ok(high.to_owned())));
    }
}

#[test]
fn a_tunnel_port_accepts_what_it_is_told() {
    for (accept, untagged, tagged) in
        [("all", true, true), ("tagged", false, true), ("untagged", true, false)]
    {
        let port = port(&format!("{TUNNEL} accept={accept}"));
        let is_in = |tags_in| port.ingress(&frame(tags_in)).is_ok();
        assert_eq!((is_in("untagged"), is_in("8100:7")), (untagged, tagged), "{accept}");
    }
}

#[test]
fn contradictions_say_what_to_set() {
    for (settings, text) in [
        (&[("vlan-mode", "access")][..], "vlan-mode access needs the VLAN: set tag to 1 to 4094"),
        (&[("vlan-mode", "trunk"), ("tag", "1")], "vlan-mode trunk has no tag"),
        (&[("vlan-mode", "access"), ("tag", "1"), ("trunks", "2")], "access has no trunks"),
        (&[("tag", "1"), ("trunks", "2")], "native-untagged or native-tagged"),
        (&[("vlan-mode", "native-tagged"), ("tag", "1"), ("trunks", "0")], "cannot have 0"),
    ] {
        assert!(error(settings).to_string().contains(text), "{settings:?}");
    }
}

#[test]
fn vlans_are_tried_in_turn() {
    let trunk = port("trunks=0,10,4094");
    let next = |vid| trunk.next(Vid::from_tci(vid)).map(Vid::get);
    assert_eq!((next(0), next(10), next(4094)), (Some(10), Some(4094), Some(0)));
    assert_eq!(PortVlans::none().next(Vid::UNTAGGED), None);
}

fn any_port() -> impl Strategy<Value = PortVlans> {
    let vids = || prop::collection::vec(0u16..4, 0..3);
    let list = |vids: Vec<u16>| {
        let words: Vec<_> = vids.iter().map(u16::to_string).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(",") }
    };
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    let pvid = word(&["none", "1", "2", "3"]);
    let more = (word(&["all", "tagged", "untagged"]), any::<bool>(), any::<bool>());
    (pvid, vids(), vids(), more).prop_map(
        move |(pvid, tagged, untagged, (accept, strict, service))| {
            let (tagged, untagged) = (list(tagged), list(untagged));
            let tpid = if service { "802.1ad" } else { "802.1q" };
            let strict = if strict { "on" } else { "off" };
            port(&format!(
                "pvid={pvid} tagged={tagged} untagged={untagged} accept={accept} \
             native-strict={strict} tpid={tpid}"
            ))
        },
    )
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let tag = (prop::sample::select(vec!["8100", "88a8"]), 0u16..5, 0u8..8)
        .prop_map(|(tpid, vid, pcp)| format!("{tpid}:{}p{pcp}", if vid == 4 { 4095 } else { vid }));
    prop::collection::vec(tag, 0..4).prop_map(|tags| {
        frame(&if tags.is_empty() { "untagged".to_owned() } else { tags.join("+") })
    })
}

proptest! {
    #[test]
    fn a_frame_is_of_a_vlan_of_every_port_that_it_passes_and_keeps_its_octets(
        ingress in any_port(), egress in any_port(), frame in any_frame(),
    ) {
        let Ok(inner) = received(&ingress, &frame) else { return Ok(()) };
        let vid = inner.header().expect("still a header").vid();
        prop_assert!(ingress.is_member(vid));
        let Ok(out) = sent(&egress, &inner) else { return Ok(()) };
        prop_assert!(egress.is_member(vid));
        // Who reads it with the same tag type takes it for the same VLAN, if it is tagged.
        let header = out.header().expect("a header");
        if let Some(tag) = header.tag().filter(|_| vid != Vid::UNTAGGED && !egress.is_untagged(vid)) {
            prop_assert_eq!((tag.tpid(), tag.vid()), (egress.tpid.get(), vid));
        }
        // The tags of the frame but the one by which the port told its VLAN.
        let whole = out.copy_to(&mut BytesMut::new(), usize::MAX);
        prop_assert_eq!(header.payload(), frame.header().expect("a header").payload());
        prop_assert_eq!(&whole.data()[..12], &frame.data()[..12]);
    }

    #[test]
    fn no_octets_make_it_panic(ingress in any_port(), octets: Vec<u8>) {
        let frame = Frame::new(octets.into());
        let _ = (received(&ingress, &frame), ingress.egress(&frame));
    }
}
