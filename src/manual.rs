//! `etherws manual`: man pages and shell completions, written from the definition of the
//! command line, so that they say what it does. The package and `make install` take them
//! from the binary that they install.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::cli::{self, ManualArgs};

/// The program, and the prefix of its pages.
const NAME: &str = "etherws";

/// Sections of etherws(1) that the definition lacks.
const SECTIONS: [(&str, &[(&str, &str)]); 4] = [
    (
        "EXIT STATUS",
        &[
            ("0", "success"),
            ("1", "failure; standard error says why"),
            ("2", "the command line is not valid"),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("ETHERWS_CTLURL", "URL of the control service, for ctl without --ctlurl"),
            (
                "http_proxy, https_proxy, no_proxy",
                "proxies for client ports, in the environment of sw",
            ),
            (
                "NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS, LISTEN_FDNAMES",
                "set by systemd: where sw reports that it is ready and alive, and the sockets, named \
                 tunnel and control, that it serves instead of opening its own",
            ),
        ],
    ),
    (
        "FILES",
        &[
            ("/etc/etherws/etherws.toml", "configuration of the service"),
            ("/run/etherws/control.sock", "control of the service, for root"),
        ],
    ),
    (
        "SIGNALS",
        &[
            ("SIGTERM, SIGINT", "close all tunnels and exit; a second one exits at once"),
            ("SIGHUP", "reload configuration, passwords and certificates; reopen log files"),
        ],
    ),
];

/// Writes `man1/*.1` and the completions of bash, zsh and fish to the folder.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn run(args: &ManualArgs) -> Result<()> {
    let mut definition = cli::definition();
    definition.build();
    pages(&definition, &folder(&args.folder, "man1")?)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let folder = folder(&args.folder, &shell.to_string())?;
        generate_to(shell, &mut definition, NAME, &folder).with_context(|| cannot(&folder))?;
    }
    Ok(())
}

/// The pages of a command and its subcommands.
fn pages(command: &Command, folder: &Path) -> Result<()> {
    let full_name = command.get_display_name().unwrap_or(NAME);
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.clone()).source(format!("{NAME} {version}")).manual(NAME);
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut more = Roff::default();
    let related = match full_name.rsplit_once('-') {
        Some((parent, _)) => format!("{parent}(1)"),
        None => {
            for (title, entries) in SECTIONS {
                more.control("SH", [title]);
                for (term, meaning) in entries {
                    more.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
                }
            }
            "etherws.toml(5), ip(8), tuntap(4)".to_owned()
        }
    };
    more.control("SH", ["SEE ALSO"]).text([roman(related)]);
    more.to_writer(&mut page)?;
    let file = folder.join(man.get_filename());
    fs::write(&file, page).with_context(|| cannot(&file))?;
    command.get_subcommands().filter(|it| !it.is_hide_set()).try_for_each(|it| pages(it, folder))
}

fn folder(parent: &Path, name: &str) -> Result<PathBuf> {
    let folder = parent.join(name);
    fs::create_dir_all(&folder).with_context(|| cannot(&folder))?;
    Ok(folder)
}

fn cannot(path: &Path) -> String {
    format!("cannot write to {}; give a writable folder", path.display())
}
