//! `etherws leave`: undoes what join has done. The hub is told, so that it lets in the certificate
//! no more and gives the address to others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use actix_rt::System;
use anyhow::{Context as _, Result, bail, ensure};
use etherws_actors::{
    connect::{Scheme, ServerUrl},
    error::one_line,
    kinds::{Client, ClientOptions},
};
use slog::{Discard, Logger, o};
use toml_edit::{DocumentMut, Item, Table};

use super::{
    Change, Place,
    join::{CERT, KEY, NOTE, Note, read_note},
    ports, systemctl,
};
use crate::{
    cli::LeaveArgs,
    config::{CommandLine, File, resolve},
    hub::{self, Reply},
    server::join::Asked,
};

/// A LAN that was joined.
pub(super) struct Joined {
    pub(super) folder: PathBuf,
    pub(super) note: Note,
}

/// All that were joined by a file.
pub(super) fn joined(place: &Place) -> Vec<Joined> {
    let entries = fs::read_dir(place.folder()).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path()).filter(|path| path.join(CERT).exists());
    folders.filter_map(|folder| Some(Joined { note: read_note(&folder)?, folder })).collect()
}

/// Runs `etherws leave`.
///
/// # Errors
/// No such LAN was joined, or a file cannot be written.
pub(crate) fn run(args: &LeaveArgs) -> Result<ExitCode> {
    let place = Place::of(args.config.clone())?;
    let joined = choose(&place, args.hub.as_deref())?;
    let Note { hub, user, tap, .. } = &joined.note;
    match tell(&place, &joined) {
        Ok(()) => out!("{hub} has revoked {user}."),
        Err(error) => eprintln!(
            "etherws: {hub} was not told: {}; its operator can type: etherws users revoke {user}",
            one_line(&*error)
        ),
    }
    let mut document = place.read()?;
    let left = remove(&mut document, &place, &joined.folder, tap.as_deref())?;
    place.write(&document)?;
    // What join has written, and nothing else.
    let entries = fs::read_dir(&joined.folder)?.flatten();
    let is_ours = |name: &str| [CERT, KEY, NOTE].contains(&name) || name.starts_with("join-");
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours)) {
        fs::remove_file(entry.path())
            .with_context(|| format!("{}: cannot be removed", entry.path().display()))?;
    }
    fs::remove_dir(&joined.folder)
        .with_context(|| format!("{}: cannot be removed", joined.folder.display()))?;
    out!(
        "The tunnel is removed from {}, and key and certificate with {}.",
        place.file.display(),
        joined.folder.display()
    );
    if place.has_service() && left == 0 {
        systemctl(&["disable", "--now", "etherws.service"])?;
    } else if place.start(Change::Ports)?.is_none() {
        out!("The switch has read it again.");
    }
    Ok(ExitCode::SUCCESS)
}

/// The LAN that is meant.
fn choose(place: &Place, hub: Option<&str>) -> Result<Joined> {
    let mut all = joined(place);
    let names = all.iter().map(|one| one.note.hub.clone()).collect::<Vec<_>>().join(", ");
    let shown = place.folder().display();
    ensure!(!all.is_empty(), "no LAN was joined by a file in {shown}; give --config FILE");
    if let Some(hub) = hub {
        let is_it = |one: &Joined| one.note.hub == hub || one.folder.ends_with(hub);
        all.retain(is_it);
        ensure!(!all.is_empty(), "{hub}: no such LAN was joined; there is {names}");
    }
    ensure!(all.len() == 1, "several LANs were joined: {names}; name the one to leave");
    all.pop().context("there is one")
}

/// Tells the hub.
fn tell(place: &Place, joined: &Joined) -> Result<()> {
    let (file, faults) = File::read(&place.file)?;
    let sw = resolve(&file.config, Some(&file), &CommandLine::default(), faults)?;
    let cert = joined.folder.join(CERT);
    let is_it = |client: &&ClientOptions| client.cert.as_deref() == Some(&*cert);
    let client = sw.ports.iter().filter_map(|port| port.new.get::<Client>()).find(is_it);
    let client = client.context("the file has no port to it")?;
    let route = client.route(Logger::root(Discard, o!()));
    let asked = Asked { leave: true, ..Asked::default() };
    let mut failed = None;
    for url in client.all_urls() {
        let server = ServerUrl::parse(url, Scheme::WebSocket)?;
        match System::new().block_on(hub::ask(&server, &route, &asked)) {
            Ok(Reply::Left) => return Ok(()),
            Ok(_) => bail!("{url} is not a hub of etherws"),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| anyhow::Error::msg("there is no server")))
}

/// Takes out the port to the hub, and the TAP device that was added with it. Gives how many ports
/// are left.
fn remove(
    document: &mut DocumentMut,
    place: &Place,
    folder: &Path,
    tap: Option<&str>,
) -> Result<usize> {
    let text = |port: &Table, key: &str| port.get(key).and_then(Item::as_str).map(str::to_owned);
    let is_gone = |port: &Table| {
        let cert = text(port, "cert").map(|cert| place.folder().join(cert));
        let is_tap = text(port, "type").as_deref() == Some("tap");
        cert.is_some_and(|cert| cert.starts_with(folder))
            || is_tap && tap.is_some() && text(port, "target").as_deref() == tap
    };
    let ports = ports(document)?;
    ports.retain(|port| !is_gone(port));
    Ok(ports.len())
}
