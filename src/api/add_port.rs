//! The method that adds a port, of each kind that can be added. A client port's password is
//! in its params: nothing but `Serialize` may show it.

use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use etherws_actors::{
    control::NewPort,
    kinds::ClientOptions,
    settings::{PortSettings, Role},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Group, Program},
    port::Port,
};
use crate::{
    options::Secret,
    parse::{check_client, client_certificate, credentials},
    refusal::Refusal,
};

/// Add a port.
///
/// It is opened, and then added. Entries: the new port.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AddPort {
    /// `"tap"`: a new TAP device. `"netdev"`: an existing network interface. `"client"`: a
    /// WebSocket that the switch opens.
    #[serde(rename = "type")]
    #[schemars(with = "Kind")]
    kind: String,
    /// Name of the device (in a TAP's, `%d` becomes the lowest free number), name of the
    /// interface, or the URL, `ws://...` or `wss://...`.
    pub(crate) target: String,
    /// For a client port.
    // A 1.3 switch wants it.
    #[serde(default)]
    pub(crate) options: ClientParams,
    #[serde(flatten)]
    settings: PortSettings,
}

#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
#[expect(dead_code, reason = "a schema")]
enum Kind {
    Tap,
    Netdev,
    Client,
}

/// Options of a client port; each may be missing or null.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Args)]
#[schemars(rename = "ClientOptions")]
#[serde(default)]
pub(crate) struct ClientParams {
    /// Name for HTTP Basic authentication at the server. `ctl` asks for its password.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Password of the user. Other users of the machine can see it here: the prompt is safer.
    // 1.3 took --p for it: --proxy must not make it ambiguous.
    #[arg(long, value_name = "PASSWORD", alias = "p")]
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) passwd: Option<Secret>,
    /// File of CA certificates, PEM, that the switch opens; the system's count without it.
    // As --p: --cert must not make --c ambiguous.
    #[arg(long, value_name = "FILE", alias = "c")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cacerts: Option<String>,
    /// Do not verify the server's certificate.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure: bool,
    /// Up to 7 further URLs of the same segment: when one server cannot be reached, the
    /// next is tried. The target in the entries is the one in use. 1.3 ignores it.
    #[arg(value_name = "URL")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    /// File of our own certificate chain, PEM, that the switch opens, for a server that
    /// wants one; with its key. 1.3 ignores it.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cert: Option<String>,
    /// File of the certificate's key, PEM. 1.3 ignores it.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// HTTP proxy, http://[USER:PASSWORD@]HOST:PORT; without it http_proxy, https_proxy and
    /// no_proxy in the switch's environment count. 1.3 ignores it.
    #[arg(long, value_name = "URL")]
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Secret>,
}

/// The same, on a command line.
#[derive(Debug, Subcommand)]
enum Given {
    /// An existing network interface
    Netdev {
        /// Name of the interface
        target: String,
        #[command(flatten)]
        settings: PortSettings,
    },
    /// A new TAP device
    Tap {
        /// Name of the device; %d becomes a number
        target: String,
        #[command(flatten)]
        settings: PortSettings,
    },
    /// A WebSocket that the switch opens
    Client {
        /// ws://HOST[:PORT]/PATH or wss://...
        #[arg(value_name = "URL")]
        target: String,
        #[command(flatten)]
        options: Box<ClientParams>,
        #[command(flatten)]
        settings: Box<PortSettings>,
    },
}

impl FromArgMatches for AddPort {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let of = |kind: &str, target, options, settings| Self {
            kind: kind.to_owned(),
            target,
            options,
            settings,
        };
        Ok(match Given::from_arg_matches(matches)? {
            Given::Netdev { target, settings } => {
                of("netdev", target, ClientParams::default(), settings)
            }
            Given::Tap { target, settings } => of("tap", target, ClientParams::default(), settings),
            Given::Client { target, options, settings } => {
                of("client", target, *options, *settings)
            }
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for AddPort {
    fn augment_args(command: clap::Command) -> clap::Command {
        let command = Given::augment_subcommands(command).about("Add a port");
        command.subcommand_required(true).arg_required_else_help(true)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl AddPort {
    pub(crate) fn is_client(&self) -> bool {
        self.kind == "client"
    }

    fn port(&self) -> Result<NewPort, Refusal> {
        let target = self.target.clone();
        match self.kind.as_str() {
            "tap" => Ok(NewPort::Tap { name: target }),
            "netdev" => Ok(NewPort::Netdev { name: target }),
            "client" => self.options.clone().with(target).map(NewPort::Client),
            other => {
                let text = format!("type must be tap, netdev or client, not {other:?}");
                Err(Refusal::value(text))
            }
        }
    }
}

impl ClientParams {
    /// The files that the switch is to open.
    pub(crate) fn files(&mut self) -> impl Iterator<Item = &mut String> {
        [&mut self.cacerts, &mut self.cert, &mut self.key].into_iter().flatten()
    }

    fn with(self, url: String) -> Result<ClientOptions, Refusal> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let secret = |text: Option<Secret>| given(text.map(|Secret(text)| text));
        let (user, password) = (given(self.user), secret(self.passwd));
        let proxy = secret(self.proxy);
        check_client(&url, &self.urls, proxy.as_deref())?;
        Ok(ClientOptions {
            url,
            more_urls: self.urls,
            credentials: credentials(user.as_deref(), password.as_deref())?,
            cacerts: self.cacerts.map(Into::into),
            insecure: self.insecure,
            certificate: client_certificate(self.cert.as_deref(), self.key.as_deref())?,
            proxy,
        })
    }
}

impl Call for AddPort {
    const NAME: &'static str = "addPort";
    const GROUP: Group = Group::Ports;
    const ROLE: Role = Role::Operate;
    type Entry = Port;

    async fn run(self, program: Program<'_>) -> Result<Vec<Port>, Refusal> {
        let port = self.port()?;
        Ok(vec![program.control.add_port(port, self.settings).await?.into()])
    }

    fn check(&self) -> Result<(), Refusal> {
        self.port().map(drop)
    }
}
