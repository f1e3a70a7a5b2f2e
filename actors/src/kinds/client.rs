//! The port kind `client`: a tunnel that we open, and open again when it is lost, to
//! the first of its servers that can be reached.

#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets is help text")]

mod link;
mod links;

use std::{
    any::Any,
    cell::Cell,
    fmt,
    fs::OpenOptions,
    io::{self, Read as _},
    iter,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use awc::http::uri::Authority;
use nix::fcntl::OFlag;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use slog::{Logger, debug, warn};

pub use self::links::{Links, ParseLinksError};
use self::{link::ClientLink, links::Shared};
use super::{Context, Further, Kind, OptionError, Via};
use crate::{
    connect::{
        ClientCertificate, Credentials, Header, Pin, ProxyChoice, Route, Scheme, ServerUrl,
        TlsOptions, TunnelRequest, files::read_certificates, proxy, tcp, tls::TlsError,
    },
    core::{
        error::one_line,
        holder::Instance,
        links::{LinkGrant, LinkId, Place},
        secret::{Secret, shown},
        state::Details,
    },
    port::{Medium, PortError},
    tunnel::Wire,
};

/// Options of a client port: how to reach a WebSocket server.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientOptions {
    /// URL of the server, ws://HOST[:PORT]/PATH or wss://...
    #[serde(rename = "target")]
    #[cfg_attr(feature = "clap", arg(id = "target", value_name = "URL"))]
    pub url: String,
    /// Up to 7 further URLs of the same segment, tried in turn when one cannot be reached
    #[serde(default)]
    #[cfg_attr(feature = "clap", arg(value_name = "MORE_URLS"))]
    pub urls: Vec<String>,
    /// Name for HTTP Basic authentication at the server
    #[cfg_attr(feature = "clap", arg(long, value_name = "NAME"))]
    pub user: Option<String>,
    /// Password of user; other users of the machine can see it on a command line, and without
    /// it a terminal is asked
    // 1.3 took --p for --passwd: --proxy must not make it ambiguous.
    #[cfg_attr(feature = "clap", arg(long, value_name = "PASSWORD", alias = "p"))]
    pub passwd: Option<Secret>,
    /// File with the password of user, in its first line
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(skip))]
    pub password_file: Option<PathBuf>,
    /// CA certificates to verify the server against, PEM; by default the system's
    // As --p: --cert must not make --c ambiguous.
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE", alias = "c", value_parser = path))]
    pub cacerts: Option<PathBuf>,
    /// Do not verify the server's certificate
    #[serde(default)]
    #[cfg_attr(feature = "clap", arg(long))]
    pub insecure: bool,
    /// Key that the server's certificate, or that of its CA, must have: sha256: and its hash;
    /// may be repeated
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "PIN"))]
    pub pin: Vec<String>,
    /// Client certificate chain to present to the server, PEM; needs key
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE", value_parser = path))]
    pub cert: Option<PathBuf>,
    /// Private key of cert, PEM, not encrypted
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE", value_parser = path))]
    pub key: Option<PathBuf>,
    /// Proxy, http://[USER:PASSWORD@]HOST:PORT, https://.. or socks5://.., or direct for none;
    /// by default that of http_proxy, https_proxy, all_proxy and no_proxy in the switch's
    /// environment
    #[cfg_attr(feature = "clap", arg(long, value_name = "URL"))]
    pub proxy: Option<Secret>,
    /// Program with its arguments whose standard input and output are the connection to the
    /// server; %h in them is its host, %p its port
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "clap", arg(skip))]
    pub proxy_command: Vec<String>,
    /// Name that the server is asked for, HOST[:PORT], in the place of the URL's
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "HOST"))]
    pub host: Option<String>,
    /// Name for TLS, which the server's certificate must be for, in the place of the URL's
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "NAME"))]
    pub sni: Option<String>,
    /// Further header of the request, NAME: VALUE; may be repeated
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "HEADER"))]
    pub header: Vec<Secret>,
    /// Octets of data in a TCP segment at most, for paths that lose longer packets
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "OCTETS"))]
    pub mss: Option<u16>,
    /// Connections that the port is made of, 1 to 8, or auto: as many as the switch has threads;
    /// by default 1
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "NUMBER"))]
    pub links: Option<Links>,
    /// One of the links carries all frames, the lowest that is up, and the others stand by
    #[serde(default)]
    #[cfg_attr(feature = "clap", arg(long))]
    pub failover: bool,
    /// Network interface to leave by for the server; may be repeated: links take them in turn
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "INTERFACE"))]
    pub via: Vec<String>,
    /// What passes through the tunnel: super-frames whole where both ends can (super-frames,
    /// the default), or finished frames only (plain)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "WIRE"))]
    pub wire: Option<Wire>,
}

