use std::fs;

use super::*;

const EXAMPLE: &str = include_str!("../../packaging/etherws.toml");

/// The example with what stands behind up to `marks` marks.
fn example(marks: usize) -> String {
    let lines = EXAMPLE.lines().map(|line| {
        let bare = line.trim_start_matches('#');
        let is_setting = bare.starts_with('[') || bare.split(" = ").count() == 2;
        let is_setting = is_setting && !bare.starts_with(' ');
        if is_setting && line.len() - bare.len() <= marks { bare } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn read(text: &str) -> (File, Vec<Fault>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    fs::write(&path, text).unwrap();
    File::read(&path).unwrap()
}

#[test]
fn the_example_is_good_and_its_defaults_are_the_programs() {
    let run = |text: &str| {
        let (file, faults) = read(text);
        format!(
            "{:?}",
            resolve(&file.config, Some(&file), &CommandLine::default(), faults).unwrap()
        )
    };
    let defaults = run("");
    // The one setting that the package has of its own.
    let own = "socket = \"/run/etherws/control.sock\"";
    assert!(run(EXAMPLE).contains("/run/etherws/control.sock"));
    assert_eq!(run(&EXAMPLE.replace(own, "")), defaults);
    let spelled_out = example(1).replace(own, "");
    assert!(spelled_out.contains("\nageout = 300"), "{spelled_out}");
    // Unset, they are these, and read as they are written.
    let settings = |text: &str| read(text).0.config.port_defaults.settings.0;
    let declared = PortSettings::declared();
    let for_all = PortSettings { shut: None, ..declared };
    assert_eq!(settings(&spelled_out), for_all);
    let none = format!("{:?}", PortSettings::default());
    assert_eq!(run(&spelled_out).replace(&format!("{for_all:?}"), &none), defaults);
}

#[test]
fn the_example_names_every_key() {
    let (file, faults) = read(&example(2));
    assert_eq!(faults, []);
    let text = example(2);
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    for (table, definition) in schema["$defs"].as_object().unwrap() {
        let Some(keys) = definition["properties"].as_object() else { continue };
        let keys = keys.iter().filter(|(_, member)| member["deprecated"] != true);
        for (key, _) in keys.filter(|(key, _)| *key != "user" || table != "Switch") {
            let named = [format!("\n{key} = "), format!("{key}]")];
            assert!(named.iter().any(|form| text.contains(form)), "{table}: {key}");
        }
    }
    assert_eq!(file.config.port.len(), 3);
}

#[test]
fn settings_are_written_as_on_a_command_line_or_as_values_of_the_file() {
    let port = "[[port]]\ntype = \"tap\"\ntarget = \"a\"\n";
    let settings = |lines: &str| {
        let (file, faults) = read(&format!("{port}{lines}"));
        assert_eq!(faults, [], "{lines}");
        file.config.port[0].settings.clone()
    };
    for (one, other) in [
        ("shut = true", "shut = \"on\""),
        ("loop-guard = false", "loopguard = \"off\""),
        ("max-macs = 5", "max-macs = \"5\""),
        ("offload = false", "offload = \"off\""),
        ("offload = [\"tcp\", \"udp\"]", "offload = \"tcp,udp\""),
        ("storm-broadcast = 10", "storm-broadcast = \"10/40\""),
        ("storm-unicast = false", "storm-unicast = \"off\""),
    ] {
        assert_ne!(settings(one), PortSettings::default(), "{one}");
        assert_eq!(settings(one), settings(other), "{one}");
    }
    let (_, faults) = read(&format!("{port}shut = \"maybe\""));
    assert_eq!(faults[0].text, "shut: \"maybe\" is neither on nor off");
}

#[test]
fn an_unknown_key_of_a_port_is_told_with_the_one_that_is_meant() {
    let text = "[[port]]\ntype = \"client\"\ntarget = \"ws://h/\"\n";
    for (line, meant) in [
        ("adresses = []", "did you mean addresses?"),
        ("password = \"x\"", "did you mean password-file?"),
        ("maxmac = 3", "did you mean max-macs?"),
        ("xyzzy = 1", "there are "),
    ] {
        let (file, faults) = read(&format!("{text}{line}"));
        let none = CommandLine::default();
        let faults = resolve(&file.config, Some(&file), &none, faults).unwrap_err();
        assert!(faults.to_string().contains(meant), "{line}: {faults}");
    }
}

/// What is wrong with a text, each with its line.
fn wrong(text: &str) -> Vec<String> {
    let (file, faults) = read(text);
    let (_, faults) = survey(&file.config, Some(&file), &CommandLine::default(), faults);
    let folder = file.path.display().to_string();
    let faults = file.faults(&faults);
    let lines = faults.report.lines().filter_map(|line| line.strip_prefix(&folder));
    lines.map(|line| line.trim_start_matches(':').to_owned()).collect()
}

#[test]
fn a_value_of_another_type_is_told_with_the_form_that_is_wanted() {
    let port = "[[port]]\ntype = \"tap\"\ntarget = \"a\"\n";
    let client = "[[port]]\ntype = \"client\"\ntarget = \"ws://h/\"\n";
    for (text, expected) in [
        ("[tunnel]\nport = \"http\"", "2:8: port = \"http\": give a whole number from 0 to 65535"),
        ("[tunnel]\nport = \"80\"", "2:8: port = \"80\": write port = 80, without quotes"),
        ("[tunnel]\nport = 70000", "2:8: port = 70000: give a whole number from 0 to 65535"),
        ("[tunnel]\nport = 1.5", "2:8: port = 1.5: give a whole number from 0 to 65535"),
        ("[switch]\nageout = 0", "2:10: ageout = 0: give a whole number from 1 to 4294967295"),
        ("[switch]\nuser = 5", "2:8: user = 5: a text needs quotes; write user = \"5\""),
        ("[log]\ndebug = \"yes\"", "2:9: debug = \"yes\": give true or false"),
        ("[log]\ndebug = 1", "2:9: debug = 1: give true or false"),
        (
            "[tunnel]\nallow-origin = \"https://h\"",
            "2:16: allow-origin = \"https://h\": write a list, allow-origin = [\"https://h\"]",
        ),
        ("[tunnel]\nmaxsessions = \"x\"", "2:15: maxsessions = \"x\": give a whole number from 0"),
        ("[tunnel]\nwire = \"whole\"", "2:8: unknown value whole; there are plain, super-frames"),
        ("tunnel = true", "1:10: tunnel = true: it is a table; write [tunnel], and its keys below"),
        (
            "[[tunnel]]\nport = 1",
            "1:1: [[tunnel]] is a list; write [tunnel], in single brackets, once",
        ),
        (
            "[port]\ntype = \"tap\"\ntarget = \"a\"",
            "1:1: [port] is one table; write [[port]], in double brackets, for each",
        ),
        (
            &format!("{port}[port.fdb]\nmac = \"02:00:00:00:00:01\""),
            "4:1: [port.fdb] is one table; write [[port.fdb]], in double brackets, for each",
        ),
        (&format!("{port}mtu = \"1500\""), "4:7: mtu = \"1500\": write mtu = 1500, without quotes"),
        (&format!("{port}description = 5"), "4:15: description: a text needs quotes; write \"5\""),
        (&format!("{client}insecure = \"yes\""), "4:12: insecure = \"yes\": give true or false"),
    ] {
        assert_eq!(wrong(text), [expected], "{text}");
    }
}

#[test]
fn what_is_not_toml_is_told_in_plain_words() {
    for (line, expected) in [
        ("host = 127.0.0.1", "host = 127.0.0.1: a text needs quotes; write host = \"127.0.0.1\""),
        ("host = bob # his", "host = bob: a text needs quotes; write host = \"bob\""),
        ("host =", "host has no value; write host = VALUE"),
        ("host \"x\"", "host \"x\" has no =; write host = \"x\""),
        ("host: x", "host: x has no =; write host = x"),
        ("host = True", "host = True is not valid; write host = true"),
        (
            "host = \"x",
            "host = \"x: the value must end with the quote that it begins with, and nothing behind it",
        ),
        ("port = 1\nport = 2", "port is given twice; delete one of the two"),
        ("[control", "[control is not closed; write [table], or [[port]] for each port"),
    ] {
        let faults = wrong(&format!("[tunnel]\n{line}\n"));
        assert_eq!(faults.len(), 1, "{line}: {faults:?}");
        assert!(faults[0].ends_with(expected), "{line}: {faults:?}");
    }
}

#[test]
fn one_mistake_hides_no_other() {
    let text = "[switch]\nuser = bob\nagout = 5\n[tunnel]\nport = \"x\"\npath = y\n\
                [[port]]\ntype = \"tap\"\ntarget = a\nshut = 7\nmtu = true\n\
                [[port]]\ntype = \"tap\"\ntarget = \"averyverylongname\"\nname = \"x\"\n\
                [[port]]\ntype = \"netdev\"\ntarget = \"b/c\"\nname = \"x\"\n\
                [[port]]\ntype = \"tap\"\ntarget = \"c\"\nname = \"y\"\ncarrier-from = \"y\"\n\
                [[port]]\ntype = \"netdev\"\ntarget = \"c\"\nname = \"y\"\n";
    let faults = wrong(text);
    let lines: Vec<_> =
        faults.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(
        lines,
        ["2", "3", "5", "6", "9", "10", "11", "14", "18", "24", "27", "28"],
        "{faults:#?}"
    );
}

#[test]
fn profiles_are_checked_with_their_places() {
    let text = "[profile.a]\ninherits = \"b\"\nname = \"x\"\n[profile.b]\ninherits = \"a\"\n\
        maxmac = 3\n[profile.\"a b\"]\n[[port]]\ntype = \"tap\"\ntarget = \"t\"\nprofile = \"c\"\n";
    let faults = |text: &str| {
        let (file, faults) = read(text);
        resolve(&file.config, Some(&file), &CommandLine::default(), faults).unwrap_err().report
    };
    let told = faults(text);
    for wanted in [
        ":2:12: profiles inherit in a circle: a, b, a;",
        ":3:8: name cannot stand in a profile",
        ":6:1: unknown key maxmac; did you mean max-macs?",
        ":7:1: \"a b\" is not a name;",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(!told.contains("no profile c"), "{told}");
    let told = faults(&text[text.find("[[port").unwrap()..]);
    assert!(told.contains(":4:11: unknown profile c; known: none"), "{told}");
}

#[test]
fn settings_for_vlans_are_checked_together_with_the_defaults() {
    let port = "[[port]]\ntype = \"tap\"\ntarget = \"a\"\n";
    let none = CommandLine::default();
    for (lines, said) in [
        ("[port-defaults]\nvlan-mode = \"access\"\n".to_owned(), "set tag to 1 to 4094"),
        (format!("{port}tag = 10\ntrunks = [20, \"30-39\"]\n"), "native-untagged"),
        (format!("[port-defaults]\ntag = 10\n{port}vlan-mode = \"trunk\"\n"), "has no tag"),
        ("[profile.a]\nusers = [\"*\"]\nvlan-mode = \"access\"\n".to_owned(), "needs the VLAN"),
    ] {
        let (file, faults) = read(&lines);
        let faults = resolve(&file.config, Some(&file), &none, faults).unwrap_err();
        assert!(faults.to_string().contains(said), "{lines}: {faults}");
    }
    let (file, faults) =
        read("[tunnel]\n[profile.a]\nvlan-mode = \"access\"\n[vlan-names]\n10 = \"guests\"\n");
    let sw = resolve(&file.config, Some(&file), &none, faults).unwrap();
    assert_eq!(sw.vlan_names.values().collect::<Vec<_>>(), ["guests"]);
    for (bad, said) in [("4095 = \"x\"", "1 to 4094"), ("5 = \"\"", "1 to 63 characters")] {
        let (file, faults) = read(&format!("[vlan-names]\n{bad}\n"));
        let faults = resolve(&file.config, Some(&file), &none, faults).unwrap_err();
        assert!(faults.to_string().contains(said), "{bad}: {faults}");
    }
}

#[test]
fn every_key_has_its_option() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let option = |key: &str| schema.pointer(&pointer(&schema, key)?)?["option"].as_str();
    assert_eq!(option("control.tls.client-ca"), Some("--ctlsslclientca"));
    assert_eq!(option("port-defaults.max-macs"), Some("--max-macs"));
    for (table, definition) in schema["$defs"].as_object().unwrap() {
        let of_ports =
            ["PortTable", "FdbTable", "ProfileTable", "Mirror"].contains(&table.as_str());
        for (key, member) in definition["properties"].as_object().into_iter().flatten() {
            let is_former = member["deprecated"] == true;
            let is_table = member.get("$ref").is_some()
                || table == "PortTable"
                || member["additionalProperties"] != Value::Null;
            let is_of_switch = Setting::find(key).is_some_and(Setting::is_of_switch);
            let is_key = !is_table && !of_ports && !is_former;
            let is_key = is_key && (table == "Switch" || !is_of_switch);
            assert_eq!(member.get("option").is_some(), is_key, "{table}: {key}");
        }
    }
}

#[test]
fn the_command_line_lies_over_the_file() {
    let below = read(
        "[switch]\nageout = 2\nthreads = 3\n[port-defaults]\nmax-macs = 7\n\
        [tunnel.tls]\nkey = \"/o\"\ncert = \"/c\"\n[log]\ndebug = true",
    );
    let command = Config::augment_args(clap::Command::new("sw"));
    let line = ["sw", "--ageout", "1", "--sslkey", "/k", "--debug=false", "--no-hosts"];
    let matches = command.clone().get_matches_from(line);
    let line = CommandLine::new(&command, matches);
    let both = line.over(below.0.config).unwrap();
    assert_eq!((both.switch.ageout, both.switch.threads), (Some(1), Some(3)));
    assert_eq!((both.switch.hosts, both.log.debug), (Some(false), Some(false)));
    assert_eq!(both.port_defaults.settings.0.max_macs, Some(7));
    let tls = both.tunnel.tls;
    assert_eq!((tls.key, tls.cert), (Some("/k".into()), Some("/c".into())));
}

#[test]
fn spanning_tree_is_of_the_switch_in_its_table_and_of_ports_in_theirs() {
    let text = "[switch]\nstp = \"rstp\"\nstp-priority = 4096\n[port-defaults]\nstp = false\n\
                stp-priority = 16\nstp-edge = true\n";
    let (file, faults) = read(text);
    let sw = resolve(&file.config, Some(&file), &CommandLine::default(), faults).unwrap();
    let stp = sw.stp.unwrap();
    assert_eq!((stp.priority, stp.force_stp), (4096, false));
    assert_eq!((stp.max_age.as_secs(), stp.forward_delay.as_secs()), (20, 15));
    assert_eq!(sw.port_defaults.describe(), "stp off, stp-priority 16, stp-edge on");
    let stp = |mode: &str| {
        let (file, faults) = read(&format!("[switch]\nstp = \"{mode}\"\n"));
        resolve(&file.config, Some(&file), &CommandLine::default(), faults).unwrap().stp
    };
    assert_eq!(stp("off"), None);
    assert!(stp("stp").unwrap().force_stp);
}

#[test]
fn what_is_said_of_snooping_without_snooping_is_told() {
    for key in ["mcast-querier = true", "mcast-groups = 64"] {
        let name = key.split(' ').next().expect("a key");
        let [fault] = &*wrong(&format!("[switch]\n{key}\n")) else { panic!("{key}") };
        let expected = format!(
            "switch.{name} is given without switch.mcast-snooping: give switch.mcast-snooping as well"
        );
        assert!(fault.ends_with(&expected), "{fault}");
        // To switch it off for a while is no mistake.
        assert_eq!(wrong(&format!("[switch]\nmcast-snooping = false\n{key}\n")), [""; 0]);
    }
}

#[test]
fn a_bridge_that_cannot_be_is_told_with_what_could() {
    for (text, expected) in [
        ("stp = \"on\"", "2:7: unknown value on; there are off, rstp, stp"),
        ("stp = true", "2:7: stp = true: give one of \"off\", \"rstp\", \"stp\""),
        (
            "stp = \"rstp\"\nstp-priority = 5",
            "3:16: switch.stp-priority: 5 is not a bridge priority: give a multiple of 4096 from 0 \
             to 61440",
        ),
        (
            "stp = \"rstp\"\nstp-max-age = 5",
            "3:15: stp-max-age = 5: give a whole number from 6 to 40",
        ),
        (
            "stp = \"rstp\"\nstp-forward-delay = 8",
            "3:21: switch.stp-forward-delay: max age of 20 s is too long for a forward delay of 8 s: \
             give 14 or less, or a forward delay of 11 or more",
        ),
        (
            "stp-priority = 4096",
            "2:16: switch.stp-priority is given without switch.stp: give switch.stp as well, as rstp",
        ),
    ] {
        assert_eq!(wrong(&format!("[switch]\n{text}\n")), [expected], "{text}");
    }
}
