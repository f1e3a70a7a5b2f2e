//! Profiles: settings under a name, for ports that name them and for sessions of users; and
//! the order in which a port's settings come.

use std::collections::{BTreeMap, HashMap};

use super::{InForce, Label, Origin, PortSettings, SETTINGS, Scope, Setting, Trust};
use crate::core::holder::Holder;

/// Stands among a profile's users for whoever holds a session and is in no other profile.
pub const ANYBODY: &str = "*";

/// Most profiles: whoever has more has one for each port.
pub const MAX_PROFILES: usize = 256;

/// Settings under a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The profile that gives what this one does not.
    pub inherits: Option<Label>,
    /// Users whose sessions have it.
    pub users: Vec<String>,
    /// Sessions that each of them may have.
    pub max_sessions: Option<usize>,
    /// What it gives.
    pub settings: PortSettings,
}

/// What is wrong with profiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ProfileError {
    /// The key that it is about: `NAME.inherits`.
    pub key: String,
    text: String,
}

/// All profiles. Each has what it inherits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profiles {
    named: BTreeMap<Label, Profile>,
    of_users: HashMap<String, Label>,
}

impl Profiles {
    /// These profiles.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(given: &BTreeMap<Label, Profile>) -> Result<Self, Vec<ProfileError>> {
        let mut profiles = Self::default();
        let mut errors = Vec::new();
        let mut note = |key: String, text: String| errors.push(ProfileError { key, text });
        if given.len() > MAX_PROFILES {
            let text =
                format!("{} profiles are too many; give {MAX_PROFILES} at most", given.len());
            note(String::new(), text);
        }
        for (name, profile) in given {
            for setting in profile.settings.given().filter(|one| one.scope != Scope::Anywhere) {
                let text = format!(
                    "{} cannot stand in a profile, as it is about one port; write it in that \
                     [[port]]",
                    setting.name
                );
                note(format!("{name}.{}", setting.name), text);
            }
            for (at, user) in profile.users.iter().enumerate() {
                match profiles.of_users.insert(user.clone(), name.clone()) {
                    Some(other) if other != *name => {
                        let text =
                            format!("user {user:?} is in profile {other} already; delete one");
                        note(format!("{name}.users.{at}"), text);
                    }
                    _ => {}
                }
            }
            match inherited(name, given) {
                Ok(whole) => {
                    profiles.named.insert(name.clone(), whole);
                }
                Err(text) => note(format!("{name}.inherits"), text),
            }
        }
        if errors.is_empty() { Ok(profiles) } else { Err(errors) }
    }

    /// The profile of that name.
    #[must_use]
    pub fn get(&self, name: &Label) -> Option<&Profile> {
        self.named.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Label, &Profile)> {
        self.named.iter()
    }

    /// Their names, for people.
    #[must_use]
    pub fn names(&self) -> String {
        names(&self.named)
    }

    /// That of a user; of whoever has no name without one.
    #[must_use]
    pub fn of_user(&self, user: Option<&str>) -> Option<(&Label, &Profile)> {
        let own = user.and_then(|user| self.of_users.get(user));
        let name = own.or_else(|| self.of_users.get(ANYBODY))?;
        self.named.get_key_value(name)
    }

    /// These, and of `former` ones those that are here no more: for ports that still name them.
    #[must_use]
    pub fn beside(mut self, former: &Self) -> Self {
        for (name, profile) in &former.named {
            self.named.entry(name.clone()).or_insert_with(|| profile.clone());
        }
        self
    }
}