impl fmt::Debug for ClientOptions {
    /// Most of them may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions").field("url", &shown(&self.url)).finish_non_exhaustive()
    }
}

/// A name of a file, which control can carry.
#[cfg(feature = "clap")]
fn path(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(text.into())
}

impl ClientOptions {
    /// For the server at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// All URLs, in the order in which they are tried.
    pub fn all_urls(&self) -> impl Iterator<Item = &String> {
        [&self.url].into_iter().chain(&self.urls)
    }

    /// Name and password for HTTP Basic authentication.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        let password = self.passwd.clone().map_or_else(String::new, |Secret(text)| text);
        self.user.clone().map(|user| Credentials { user, password })
    }

    /// How to meet the server's certificate.
    #[must_use]
    pub fn tls(&self) -> TlsOptions {
        let pair = self.cert.clone().zip(self.key.clone());
        TlsOptions {
            cacerts: self.cacerts.clone(),
            insecure: self.insecure,
            certificate: pair.map(|(cert, key)| ClientCertificate { cert, key }),
            name: self.sni.clone(),
            pins: self.pin.iter().filter_map(|pin| pin.parse().ok()).collect(),
            ..TlsOptions::default()
        }
    }

    /// The proxy to go through.
    #[must_use]
    pub fn proxy(&self) -> ProxyChoice {
        match &self.proxy {
            Some(Secret(text)) => ProxyChoice::new(text.clone()),
            None if self.proxy_command.is_empty() => ProxyChoice::Environment,
            None => ProxyChoice::Command(self.proxy_command.clone()),
        }
    }

    /// How to get there.
    #[must_use]
    pub fn route(&self, log: Logger) -> Route {
        Route { tls: self.tls(), proxy: self.proxy(), mss: self.mss, ..Route::new(log) }
    }

    /// What to say there.
    #[must_use]
    pub fn request(&self) -> TunnelRequest {
        let header = |Secret(text): &Secret| Header::parse(text).ok();
        TunnelRequest {
            credentials: self.credentials(),
            host: self.host.clone(),
            headers: self.header.iter().filter_map(header).collect(),
            link: None,
            wire: self.wire.unwrap_or(Wire::SuperFrames),
        }
    }

    /// What is wrong with what is said on the way, and of the way itself.
    fn check_way(&self, from: Via) -> Vec<OptionError> {
        let mut errors = Vec::new();
        let mut wrong = |key, text: String| errors.push(OptionError::new(key, text));
        if let Some(Secret(url)) = &self.proxy {
            if let Err(error) = proxy::check(url) {
                wrong("proxy", one_line(&error));
            } else if from == Via::File && url.contains('@') {
                let text = "a proxy's password has no place in this file; leave proxy out and \
                            set https_proxy in the environment";
                wrong("proxy", text.to_owned());
            } else if !self.proxy_command.is_empty() {
                wrong(
                    "proxy-command",
                    "both proxy and proxy-command are given; give one".to_owned(),
                );
            }
        }
        if self.proxy_command.first().is_some_and(|program| program.is_empty()) {
            wrong("proxy-command", "its first word must be a program".to_owned());
        }
        if let Some(host) = &self.host
            && (host.contains('@') || host.parse::<Authority>().is_err())
        {
            wrong("host", format!("{host:?} is not a valid HOST[:PORT]"));
        }
        if let Some(name) = &self.sni
            && ServerName::try_from(name.as_str()).is_err()
        {
            wrong("sni", format!("{name:?} is not a valid host name"));
        }
        for pin in &self.pin {
            if let Err(error) = pin.parse::<Pin>() {
                wrong("pin", one_line(&error));
            }
        }
        let mut authorized = self.user.is_some();
        for Secret(text) in &self.header {
            match Header::parse(text) {
                Err(error) => wrong("header", one_line(&error)),
                Ok(header) if header.is("authorization") && authorized => {
                    let text = "Authorization is given twice; give user or one such header";
                    wrong("header", text.to_owned());
                }
                Ok(header) => authorized |= header.is("authorization"),
            }
        }
        if self.header.len() > MAX_HEADERS {
            wrong(
                "header",
                format!("{} headers are given; give at most {MAX_HEADERS}", self.header.len()),
            );
        }
        if let Some(mss) = self.mss.filter(|mss| !tcp::MSS.contains(mss)) {
            wrong("mss", format!("mss is {mss}; give {} to {}", tcp::MSS.start(), tcp::MSS.end()));
        }
        errors
    }

    /// What is wrong with name and password.
    fn check_login(&mut self, from: Via) -> Option<OptionError> {
        let wrong = |key, text: &str| Some(OptionError::new(key, text));
        if let Some(path) = &self.password_file {
            match first_line(path) {
                Ok(line) => self.passwd = Some(Secret(line)),
                Err(error) => {
                    let text = format!(
                        "password-file {}: give a file with a password in its first line: {}",
                        path.display(),
                        one_line(&error)
                    );
                    return Some(OptionError::new("password-file", text));
                }
            }
        }
        let key = if self.password_file.is_some() { "password-file" } else { "passwd" };
        match (&self.user, &self.passwd) {
            (None, Some(_)) => {
                wrong(key, "a password is given without a user; give both, or neither")
            }
            (Some(user), _) if user.contains(':') => {
                wrong("user", "a user name cannot hold a colon (RFC 7617); choose another one")
            }
            (Some(user), None) if from == Via::File => {
                let text = format!("user {user:?} without password-file; give it");
                Some(OptionError::new("user", text))
            }
            (Some(_), Some(_)) if from == Via::File && self.password_file.is_none() => wrong(
                "passwd",
                "it has a password, which is not written: add it to the file by hand, with user \
                 and password-file",
            ),
            _ => None,
        }
    }
}

