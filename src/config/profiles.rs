//! The profiles of a configuration, checked.

use std::collections::BTreeMap;

use etherws_actors::settings::{Label, PortSettings, Profile, Profiles};

use super::{ProfileTable, resolve::Checker};

impl Checker<'_> {
    /// These profiles; `None` if anything is wrong with them.
    pub(super) fn profiles(&mut self, tables: &BTreeMap<String, ProfileTable>) -> Option<Profiles> {
        let before = self.faults.len();
        let mut given = BTreeMap::new();
        for (name, table) in tables {
            let above = table.inherits.as_ref();
            let inherits = above.and_then(|above| self.label(&format!("{name}.inherits"), above));
            let ProfileTable { users, max_sessions, settings, .. } = table.clone();
            if max_sessions == Some(0) {
                let text = "max-sessions 0: give 1 or more, or take the user out of htpasswd";
                self.fault(&format!("profile.{name}.max-sessions"), text);
            }
            if let Some(label) = self.label(name, name) {
                given.insert(label, Profile { inherits, users, max_sessions, settings });
            }
        }
        let profiles = Profiles::new(&given);
        for error in profiles.as_ref().err().into_iter().flatten() {
            self.fault(&format!("profile.{}", error.key), error.to_string());
        }
        profiles.ok().filter(|_| self.faults.len() == before)
    }

    fn label(&mut self, key: &str, text: &str) -> Option<Label> {
        let label = text.parse::<Label>();
        label.map_err(|error| self.fault(&format!("profile.{key}"), error.to_string())).ok()
    }

    /// Checks which profile the port at `key` names. Where `profiles` are wrong, that was told.
    pub(super) fn names_profile(
        &mut self,
        key: &str,
        settings: &PortSettings,
        profiles: Option<&Profiles>,
    ) {
        if let Some((name, profiles)) = settings.profile.as_ref().zip(profiles)
            && profiles.get(name).is_none()
        {
            let text = format!("unknown profile {name}; known: {}", profiles.names());
            self.fault(&format!("{key}.profile"), text);
        }
    }
}
