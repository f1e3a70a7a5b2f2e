//! `etherws join`: becomes a user of a hub by an invitation. The key is made here and never leaves
//! this machine; the hub certifies it, and says what else there is to know.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use actix_rt::{System, time::sleep};
use anyhow::{Context as _, Result, bail, ensure};
use etherws_actors::{
    connect::{ProxyChoice, Route, ServerUrl, TlsOptions, certificate::Facts, files::certificates},
    error::{clean, one_line},
};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slog::{Discard, Logger, o};
use toml_edit::{DocumentMut, Item, Table, value};

use super::{
    Change, Place, TAP, check_tap, init::interface_addresses, list, make_folder, ports,
    put_control, put_tap, target_of, write_secret,
};
use crate::{
    api::{Ping, client::Endpoint},
    cli::JoinArgs,
    config::File,
    files,
    hub::{self, Reply, Validity},
    options::Secret,
    server::join::{Answer, Asked},
    users::{
        self,
        book::{is_edge, is_name},
        ca::{Request, Requested},
        link::Link,
    },
};

/// Files of a hub's folder.
pub(super) const CERT: &str = "user.crt";
pub(super) const KEY: &str = "user.key";
pub(super) const NOTE: &str = "join.json";

/// Between two questions whether an operator has approved.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// How long a tunnel may take that is opened for the first time.
const UP_LIMIT: Duration = Duration::from_secs(15);

/// Between two looks whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// What join has done, for leave.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// What the hub is called.
    pub(super) hub: String,
    /// What it calls this machine.
    pub(super) user: String,
    /// Hash of the secret of the invitation.
    #[serde(default)]
    pub(super) invitation: String,
    /// The TAP device that was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tap: Option<String>,
}

/// Runs `etherws join`.
///
/// # Errors
/// The hub lets nobody in, cannot be reached, or a file cannot be written.
pub(crate) fn run(args: JoinArgs) -> Result<ExitCode> {
    let link = Link::parse(&read_link(&args.link)?).map_err(anyhow::Error::msg)?;
    let now = Timestamp::now();
    let place = Place::of(args.config.clone())?;
    let first = link.urls.first().context("the link names no hub")?;
    let folder = place.folder().join(folder_name(first));
    let before = read_note(&folder);
    let invitation = users::hash(&link.secret);
    if let Some(note) = before.as_ref().filter(|note| note.invitation == invitation) {
        out!("This machine is {} on the LAN of {} already.", note.user, note.hub);
        return finish(&place, note, None);
    }
    ensure!(
        link.until > now.as_second(),
        "the invitation expired on {}, and this machine's clock says {}; set the clock if that is \
         wrong, else ask for a new link",
        day(link.until),
        day(now.as_second())
    );
    if let Some(other) = super::leave::joined(&place).into_iter().find(|one| one.folder != folder) {
        bail!(
            "{} has joined {} already, and one switch would make one LAN of both; give --config FILE \
             for another switch, or etherws leave first",
            place.file.display(),
            other.note.hub
        );
    }
    let tap = wanted_tap(&args, &place.read()?, &folder)?;
    make_folder(&folder, 0o700)?;
    let waiting = waiting_key(&folder, &link);
    let request = Request::new(read_key(&waiting)?.as_deref())?;
    // Kept before it is shown: if the answer is lost, the same key may come again.
    write_secret(&waiting, &request.key)?;
    let asked = Asked::to_join(&link.secret, request.request);
    let (server, answer, chain) =
        System::new().block_on(redeem(&link, &asked, args.proxy.as_ref()))?;

    let answer = checked(answer)?;
    let own = certificates(chain.as_bytes(), &folder)?;
    let key = read_key_of(&request.key)?;
    ensure!(
        own.first().and_then(Facts::of).is_some_and(|facts| facts.key == key),
        "what {server} has sent is no certificate for this machine's key"
    );

    // An earlier user of this hub is replaced; what it has added stays.
    let before = before.and_then(|note| note.tap);
    // As it is now: an operator may have taken his time.
    let mut document = place.read()?;
    let is_ours = |name: &String| before.as_ref() == Some(name);
    let added = tap.filter(|name| is_ours(name) || !has_tap(&document, name));
    put_control(&mut document, &place.socket())?;
    if let Some(name) = &added {
        put_tap(&mut document, name, answer.address.as_deref())?;
    }
    put_client(&mut document, &link, &server, &folder, &place, args.proxy.as_ref())?;
    let note = Note {
        hub: answer.hub.clone(),
        user: answer.name.clone(),
        invitation,
        tap: added.clone().or(before),
    };
    write_secret(&folder.join(KEY), &request.key)?;
    write_secret(&folder.join(CERT), &chain)?;
    // A configuration that cannot be used is not written.
    place.check(&document)?;
    write_secret(&folder.join(NOTE), &(serde_json::to_string_pretty(&note)? + "\n"))?;
    place.write(&document)?;
    place.give(&folder, &[KEY, CERT, NOTE])?;
    // It is another file now.
    let _ = fs::remove_file(&waiting);
    out!("This machine is {} on the LAN of {}.", answer.name, answer.hub);
    if let Some(validity) = Validity::of_hub(&folder.join(CERT)) {
        out!(
            "Its certificate is valid until {}, and is renewed from {} on.",
            day(validity.until),
            day(validity.renewal)
        );
    }
    match (&answer.address, &added) {
        (Some(address), Some(name)) => out!("Its address is {address}, on {name}."),
        (Some(address), None) => out!("Its address is {address}; give it to a device here."),
        (None, Some(name)) if answer.dhcp => {
            out!("The LAN has a DHCP server: dhclient {name} asks it for an address.");
        }
        _ => {}
    }
    out!("{} is written.", place.file.display());
    warn_of_clash(answer.address.as_deref(), added.as_deref());
    finish(&place, &note, answer.hub_address.as_deref())
}

