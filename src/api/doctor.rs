//! What keeps a port from working: asked of the switch itself, which has the port's own
//! settings, its passwords among them.

use clap::Args;
use etherws_actors::{error::plain, settings::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Entry, Group, Program},
    port::PortRef,
    stp::Tree,
};
use crate::refusal::Refusal;

/// Look for what keeps a port from working, and say what to do.
///
/// The switch itself looks, with the port's own settings. To the server of a client port that is
/// up it opens another tunnel for a moment; of one that is not up it tells the reason, and looks
/// at the way to its servers. Entries: what it has found.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct Doctor {
    /// Number, name or device of the port.
    #[arg(allow_negative_numbers = true)]
    port: PortRef,
}

impl Call for Doctor {
    const NAME: &'static str = "doctor";
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Operate;
    // It changes nothing.
    const AUDITED: bool = false;
    type Entry = Finding;

    async fn run(self, program: Program<'_>) -> Result<Vec<Finding>, Refusal> {
        let port = self.port.find(program).await?;
        let report = program.control.show_port(port).await?;
        let info = report.info.clone();
        let known = program.control.known().into_iter().find(|(number, _)| *number == port);
        let known = known.map(|(_, known)| known.new);
        let mut findings = program.service.examine(report.into(), known).await;
        let trees = Tree::with(vec![info], program).await?;
        findings.extend(trees.iter().flat_map(Tree::findings));
        Ok(findings)
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port.check()
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// It may be intended, or will become a fault.
    Warn,
    /// A fault.
    Fail,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Finding {
    /// Name of the check, for programs.
    pub(crate) check: String,
    /// How bad it is.
    pub(crate) level: Level,
    /// What was checked and the result, in one line.
    pub(crate) text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &str, text: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Ok, text: plain(text.into()), advice: None }
    }

    pub(crate) fn warn(check: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warn, advice: Some(advice.into()), ..Self::ok(check, text) }
    }

    pub(crate) fn fail(check: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Fail, advice: Some(advice.into()), ..Self::ok(check, text) }
    }
}

impl Entry for Finding {
    const TITLES: &'static [&'static str] = &["Level", "Finding"];

    fn rows(&self) -> Vec<Vec<String>> {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        vec![vec![level.to_owned(), self.text.clone()]]
    }

    fn below(&self) -> Option<String> {
        self.advice.clone()
    }
}
