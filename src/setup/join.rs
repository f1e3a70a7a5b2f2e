//! `etherws join`: becomes a user of a hub by an invitation. The key is made here and never leaves
//! this machine; the hub certifies it, and says what else there is to know.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use actix_rt::{System, time::sleep};
use anyhow::{Context as _, Result, bail, ensure};
use etherws_actors::{
    connect::{ProxyChoice, Route, ServerUrl, TlsOptions},
    error::one_line,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slog::{Discard, Logger, o};
use toml_edit::{DocumentMut, Item, Table, value};

use super::{
    Change, Place, TAP, check_tap, list, make_folder, ports, put_control, put_tap, target_of,
    write_secret,
};
use crate::{
    api::{Ping, client::Endpoint},
    cli::JoinArgs,
    config::{CommandLine, File, resolve},
    files,
    hub::{self, Reply, Validity},
    options::Secret,
    server::join::{Answer, Asked},
    users::{self, ca::Request, link::Link},
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
    ensure!(
        link.until > now.as_second(),
        "the invitation expired on {}, by the clock of this machine; ask for a new link",
        Timestamp::from_second(link.until).unwrap_or(now)
    );
    let place = Place::of(args.config.clone())?;
    let first = link.urls.first().context("the link names no hub")?;
    let folder = place.folder().join(folder_name(first));
    let tap = wanted_tap(&args, &place.read()?, &folder)?;
    make_folder(&folder, 0o700)?;
    let waiting = waiting_key(&folder, &link);
    let request = Request::new(read_key(&waiting)?.as_deref())?;
    // Kept before it is shown: if the answer is lost, the same key may come again.
    write_secret(&waiting, &request.key)?;
    let asked = Asked::to_join(&link.secret, request.request);
    let (server, answer, chain) =
        System::new().block_on(redeem(&link, &asked, args.proxy.as_ref()))?;

    // An earlier user of this hub is replaced; what it has added stays.
    let before = read_note(&folder).and_then(|note| note.tap);
    // As it is now: an operator may have taken his time.
    let mut document = place.read()?;
    let is_ours = |name: &String| before.as_ref() == Some(name);
    let added = tap.filter(|name| is_ours(name) || !has_tap(&document, name));
    write_secret(&folder.join(KEY), &request.key)?;
    write_secret(&folder.join(CERT), &chain)?;
    put_control(&mut document, &place.socket())?;
    if let Some(name) = &added {
        put_tap(&mut document, name, answer.address.as_deref())?;
    }
    put_client(&mut document, &link, &server, &folder, &place, args.proxy.as_ref())?;
    let note =
        Note { hub: answer.hub.clone(), user: answer.name.clone(), tap: added.clone().or(before) };
    write_secret(&folder.join(NOTE), &(serde_json::to_string_pretty(&note)? + "\n"))?;
    place.write(&document)?;
    place.give(&folder)?;
    // It is another file now.
    let _ = fs::remove_file(&waiting);
    let (file, faults) = File::read(&place.file)?;
    resolve(&file.config, Some(&file), &CommandLine::default(), faults)?;

    println!("This machine is {} on the LAN of {}.", answer.name, answer.hub);
    if let Some(validity) = Validity::of_hub(&folder.join(CERT)) {
        let day = |time| Timestamp::from_second(time).unwrap_or(now).strftime("%Y-%m-%d");
        println!(
            "Its certificate is valid until {}, and is renewed from {} on.",
            day(validity.until),
            day(validity.renewal)
        );
    }
    match (&answer.address, &added) {
        (Some(address), Some(name)) => println!("Its address is {address}, on {name}."),
        (Some(address), None) => println!("Its address is {address}; give it to a device here."),
        (None, Some(name)) if answer.dhcp => {
            println!("The LAN has a DHCP server: dhclient {name} asks it for an address.");
        }
        _ => {}
    }
    println!("{} is written.", place.file.display());
    match place.start(Change::Ports)? {
        Some(command) => {
            let other = answer.hub_address.as_deref().map(|own| format!(" ({own})"));
            println!("Start the tunnel to {}{}:\n", answer.hub, other.unwrap_or_default());
            println!("  {command}");
        }
        None => System::new().block_on(show_other_side(&file, &answer))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The link as given, or as a line of standard input: other users of the machine see a command
/// line.
fn read_link(given: &str) -> Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("standard input cannot be read")?;
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

/// Name of the folder of a hub: its host, and its port where that is not the usual one.
pub(super) fn folder_name(server: &ServerUrl) -> String {
    let name = server.authority().to_ascii_lowercase();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
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
            let Answer { hub, name, .. } = answer;
            eprintln!(
                "Waiting until an operator of {hub} approves {name}: etherws users approve {name}"
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
async fn show_other_side(file: &File, answer: &Answer) -> Result<()> {
    let endpoint = Endpoint::new(&file.control_url(), None, TlsOptions::default())?;
    let Some(address) = &answer.hub_address else {
        println!("The switch runs: etherws ctl listport shows the tunnel.");
        return Ok(());
    };
    let ping = Ping::once(address);
    let started = Instant::now();
    loop {
        match endpoint.ask(&ping).await {
            Ok(pongs) => {
                let pong = pongs.first().map(|pong| format!("{:.1} ms", pong.rtt));
                println!("{} ({address}) answers: {}.", answer.hub, pong.unwrap_or_default());
                return Ok(());
            }
            Err(error) if started.elapsed() > UP_LIMIT => {
                let why = error.data().map(|data| data.get().to_owned()).unwrap_or_default();
                bail!(
                    "{} ({address}) does not answer: {why}; etherws doctor looks for the reason",
                    answer.hub
                )
            }
            Err(_) => sleep(LOOK_AGAIN).await,
        }
    }
}
