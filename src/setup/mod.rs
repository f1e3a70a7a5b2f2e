//! `etherws init`, `join` and `leave`: they write the configuration of a switch, its keys and
//! certificates, and start it. Every step can be done again: what is there already stays.

/// Prints a line; whoever has closed standard output wants no more of it.
macro_rules! out {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod leave;

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, lchown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use actix_rt::System;
use anyhow::{Context as _, Result, bail, ensure};
use etherws_actors::{connect::TlsOptions, error::plain};
use nix::unistd::{User, geteuid};
use tempfile::NamedTempFile;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::{
    api::{ListUser, Reload, call::Call, client::Endpoint},
    cli::{CONFIG, usual_file},
    config::{CommandLine, File, resolve},
    files, privileges,
};

/// Where the packaged service has control.
const SOCKET_OF_SERVICE: &str = "/run/etherws/control.sock";

/// Name of the TAP device unless told otherwise.
const TAP: &str = "ethws0";

/// A configuration file, and what stands beside it.
#[derive(Debug)]
struct Place {
    /// Absolute.
    file: PathBuf,
    /// The packaged service's user, if the file is that service's.
    service: Option<User>,
}

impl Place {
    /// The file that was named, or the usual one of who asks.
    fn of(named: Option<PathBuf>) -> Result<Self> {
        let usual = || usual_file().context("HOME is not set; name the file with --config FILE");
        let file = named.map_or_else(usual, Ok)?;
        let service = privileges::service_of(&file).filter(|_| geteuid().is_root());
        Ok(Self { file, service })
    }

    /// What a command needs to find this file, where it is not the usual one.
    fn option(&self) -> String {
        let usual = usual_file().is_some_and(|usual| usual == self.file);
        if usual { String::new() } else { format!(" --config {}", quoted(&self.file)) }
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(&self.file)
    }

    /// Whether systemd runs the switch.
    fn has_service(&self) -> bool {
        self.file == Path::new(CONFIG)
            && Path::new("/run/systemd/system").exists()
            && geteuid().is_root()
    }

    /// The socket of control, for a file that says nothing of it.
    fn socket(&self) -> String {
        if self.file == Path::new(CONFIG) {
            SOCKET_OF_SERVICE.to_owned()
        } else {
            self.folder().join("control.sock").display().to_string()
        }
    }

    /// The file as it is; empty if there is none.
    fn read(&self) -> Result<DocumentMut> {
        let shown = self.file.display();
        let text = match files::read(&self.file) {
            Ok(octets) => {
                String::from_utf8(octets).with_context(|| format!("{shown} is not valid UTF-8"))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("{shown}: cannot be read")),
        };
        let parsed: Result<DocumentMut, _> = text.parse();
        parsed.map_err(|error| {
            let why = plain(error.message().to_owned());
            anyhow::anyhow!("{shown} is not TOML: {why}; etherws check says where")
        })
    }

    /// Writes the file; a new one is the service's to read and change.
    fn write(&self, document: &DocumentMut) -> Result<()> {
        make_folder(self.folder(), 0o755)?;
        let old = fs::metadata(&self.file).ok();
        files::replace(&self.file, old.as_ref(), document.to_string().as_bytes())
            .with_context(|| format!("{}: cannot be written", self.file.display()))?;
        if old.is_none() {
            self.give(&self.file, &[])?;
        }
        Ok(())
    }

    /// Gives what was written to the service, which is to read and renew it: itself, and these
    /// files in it. What a link leads to stays whose it is.
    fn give(&self, path: &Path, files: &[&str]) -> Result<()> {
        let Some(user) = &self.service else { return Ok(()) };
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        let all = files.iter().map(|name| path.join(name)).filter(|path| path.exists());
        for path in all.chain([path.to_owned()]) {
            lchown(&path, Some(uid), Some(gid))
                .with_context(|| format!("{}: cannot be given to {}", path.display(), user.name))?;
        }
        Ok(())
    }

    /// What is wrong with the file as it would be.
    fn check(&self, document: &DocumentMut) -> Result<File> {
        make_folder(self.folder(), 0o755)?;
        let mut new = NamedTempFile::new_in(self.folder())
            .with_context(|| format!("{}: cannot be written", self.folder().display()))?;
        new.write_all(document.to_string().as_bytes())?;
        let (file, faults) = File::read(new.path())?;
        resolve(&file.config, Some(&file), &CommandLine::default(), faults)?;
        Ok(file)
    }

    /// Has the switch run by the file as it is now. Gives the command for that where nobody else
    /// starts it.
    fn start(&self, change: Change) -> Result<Option<String>> {
        if self.has_service() {
            const UNIT: &str = "etherws.service";
            match change {
                _ if systemctl(&["is-active", "--quiet", UNIT]).is_err() => {
                    systemctl(&["enable", "--now", UNIT])?;
                }
                Change::None => {}
                Change::Ports => systemctl(&["reload", UNIT])?,
                Change::All => systemctl(&["restart", UNIT])?,
            }
            return Ok(None);
        }
        let command = format!("etherws sw --config {}", quoted(&self.file));
        let runs = match change {
            Change::None => self.asks(&ListUser::default()),
            Change::Ports => self.asks(&Reload {}),
            Change::All => false,
        };
        Ok((!runs).then_some(command))
    }

    /// Asks the switch that runs by the file, if there is one; whether it has done so.
    fn asks(&self, call: &impl Call) -> bool {
        let Ok((file, _)) = File::read(&self.file) else { return false };
        let endpoint = Endpoint::new(&file.control_url(), None, TlsOptions::default());
        endpoint.is_ok_and(|endpoint| System::new().block_on(endpoint.ask(call)).is_ok())
    }
}

/// What of a configuration was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing.
    None,
    /// Ports: a running switch takes them over.
    Ports,
    /// Also what a running switch keeps, such as `[users]`.
    All,
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn systemctl(args: &[&str]) -> Result<()> {
    let said = Command::new("systemctl").args(args).stdin(Stdio::null()).output();
    let said = said.context("systemctl cannot be run")?;
    let words = plain(String::from_utf8_lossy(&said.stderr).into_owned());
    ensure!(
        said.status.success(),
        "systemctl {} failed: {words}; journalctl -u etherws tells more",
        args.join(" ")
    );
    Ok(())
}

/// Makes a folder, if it is not there.
fn make_folder(folder: &Path, mode: u32) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(folder);
    made.with_context(|| format!("{}: cannot be made", folder.display()))
}