/// The first line of a small file.
fn first_line(path: &Path) -> io::Result<String> {
    // A FIFO that nobody writes to must not hold the program up.
    let open = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let mut text = String::new();
    open?.take(MAX_PASSWORD_FILE).read_to_string(&mut text)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line.to_owned()) }
}

/// Octets of a file with a password that are read; another file was named by mistake.
const MAX_PASSWORD_FILE: u64 = 64 * 1024;

/// Most headers of an operator's: servers take a hundred or so in all.
const MAX_HEADERS: usize = 32;

/// Most servers of one port: each may take ten seconds to be given up, and whoever
/// waits for `addport` waits for all of them.
pub const MAX_SERVERS: usize = 8;

/// Servers to open a tunnel to, one at a time.
#[derive(Debug)]
pub struct Client {
    /// At least one.
    servers: Vec<ServerUrl>,
    /// The one in use, or the next to be tried.
    at: usize,
    request: TunnelRequest,
    /// Where the password is read from before each attempt.
    password_file: Option<PathBuf>,
    /// How often in a row a tunnel has ended as where long packets are lost.
    choked: Rc<Cell<u32>>,
    /// By which a server knows that we come again.
    instance: Instance,
    route: Route,
    /// What the messages of the last tunnel are.
    wire: Option<Wire>,
    /// Which link of the port it is, and what it shares with the others if there may be any.
    place: Place,
    shared: Option<Arc<Shared>>,
    /// Interfaces for the links.
    via: Vec<String>,
    /// The connection of the last tunnel, and what its server grants.
    id: LinkId,
    grant: Option<LinkGrant>,
}

