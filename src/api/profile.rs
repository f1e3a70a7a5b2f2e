//! The method that lists profiles.

use std::collections::BTreeMap;

use clap::Args;
use etherws_actors::settings::{self, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{Call, Entry, Group, Program};
use crate::refusal::Refusal;

/// List the profiles, by name.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct ListProfile {}

impl Call for ListProfile {
    const NAME: &'static str = "listProfile";
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Read;
    type Entry = Profile;

    async fn run(self, program: Program<'_>) -> Result<Vec<Profile>, Refusal> {
        let profiles = program.control.list_profiles().await?;
        Ok(profiles.iter().map(|(name, profile)| Profile::new(name, profile)).collect())
    }
}

/// A profile of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Profile {
    /// Its name.
    pub(crate) name: String,
    /// The profile that it inherits from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inherits: Option<String>,
    /// Users whose sessions have it; `*` is whoever is in no other profile.
    pub(crate) users: Vec<String>,
    /// Sessions that each of them may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_sessions: Option<usize>,
    /// What it gives, inherited settings among them, by name: each as the option that sets it
    /// is written.
    pub(crate) settings: BTreeMap<String, String>,
}

impl Profile {
    fn new(name: &settings::Label, profile: &settings::Profile) -> Self {
        let given = profile.settings.given().map(|setting| {
            let value = profile.settings.show(setting.name).unwrap_or_default();
            (setting.name.to_owned(), value)
        });
        Self {
            name: name.to_string(),
            inherits: profile.inherits.as_ref().map(ToString::to_string),
            users: profile.users.clone(),
            max_sessions: profile.max_sessions,
            settings: given.collect(),
        }
    }
}

impl Entry for Profile {
    const TITLES: &'static [&'static str] =
        &["Profile", "Inherits", "Users", "Sessions", "Settings"];
    const OPTIONAL: &'static [&'static str] = &["Inherits", "Sessions"];
    const NOTHING: Option<&'static str> =
        Some("there are no profiles; [profile.NAME] in the configuration file makes one");

    fn rows(&self) -> Vec<Vec<String>> {
        let settings: Vec<_> =
            self.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        vec![vec![
            self.name.clone(),
            self.inherits.clone().unwrap_or_default(),
            self.users.join(", "),
            self.max_sessions.map(|count| count.to_string()).unwrap_or_default(),
            settings.join(", "),
        ]]
    }
}