/// Writes a secret: nobody else may read it.
fn write_secret(path: &Path, content: &str) -> Result<()> {
    files::replace(path, None, content.as_bytes())
        .with_context(|| format!("{}: cannot be written", path.display()))
}

/// The table `name`, which is made if it is not there.
fn table<'a>(document: &'a mut DocumentMut, name: &str) -> Result<&'a mut Table> {
    let item = document.entry(name).or_insert_with(|| Item::Table(Table::new()));
    item.as_table_mut().with_context(|| format!("{name} is an inline table; write it as [{name}]"))
}

/// Has control listen on a socket, if the file says nothing of it.
fn put_control(document: &mut DocumentMut, socket: &str) -> Result<()> {
    if document.get("control").is_none() {
        table(document, "control")?.insert("socket", value(socket));
    }
    Ok(())
}

/// The ports of the file.
fn ports(document: &mut DocumentMut) -> Result<&mut ArrayOfTables> {
    let item = document.entry("port").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut()
        .context("the ports of the file are an inline array; write each as [[port]]")
}

/// The target of the first port of this kind.
fn target_of<'a>(document: &'a DocumentMut, kind: &str) -> Option<&'a str> {
    let ports = document.get("port")?.as_array_of_tables()?;
    let is_it = |port: &&Table| port.get("type").and_then(Item::as_str) == Some(kind);
    ports.iter().find(is_it)?.get("target")?.as_str()
}

/// Adds a TAP device, or gives the one of this name the address.
fn put_tap(document: &mut DocumentMut, name: &str, address: Option<&str>) -> Result<()> {
    let ports = ports(document)?;
    let is_it = |port: &Table| {
        let text = |key| port.get(key).and_then(Item::as_str);
        (text("type"), text("target")) == (Some("tap"), Some(name))
    };
    let at = ports.iter().position(is_it);
    let at = at.unwrap_or_else(|| {
        let mut port = Table::new();
        port.insert("type", value("tap"));
        port.insert("target", value(name));
        ports.push(port);
        ports.len() - 1
    });
    if let Some((port, address)) = ports.get_mut(at).zip(address) {
        port.insert("addresses", value(list([address])));
    }
    Ok(())
}

fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Array {
    items.into_iter().map(Into::into).collect()
}

/// Checks that this process can make a TAP device.
fn check_tap() -> Result<()> {
    let device = Path::new("/dev/net/tun");
    if !device.exists() {
        bail!("{} is not there, so there are no TAP devices: give --no-tap", device.display());
    }
    ensure!(geteuid().is_root(), "a TAP device needs root: use sudo, or give --no-tap");
    Ok(())
}