/// Options that cannot work, however often it is tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// One of them cannot be so.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Certificates or our own key cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No id for the port.
    #[error("the system did not provide random numbers")]
    Random(#[from] getrandom::Error),
}

impl Client {
    /// Checks what can be checked before there is a connection, files among it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn new(mut options: ClientOptions, log: Logger) -> Result<Self, ClientError> {
        if let Some(error) = Self::check(&mut options, Via::Control).into_iter().next() {
            return Err(error.into());
        }
        let route = options.route(log);
        let tls = &route.tls;
        if let Some(path) = &tls.cacerts {
            read_certificates(path).map_err(TlsError::from)?;
        }
        if let Some(certificate) = &tls.certificate {
            certificate.read()?;
        }
        let parse = |url: &String| ServerUrl::parse(url, Scheme::WebSocket).ok();
        let servers = options.all_urls().filter_map(parse).collect();
        let (request, instance) = (options.request(), Instance::random()?);
        let (password_file, via) = (options.password_file, options.via);
        let route = Route { via: via.first().cloned(), ..route };
        Ok(Self {
            servers,
            at: 0,
            request,
            password_file,
            choked: Rc::default(),
            instance,
            route,
            wire: None,
            place: Place::ONLY,
            shared: None,
            via,
            id: LinkId::ONLY,
            grant: None,
        })
    }

    /// Takes the password that is in its file now. One that cannot be read is as it was.
    async fn read_password(&mut self) {
        let Some(path) = self.password_file.clone() else { return };
        let read = tokio::task::spawn_blocking(move || first_line(&path)).await;
        match (read, &mut self.request.credentials) {
            (Ok(Ok(password)), Some(credentials)) => credentials.password = password,
            (Ok(Err(error)), _) => {
                warn!(self.route.log, "password-file cannot be read; its former password is used";
                    "reason" => one_line(&error));
            }
            _ => {}
        }
    }
}

impl Kind for Client {
    const NAME: &'static str = "client";
    const HELP: &'static str = "A WebSocket that the switch opens";
    const FILES: &'static [&'static str] = &["password-file", "cacerts", "cert", "key"];
    const SECRETS: &'static [&'static str] = &["passwd"];
    const FILE_ONLY: &'static [&'static str] = &["password-file", "proxy-command"];
    type Options = ClientOptions;

    fn target(options: &ClientOptions) -> &str {
        &options.url
    }

    fn check(options: &mut ClientOptions, from: Via) -> Vec<OptionError> {
        let ClientOptions { user, passwd, proxy, cert, key, host, sni, .. } = options;
        // Empty counts as missing, as 1.3 has it.
        for text in [user, host, sni] {
            text.take_if(|text| text.is_empty());
        }
        for secret in [passwd, proxy] {
            secret.take_if(|Secret(text)| text.is_empty());
        }
        for file in [cert, key] {
            file.take_if(|path| path.as_os_str().is_empty());
        }
        let mut errors = Vec::new();
        let mut wrong = |key, text: String| errors.push(OptionError::new(key, text));
        let names = iter::once("target").chain(iter::repeat("urls"));
        for (name, url) in names.zip(options.all_urls()) {
            if let Err(error) = ServerUrl::parse(url, Scheme::WebSocket) {
                wrong(name, one_line(&error));
            }
        }
        let servers = options.all_urls().count();
        if servers > MAX_SERVERS {
            let text = format!("{servers} URLs are given for one port; give at most {MAX_SERVERS}");
            wrong("urls", text);
        }
        let is_plain =
            |url: &&String| ServerUrl::parse(url, Scheme::WebSocket).is_ok_and(|url| !url.tls());
        if let Some(url) = options.all_urls().find(is_plain).filter(|_| !options.pin.is_empty()) {
            // Its password would go to whoever answers, although a key was asked for.
            wrong(
                "pin",
                format!(
                    "a pin is of a TLS certificate, and {} goes without TLS; write wss://, or leave pin out",
                    shown(url)
                ),
            );
        }
        errors.extend(links::check(options));
        errors.extend(options.check_way(from));
        errors.extend(options.check_login(from));
        let (key, file) = match (&options.cert, &options.key) {
            (Some(cert), None) => ("cert", cert),
            (None, Some(key)) => ("key", key),
            _ => return errors,
        };
        let file = file.display();
        let text = format!("{file} is given as cert or key only; give both, or neither");
        errors.push(OptionError::new(key, text));
        errors
    }

    /// How many links there are stays.
    fn takes(own: &ClientOptions, others: &ClientOptions) -> bool {
        (own.links, own.failover) == (others.links, others.failover)
    }

    fn further(&self) -> Vec<Further<Self>> {
        self.others()
    }

    fn medium(options: ClientOptions, context: &Context) -> Result<Self, PortError> {
        let of = options.links.map_or(1, |links| links.count(context.threads));
        let place = Place { of, failover: options.failover, ..Place::ONLY };
        let medium = Self::new(options, context.log.clone())?;
        Ok(if of > 1 { medium.placed(place, Shared::new()) } else { medium })
    }
}