/// Starts the switch, and shows the other side, if that has an address.
fn finish(place: &Place, note: &Note, address: Option<&str>) -> Result<ExitCode> {
    match place.start(Change::Ports)? {
        Some(command) => {
            let other = address.map(|own| format!(" ({own})")).unwrap_or_default();
            out!("Start the tunnel to {}{other}:\n\n  {command}", note.hub);
        }
        None => System::new().block_on(show_other_side(place, &note.hub, address))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells of another interface here that is in the same network: its traffic would not go by the
/// tunnel.
fn warn_of_clash(address: Option<&str>, tap: Option<&str>) {
    let Some(own) = address.and_then(|address| address.parse::<IpNet>().ok()) else { return };
    let mut others = interface_addresses().into_iter().filter(|(name, _)| Some(&**name) != tap);
    if let Some((name, other)) = others.find(|(_, other)| own.contains(other)) {
        eprintln!(
            "etherws: {name} has the address {other} of the same network {}: what is for that network \
             may leave by {name}, and not by the tunnel",
            own.trunc()
        );
    }
}

/// A day as it is shown.
fn day(time: i64) -> String {
    let time = Timestamp::from_second(time).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%d").to_string()
}

/// What a hub has said of itself and of us, as far as it can be used: it is a stranger's word, and
/// stands in files and on terminals.
fn checked(answer: Answer) -> Result<Answer> {
    let is_usable = |text: &String| {
        text.parse::<IpNet>().is_ok_and(|net| {
            let (address, length) = (net.addr(), net.prefix_len());
            let least = if address.is_ipv4() { 8 } else { 32 };
            length >= least
                && !address.is_loopback()
                && !address.is_multicast()
                && !is_edge(address, net)
        })
    };
    ensure!(is_name(&answer.name), "the hub has given {:?} as our name", clean(&answer.name));
    if let Some(wrong) = answer.address.as_ref().filter(|text| !is_usable(text)) {
        bail!("the hub has given {:?} as our address, which no host of a LAN has", clean(wrong));
    }
    let hub_address = answer.hub_address.filter(|text| text.parse::<IpAddr>().is_ok());
    Ok(Answer { hub: clean(&answer.hub), hub_address, ..answer })
}

/// The public key of a private one, SubjectPublicKeyInfo in DER.
fn read_key_of(key: &str) -> Result<Vec<u8>> {
    Ok(Requested::read(&Request::new(Some(key))?.request)?.key())
}

/// The link as given, or as a line of standard input: other users of the machine see a command
/// line.
fn read_link(given: &str) -> Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("standard input cannot be read")?;
    ensure!(!line.trim().is_empty(), "no link was given: standard input has no line with one");
    Ok(line)
}

/// The TAP device to have.
fn wanted_tap(args: &JoinArgs, document: &DocumentMut, folder: &Path) -> Result<Option<String>> {
    if args.no_tap {
        return Ok(None);
    }
    let ours = args.tap.is_none().then(|| read_note(folder)?.tap).flatten();
    if let Some(name) = ours {
        return Ok(Some(name));
    }
    if args.tap.is_none() && target_of(document, "tap").is_some() {
        // The switch is on its LAN by that one.
        return Ok(None);
    }
    check_tap()?;
    Ok(Some(args.tap.clone().unwrap_or_else(|| TAP.to_owned())))
}

fn has_tap(document: &DocumentMut, name: &str) -> bool {
    let ports = document.get("port").and_then(Item::as_array_of_tables);
    let text = |port: &Table, key: &str| port.get(key).and_then(Item::as_str).map(str::to_owned);
    ports.into_iter().flatten().any(|port| {
        text(port, "type").as_deref() == Some("tap")
            && text(port, "target").as_deref() == Some(name)
    })
}

/// Name of the folder of a hub: its host, and its port where that is not the usual one, behind a
/// word that no other folder here begins with.
fn folder_name(server: &ServerUrl) -> String {
    let name = server.authority().to_ascii_lowercase();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("lan-{plain}")
}

/// Where the key waits until it is certified: one for each invitation.
fn waiting_key(folder: &Path, link: &Link) -> PathBuf {
    let hash = users::hash(&link.secret);
    folder.join(format!("join-{}.key", &hash[..12]))
}

fn read_key(path: &Path) -> Result<Option<String>> {
    match files::read(path) {
        Ok(octets) => Ok(Some(String::from_utf8(octets)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{}", path.display())),
    }
}

/// What join has noted in a folder.
pub(super) fn read_note(folder: &Path) -> Option<Note> {
    serde_json::from_slice(&files::read(&folder.join(NOTE)).ok()?).ok()
}

/// How a hub is reached that has this pin.
fn route(link: &Link, proxy: Option<&Secret>) -> Route {
    let tls = TlsOptions { pins: link.pin.into_iter().collect(), ..TlsOptions::default() };
    let proxy = match proxy {
        Some(Secret(text)) => ProxyChoice::new(text.clone()),
        None => ProxyChoice::Environment,
    };
    Route { tls, proxy, ..Route::new(Logger::root(Discard, o!())) }
}

/// Asks the hub, at the first of its URLs that answers; waits for an operator, if that is needed.
async fn redeem(
    link: &Link,
    asked: &Asked,
    proxy: Option<&Secret>,
) -> Result<(ServerUrl, Answer, String)> {
    let route = route(link, proxy);
    let mut told = false;
    loop {
        let mut failed = Vec::new();
        let mut pending = None;
        for server in &link.urls {
            match hub::ask(server, &route, asked).await {
                Ok(Reply::Certified(answer, chain)) => return Ok((server.clone(), answer, chain)),
                Ok(Reply::Pending(answer)) => {
                    pending = Some(answer);
                    break;
                }
                Ok(Reply::Left) => bail!("{server} is not a hub of etherws"),
                Err(error) => failed.push(one_line(&*error)),
            }
        }
        let Some(answer) = pending else { bail!("{}", failed.join("; ")) };
        if !told {
            told = true;
            let Answer { hub, name, .. } = checked(answer)?;
            eprintln!(
                "Waiting for an operator of {hub}, who types there: etherws users approve {name}"
            );
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Adds the client port to the hub, or brings the one that is there to this invitation.
fn put_client(
    document: &mut DocumentMut,
    link: &Link,
    server: &ServerUrl,
    folder: &Path,
    place: &Place,
    proxy: Option<&Secret>,
) -> Result<()> {
    let beside = folder.strip_prefix(place.folder()).unwrap_or(folder);
    let file = |name: &str| beside.join(name).display().to_string();
    let others = link.urls.iter().filter(|url| *url != server).map(ToString::to_string);
    let others: Vec<_> = others.collect();
    let ports = ports(document)?;
    let cert = file(CERT);
    let is_it = |port: &Table| port.get("cert").and_then(Item::as_str) == Some(&cert);
    let at = ports.iter().position(is_it);
    let mut new = Table::new();
    let port = match at.and_then(|at| ports.get_mut(at)) {
        Some(port) => port,
        None => &mut new,
    };
    port.insert("type", value("client"));
    port.insert("target", value(server.to_string()));
    if others.is_empty() {
        port.remove("urls");
    } else {
        port.insert("urls", value(list(others)));
    }
    match link.pin {
        Some(pin) => drop(port.insert("pin", value(list([pin.to_string()])))),
        None => drop(port.remove("pin")),
    }
    port.insert("cert", value(cert));
    port.insert("key", value(file(KEY)));
    if let Some(Secret(proxy)) = proxy {
        port.insert("proxy", value(proxy));
    }
    if at.is_none() {
        ports.push(new);
    }
    Ok(())
}

/// Waits for the tunnel, and pings the other side.
async fn show_other_side(place: &Place, hub: &str, address: Option<&str>) -> Result<()> {
    let (file, _) = File::read(&place.file)?;
    let endpoint = Endpoint::new(&file.control_url(), None, TlsOptions::default())?;
    let Some(address) = address else {
        out!("The switch runs: etherws ctl listport shows the tunnel.");
        return Ok(());
    };
    let ping = Ping::once(address);
    let started = Instant::now();
    loop {
        match endpoint.ask(&ping).await {
            Ok(pongs) => {
                let pong = pongs.first().map(|pong| format!("{:.1} ms", pong.rtt));
                out!("{hub} ({address}) answers: {}.", pong.unwrap_or_default());
                return Ok(());
            }
            Err(error) if started.elapsed() > UP_LIMIT => {
                let why = error.data().map(|data| data.get().to_owned()).unwrap_or_default();
                bail!(
                    "{hub} ({address}) does not answer: {why}; etherws doctor looks for the reason"
                )
            }
            Err(_) => sleep(LOOK_AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use etherws_actors::connect::Scheme;

    use super::*;

    fn answer(name: &str, address: &str) -> Answer {
        Answer {
            name: name.to_owned(),
            hub: "h\u{1b}[31mub\n".to_owned(),
            hub_address: Some("10.99.0.1; reboot".to_owned()),
            address: Some(address.to_owned()),
            dhcp: false,
            certificate: None,
        }
    }

    #[test]
    fn what_a_hub_says_of_us_is_that_of_a_host_or_refused() {
        for address in ["10.99.0.2/24", "2001:db8::2/64", "10.0.0.1/8"] {
            let checked = checked(answer("alice-1", address)).unwrap();
            assert_eq!(checked.address.as_deref(), Some(address));
            assert!(!checked.hub.chars().any(char::is_control) && checked.hub_address.is_none());
        }
        for address in [
            "0.0.0.0/0",
            "200.1.2.3/1",
            "127.0.0.1/8",
            "224.0.0.1/24",
            "10.99.0.0/24",
            "10.99.0.255/24",
            "::1/128",
            "2001:db8::1/16",
            "10.99.0.2",
            "x\"\n[tunnel]",
        ] {
            let error = checked(answer("alice", address)).unwrap_err().to_string();
            assert!(error.contains("as our address") && !error.contains('\n'), "{error}");
        }
        for name in ["", "..", "a/b", "m; rm -rf /", "\u{1b}]0;x"] {
            assert!(checked(answer(name, "10.99.0.2/24")).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_folder_of_a_hub_is_beside_the_file_whatever_it_is_called() {
        for (url, wanted) in [
            ("wss://hub/", "lan-hub"),
            ("wss://192.0.2.1:8443/", "lan-192.0.2.1_8443"),
            ("wss://[2001:db8::1]/lan", "lan-_2001_db8__1_"),
            ("wss://../", "lan-.."),
            ("wss://%2e%2e/", "lan-.."),
        ] {
            match ServerUrl::parse(url, Scheme::WebSocket) {
                Ok(url) => assert_eq!(folder_name(&url), wanted),
                Err(_) => assert!(url.contains("..") || url.contains('%'), "{url}"),
            }
        }
    }
}
