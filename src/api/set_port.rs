//! The method that changes a port: its settings, and options of a client port.

use clap::Args;
use etherws_actors::{
    kinds::{Client, ClientOptions},
    settings::{PortSettings, Role, Setting},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    audit::without_secrets,
    call::{Call, Group, Program},
    port::{Port, PortRef},
};
use crate::{options::Secret, refusal::Refusal};

/// Set up a port.
///
/// What is missing or null stays as it is. Entries: that port.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub(crate) struct SetPort {
    /// Number, name or device of the port.
    #[arg(allow_negative_numbers = true)]
    port: PortRef,
    /// Settings to reset to their defaults, by name.
    #[arg(long = "default", value_name = "NAME")]
    #[serde(rename = "default", default, skip_serializing_if = "Vec::is_empty")]
    defaults: Vec<String>,
    /// URL of a client port's server, up to 8 of them: it is opened anew, under its number.
    #[arg(long = "url", value_name = "URL")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    urls: Vec<Secret>,
    /// Name for a client port's server; empty: none, and no password.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Password of user; without it a terminal is asked.
    #[arg(long, value_name = "PASSWORD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) passwd: Option<Secret>,
    /// CA certificates to verify a client port's server against, PEM; empty: the system's.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cacerts: Option<String>,
    /// Proxy of a client port, as in addport, or direct for none; empty: that of the switch's environment.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Secret>,
    #[command(flatten)]
    #[serde(flatten)]
    settings: PortSettings,
}

impl SetPort {
    /// Whether it is about options of a client port, and not about settings only.
    fn changes_options(&self) -> bool {
        !self.urls.is_empty()
            || self.user.is_some()
            || self.passwd.is_some()
            || self.cacerts.is_some()
            || self.proxy.is_some()
    }

    /// Puts what is given into a client port's options. Empty is none, as for `addPort`.
    fn change(&self, client: &mut ClientOptions) {
        if let Some((Secret(first), more)) = self.urls.split_first() {
            client.url.clone_from(first);
            client.urls = more.iter().map(|Secret(url)| url.clone()).collect();
        }
        if let Some(user) = &self.user {
            client.user = Some(user.clone()).filter(|user| !user.is_empty());
            if client.user.is_none() {
                (client.passwd, client.password_file) = (None, None);
            }
        }
        if let Some(password) = &self.passwd {
            (client.passwd, client.password_file) = (Some(password.clone()), None);
        }
        if let Some(file) = &self.cacerts {
            client.cacerts = Some(file.into()).filter(|_| !file.is_empty());
        }
        if let Some(proxy) = &self.proxy {
            client.proxy = Some(proxy.clone()).filter(|Secret(url)| !url.is_empty());
        }
    }

    /// The settings that are to go back to their defaults.
    fn cleared(&self) -> Result<Vec<&'static Setting>, Refusal> {
        let unknown = |name: &String| {
            let error = PortSettings::default().set(name, "").err();
            Refusal::value(error.map_or_else(String::new, |error| error.to_string()))
        };
        let find = |name: &String| Setting::find(name).ok_or_else(|| unknown(name));
        let cleared = self.defaults.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        check_scope(cleared.iter().copied().chain(self.settings.given()))?;
        Ok(cleared)
    }
}

/// Refuses settings that control may not set.
pub(super) fn check_scope(
    settings: impl IntoIterator<Item = &'static Setting>,
) -> Result<(), Refusal> {
    let check = |setting: &Setting| setting.check_control();
    let checked = settings.into_iter().try_for_each(check);
    checked.map_err(|error| Refusal::value(error.to_string()))
}

/// Who may name files of this host: whether one can be read, and what is in it, the answer
/// tells.
pub(super) const FILES: Role = Role::Admin;

/// Refuses settings that are not for who asks.
pub(super) fn check_role(
    mut settings: impl Iterator<Item = &'static Setting>,
    program: Program<'_>,
) -> Result<(), Refusal> {
    settings.try_for_each(|setting| program.caller.check(setting.role, setting.name))
}

impl Call for SetPort {
    const NAME: &'static str = "setPort";
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Operate;
    type Entry = Port;

    async fn run(self, program: Program<'_>) -> Result<Vec<Port>, Refusal> {
        let (port, cleared) = (self.port.find(program).await?, self.cleared()?);
        check_role(cleared.iter().copied().chain(self.settings.given()), program)?;
        let clear: Vec<_> = cleared.iter().map(|setting| setting.name).collect();
        if self.changes_options() {
            let known = program.control.known().into_iter().find(|(number, _)| *number == port);
            let mut new = match known {
                Some((_, known)) => known.new,
                None => {
                    return Err(Refusal::value(format!(
                        "port {} is a session, not a client port; only client ports have these options",
                        self.port
                    )));
                }
            };
            if self.cacerts.as_ref().is_some_and(|file| !file.is_empty()) {
                program.caller.check(FILES, "cacerts")?;
            }
            if let Some(client) = new.get_mut::<Client>() {
                self.change(client);
            }
            let changed = program.control.change_port(port, new, self.settings, clear).await?;
            return Ok(vec![changed.into()]);
        }
        Ok(vec![program.control.set_port(port, self.settings, clear).await?.into()])
    }

    async fn subject(&self, program: Program<'_>) -> Option<String> {
        let port = self.port.find(program).await.ok()?;
        let report = program.control.show_port(port).await.ok()?;
        let options = program.control.known().into_iter().find(|(number, _)| *number == port);
        let options = options.filter(|_| self.changes_options()).map(|(_, known)| {
            let mut options = known.new.options();
            options.retain(|_, value| {
                let is_none = value.is_null() || *value == false;
                !is_none && value.as_array().is_none_or(|list| !list.is_empty())
            });
            without_secrets(options.into()).to_string()
        });
        let settings = self.settings.given().chain(self.cleared().ok()?);
        let names = settings.map(|setting| setting.name);
        let own = |name| report.own.show(name).unwrap_or_else(|| "default".to_owned());
        let values = names.map(|name| format!("{name} {}", own(name)));
        Some(options.into_iter().chain(values).collect::<Vec<_>>().join(", "))
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port.check()?;
        self.cleared().map(drop)
    }

    fn command(command: clap::Command) -> clap::Command {
        // 1.3 took --s for it.
        Self::augment_args(command).mut_arg("shut", |shut| shut.alias("s"))
    }
}
