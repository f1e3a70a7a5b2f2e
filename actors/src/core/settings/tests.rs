//! Settings as a whole: how they are read, written and laid over each other.

use super::*;

fn of(text: &[(&str, &str)]) -> PortSettings {
    let mut settings = PortSettings::default();
    text.iter().for_each(|(name, text)| settings.set(name, text).expect("a good value"));
    settings
}

#[test]
fn every_setting_is_read_as_it_is_written() {
    for setting in SETTINGS {
        assert!(setting.help.ends_with('.'), "{}: {}", setting.name, setting.help);
        assert!(!setting.name.contains('_') && !setting.form.is_empty(), "{}", setting.name);
        let example = setting.default().unwrap_or_else(|| match setting.name {
            "txqueuelen" | "impair-seed" => "7".to_owned(),
            "mac" | "static-macs" => "02:00:00:00:00:01".to_owned(),
            "stp-trust" => "on".to_owned(),
            "stp-cost" => "5000".to_owned(),
            "lldp-status" => "rx-only".to_owned(),
            "vlan-mode" => "trunk".to_owned(),
            "accept" => "tagged".to_owned(),
            "tag" | "trunks" | "pvid" | "tagged" | "untagged" => "9".to_owned(),
            "allowed-ips" => "192.0.2.0/24".to_owned(),
            "trust" => "client".to_owned(),
            _ => "uplink".to_owned(),
        });
        let mut settings = PortSettings::default();
        for name in [setting.name].iter().chain(setting.aliases) {
            settings.set(name, &example).expect("its own form");
        }
        assert_eq!(settings.show(setting.name).as_deref(), Some(&*example));
        let json = serde_json::to_string(&settings).expect("JSON");
        assert_eq!(serde_json::from_str::<PortSettings>(&json).expect("the same"), settings);
        assert_eq!(settings.differing(&PortSettings::default()), [setting.name]);
        settings.clear(setting.name);
        assert_eq!(settings, PortSettings::default());
    }
}

#[test]
fn own_settings_come_before_those_below() {
    let own = of(&[("max-macs", "5"), ("shut", "on")]);
    let below = of(&[("max-macs", "9"), ("loopguard", "off")]);
    let both = own.or(&below);
    assert_eq!((both.max_macs(), both.shut(), both.loop_guard()), (5, true, false));
    assert_eq!(both.or(&PortSettings::declared()).storm_unicast(), both.storm_unicast());
    assert_eq!(own.differing(&below), ["shut", "loop-guard", "max-macs"]);
}

#[test]
fn what_only_the_file_may_have_is_refused_to_control_and_no_option() {
    let setting = |scope| Setting { name: "script", scope, ..Setting::PLAIN };
    assert_eq!(setting(Scope::Anywhere).check_control(), Ok(()));
    assert_eq!(setting(Scope::Port).check_control(), Ok(()));
    let error = setting(Scope::File).check_control().expect_err("a script").to_string();
    assert!(error.starts_with("script can only be set in the configuration file"), "{error}");
    let given = of(&[("name", "a"), ("max-macs", "5")]);
    assert_eq!(given.given().map(|one| one.name).collect::<Vec<_>>(), ["name", "max-macs"]);
}

#[test]
fn an_unknown_setting_is_told_with_those_that_there_are() {
    let error = PortSettings::default().set("maxmac", "1").expect_err("unknown").to_string();
    assert!(error.contains("\"maxmac\"") && error.contains("max-macs"), "{error}");
}