/// None of several servers gives a tunnel.
#[derive(Debug, thiserror::Error)]
struct NoServer(Vec<PortError>);

impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of the {} servers accepted the tunnel", self.0.len())?;
        self.0.iter().try_for_each(|error| write!(f, "; {}", one_line(&**error)))
    }
}

impl Medium for Client {
    type Link = ClientLink;

    fn kind(&self) -> &'static str {
        Self::NAME
    }

    fn target(&self) -> String {
        self.servers[self.at].to_string()
    }

    fn details(&self) -> Details {
        let proxy = self.route.by(&self.servers[self.at]).map(|by| ("proxy", by));
        let wire = self.wire.map(|wire| ("wire", wire.name().to_owned()));
        proxy.into_iter().chain(wire).chain(self.link_details()).collect()
    }

    /// Super-frames that the peer does not take whole are cut as they are written.
    fn takes_offload(&self) -> bool {
        true
    }

    /// Behind the server is a switch, which hears of nothing while there is no tunnel.
    fn announces(&self) -> bool {
        true
    }

    /// It stays the one whom the servers know.
    fn change(&mut self, options: &(dyn Any + Send + Sync)) {
        let Some(options) = options.downcast_ref::<ClientOptions>() else { return };
        if let Ok(new) = Self::new(options.clone(), self.route.log.clone()) {
            let new = Self { instance: self.instance, ..new };
            *self = match self.shared.take() {
                Some(shared) => new.placed(self.place, shared),
                None => new,
            };
        }
    }

    fn place(&self) -> Place {
        self.place
    }

    fn link_id(&self) -> LinkId {
        self.id
    }

    /// Tries all servers, beginning with the one that was in use: a server that
    /// restarts keeps its clients.
    async fn open(&mut self) -> Result<Self::Link, PortError> {
        self.read_password().await;
        // Held until it is known whether there may be others.
        let _turn = match &self.shared {
            Some(shared) => shared.turn(self.place.number).await,
            None => None,
        };
        let mut failures = Vec::new();
        for _ in 0..self.servers.len() {
            match self.dial().await {
                Ok(link) => return Ok(link),
                Err(error) if self.servers.len() == 1 => return Err(error),
                Err(error) => {
                    debug!(self.route.log, "a server did not accept the tunnel"; "reason" => one_line(&*error));
                    failures.push(error);
                    self.at = (self.at + 1) % self.servers.len();
                }
            }
        }
        Err(NoServer(failures).into())
    }
}

#[cfg(test)]
mod tests;