fn names(profiles: &BTreeMap<Label, Profile>) -> String {
    let names: Vec<_> = profiles.keys().map(Label::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The profile with all that it inherits; or why it cannot.
fn inherited(name: &Label, given: &BTreeMap<Label, Profile>) -> Result<Profile, String> {
    let mut whole = given.get(name).cloned().unwrap_or_default();
    let (mut path, mut next) = (vec![name.as_str()], whole.inherits.clone());
    // No more often than there are profiles.
    while let Some(above) = next.take() {
        let Some((above, profile)) = given.get_key_value(&above) else {
            if path.len() > 1 {
                return Ok(whole); // Told of the profile that says so.
            }
            return Err(format!("unknown profile {above}; known: {}", names(given)));
        };
        let is_cycle = path.contains(&above.as_str());
        path.push(above.as_str());
        if is_cycle {
            return Err(format!(
                "profiles inherit in a circle: {}; delete one inherits of them",
                path.join(", ")
            ));
        }
        whole.settings = whole.settings.or(&profile.settings);
        whole.max_sessions = whole.max_sessions.or(profile.max_sessions);
        next.clone_from(&profile.inherits);
    }
    Ok(whole)
}

/// Where a port has its settings from.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    kind: &'a str,
    own: &'a PortSettings,
    profile: Option<(&'a Label, &'a Profile)>,
    of_user: Option<(&'a Label, &'a Profile)>,
    defaults: &'a PortSettings,
}

impl<'a> Layers<'a> {
    /// Of a port of this kind with settings of its `own`, which is a session of `holder`.
    #[must_use]
    pub fn new(
        kind: &'a str,
        own: &'a PortSettings,
        holder: Option<&Holder>,
        profiles: &'a Profiles,
        defaults: &'a PortSettings,
    ) -> Self {
        let profile = own.profile.as_ref().and_then(|name| profiles.named.get_key_value(name));
        let of_user = holder.and_then(|holder| profiles.of_user(holder.user.as_deref()));
        Self { kind, own, profile, of_user, defaults }
    }

    /// All that is in force: what none of them gives, and what this kind of port does not
    /// have, is `None`.
    #[must_use]
    pub fn merged(&self) -> PortSettings {
        let below = [self.profile, self.of_user].into_iter().flatten();
        let named = below.fold(self.own.clone(), |all, (_, one)| all.or(&one.settings));
        let trust = named.trust.or(self.defaults.trust);
        let guards = trust.map(Trust::settings).unwrap_or_default();
        let mut all = named.or(&guards).or(self.defaults);
        for foreign in SETTINGS.iter().filter(|setting| !setting.is_for(self.kind)) {
            all.clear(foreign.name);
        }
        all
    }

    /// The profile that it has: the one that it names, or its user's.
    #[must_use]
    pub fn profile(&self) -> Option<&'a Label> {
        self.profile.or(self.of_user).map(|(name, _)| name)
    }

    /// The setting as it is in force in `merged`.
    #[must_use]
    pub fn in_force(&self, setting: &'static Setting, merged: &PortSettings) -> InForce {
        let name = setting.name;
        let gives = |one: &Option<(&'a Label, &'a Profile)>| {
            one.filter(|(_, profile)| {
                profile.settings.show(name).is_some() && setting.is_for(self.kind)
            })
        };
        let trusts = merged.trust.map(Trust::settings);
        let is_trusts = trusts.is_some_and(|all| all.show(name).is_some());
        let (origin, profile) = match (gives(&self.profile), gives(&self.of_user)) {
            _ if self.own.show(name).is_some() => (Origin::Own, None),
            (Some((profile, _)), _) => (Origin::Profile, Some(profile.clone())),
            (None, Some((profile, _))) => (Origin::UserProfile, Some(profile.clone())),
            (None, None) if is_trusts && setting.is_for(self.kind) => (Origin::Trust, None),
            (None, None) => (Origin::Default, None),
        };
        InForce { name, value: merged.show(name).unwrap_or_default(), origin, profile }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        text.parse().expect("a label")
    }

    fn settings(max_macs: Option<usize>, sticky: Option<bool>) -> PortSettings {
        PortSettings { max_macs, sticky, ..PortSettings::default() }
    }

    fn profile(inherits: &str, users: &[&str], settings: PortSettings) -> Profile {
        let inherits = Some(inherits).filter(|name| !name.is_empty()).map(label);
        let users = users.iter().map(|&user| user.to_owned()).collect();
        Profile { inherits, users, max_sessions: None, settings }
    }

    fn given<const N: usize>(all: [(&str, Profile); N]) -> BTreeMap<Label, Profile> {
        all.into_iter().map(|(name, profile)| (label(name), profile)).collect()
    }

    fn errors(given: &BTreeMap<Label, Profile>) -> Vec<(String, String)> {
        let errors = Profiles::new(given).expect_err("something is wrong");
        errors.into_iter().map(|error| (error.key.clone(), error.to_string())).collect()
    }

    fn holder(user: Option<&str>) -> Holder {
        Holder { identity: "x".into(), user: user.map(Into::into), instance: None }
    }

    #[test]
    fn own_settings_come_before_a_profile_before_the_users_before_the_defaults() {
        let given = given([
            ("base", profile("", &[], settings(Some(3), None))),
            ("named", profile("base", &[], settings(None, Some(true)))),
            ("of-user", profile("", &["alice"], settings(Some(4), Some(false)))),
            ("others", profile("", &[ANYBODY], settings(Some(5), None))),
        ]);
        let profiles = Profiles::new(&given).expect("good ones");
        let defaults = settings(Some(9), None).or(&PortSettings::declared());
        let names = PortSettings { profile: Some(label("named")), ..PortSettings::default() };
        let sets = PortSettings { max_macs: Some(2), ..names.clone() };
        let none = PortSettings::default();
        let gone = PortSettings { profile: Some(label("gone")), ..PortSettings::default() };
        for (own, user, max_macs, sticky) in [
            (&sets, Some(Some("alice")), "2 own", "on profile named"),
            (&names, Some(Some("alice")), "3 profile named", "on profile named"),
            (&none, Some(Some("alice")), "4 user-profile of-user", "off user-profile of-user"),
            (&gone, Some(Some("alice")), "4 user-profile of-user", "off user-profile of-user"),
            (&none, Some(Some("bob")), "5 user-profile others", "off default"),
            (&none, Some(None), "5 user-profile others", "off default"),
            (&none, None, "9 default", "off default"),
        ] {
            let holder = user.map(holder);
            let layers = Layers::new("server", own, holder.as_ref(), &profiles, &defaults);
            let merged = layers.merged();
            let shown = |name: &str| {
                let one = layers.in_force(Setting::find(name).expect("a setting"), &merged);
                let profile = one.profile.map(|profile| format!(" {profile}")).unwrap_or_default();
                format!("{} {}{profile}", one.value, one.origin)
            };
            assert_eq!((&*shown("max-macs"), &*shown("sticky")), (max_macs, sticky), "{user:?}");
        }
    }

    #[test]
    fn what_a_kind_of_port_does_not_have_it_has_not_by_a_profile_or_default() {
        let trusting = PortSettings { stp_trust: Some(true), ..PortSettings::default() };
        let given = given([("up", profile("", &["alice"], trusting.clone()))]);
        let profiles = Profiles::new(&given).expect("a good one");
        let (own, alice) = (PortSettings::default(), holder(Some("alice")));
        let stp_trust =
            |kind| Layers::new(kind, &own, Some(&alice), &profiles, &trusting).merged().stp_trust;
        assert_eq!((stp_trust("server"), stp_trust("tap")), (None, Some(true)));
    }

    #[test]
    fn what_trust_stands_for_comes_before_the_defaults_whoever_says_it() {
        let trusting = |trust| PortSettings { trust: Some(trust), ..PortSettings::default() };
        let given = given([("up", profile("", &["alice"], trusting(Trust::Uplink)))]);
        let profiles = Profiles::new(&given).expect("a good one");
        let defaults = trusting(Trust::Client).or(&settings(Some(9), None));
        let defaults = defaults.or(&PortSettings::declared());
        let (own, alice) = (PortSettings::default(), holder(Some("alice")));
        let shown = |kind, own: &PortSettings, holder: Option<&Holder>, name| {
            let layers = Layers::new(kind, own, holder, &profiles, &defaults);
            let setting = Setting::find(name).expect("a setting");
            let one = layers.in_force(setting, &layers.merged());
            format!("{} {}", one.value, one.origin)
        };
        assert_eq!(shown("tap", &own, None, "max-macs"), "8 trust");
        assert_eq!(shown("tap", &own, None, "bpdu-guard"), "on trust");
        assert_eq!(shown("tap", &settings(Some(7), None), None, "max-macs"), "7 own");
        assert_eq!(shown("tap", &own, Some(&alice), "stp-trust"), "on trust");
        assert_eq!(shown("server", &own, Some(&alice), "stp-trust"), " default");
        assert_eq!(shown("tap", &own, Some(&alice), "bpdu-guard"), "off trust");
        assert_eq!(shown("tap", &own, None, "offload"), "on default");
    }

    #[test]
    fn a_circle_is_refused_with_its_path_and_what_is_not_there_with_what_is() {
        let none = PortSettings::default();
        let circle = given([
            ("a", profile("b", &[], none.clone())),
            ("b", profile("c", &[], none.clone())),
            ("c", profile("b", &[], none.clone())),
            ("own", profile("own", &[], none.clone())),
        ]);
        let told = errors(&circle);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(told[0].0, "a.inherits");
        assert!(told[0].1.contains("in a circle: a, b, c, b;"), "{told:?}");
        assert!(told[3].1.contains("in a circle: own, own;"), "{told:?}");
        let unknown =
            given([("a", profile("b", &[], none.clone())), ("b", profile("x", &[], none))]);
        let wanted = ("b.inherits".to_owned(), "unknown profile x; known: a, b".to_owned());
        assert_eq!(errors(&unknown), [wanted]);
    }

    #[test]
    fn what_is_about_one_port_and_a_user_in_two_profiles_are_refused() {
        let named = PortSettings {
            name: Some("uplink".parse().expect("a name")),
            ..settings(Some(1), None)
        };
        let told = errors(&given([
            ("a", profile("", &["alice"], named)),
            ("b", profile("", &["bob", "alice", "bob"], PortSettings::default())),
        ]));
        let told: Vec<_> = told.iter().map(|(key, text)| (&**key, &**text)).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].0 == "a.name" && told[0].1.starts_with("name cannot stand in a profile"));
        assert_eq!(told[1], ("b.users.1", "user \"alice\" is in profile a already; delete one"));
        let many = (0..=MAX_PROFILES).map(|n| (label(&format!("p{n}")), Profile::default()));
        assert!(errors(&many.collect())[0].1.starts_with("257 profiles are too many"));
    }
}
