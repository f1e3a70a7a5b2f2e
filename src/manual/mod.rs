//! `etherws manual`: man pages and shell completions, written from the definition of the
//! command line and the schema of the configuration file, so that they say what is. The package and `make install` take them
//! from the binary that they install.

mod file;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{
    cli::{self, ManualArgs, page},
    completions,
};

/// The program, and the prefix of its pages.
const NAME: &str = "etherws";

/// What the pages document.
const SOURCE: &str = concat!("etherws ", env!("CARGO_PKG_VERSION"));

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

/// Writes `man1/*.1`, `man5/etherws.toml.5` and the completions of bash, zsh and fish to the
/// folder.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn run(args: &ManualArgs) -> Result<()> {
    let mut definition = for_pages(cli::definition());
    definition.build();
    pages(&definition, &folder(&args.folder, "man1")?)?;
    let mut page = Vec::new();
    file::page().to_writer(&mut page)?;
    write(&folder(&args.folder, "man5")?.join("etherws.toml.5"), &page)?;
    for (shell, name) in
        [(Shell::Bash, "etherws.bash"), (Shell::Zsh, "_etherws"), (Shell::Fish, "etherws.fish")]
    {
        let mut script = Vec::new();
        completions::write(shell, &mut script)?;
        write(&folder(&args.folder, &shell.to_string())?.join(name), &script)?;
    }
    Ok(())
}

/// Leaves out what man pages show in their own sections, and `help`.
fn for_pages(command: Command) -> Command {
    let command = command.disable_help_subcommand(true).after_help(None::<&str>);
    command.mut_subcommands(for_pages)
}

/// The pages of a command and its subcommands.
fn pages(command: &Command, folder: &Path) -> Result<()> {
    let full_name = command.get_display_name().unwrap_or(NAME);
    let words = full_name.trim_start_matches(NAME).trim_start_matches('-').replace('-', " ");
    let described = page(&words);
    let mut shown = command.clone();
    if let Some(page) = described.filter(|page| !page.description.is_empty()) {
        shown = shown.long_about(page.description);
    }
    let man = Man::new(shown).source(SOURCE).manual(NAME);
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut more = Roff::default();
    if let Some(described) = described {
        let examples = described.examples.iter();
        entries(
            &mut more,
            "EXAMPLES",
            examples.map(|(line, does)| (format!("{NAME} {line}"), *does)),
        );
    }
    let related = match full_name.rsplit_once('-') {
        Some((parent, _)) => format!("{parent}(1)"),
        None => {
            for (title, list) in SECTIONS {
                entries(
                    &mut more,
                    title,
                    list.iter().map(|(term, text)| ((*term).to_owned(), *text)),
                );
            }
            "etherws.toml(5), ip(8), tuntap(4)".to_owned()
        }
    };
    more.control("SH", ["SEE ALSO"]).text([roman(related)]);
    more.to_writer(&mut page)?;
    write(&folder.join(man.get_filename()), &page)?;
    command.get_subcommands().filter(|it| !it.is_hide_set()).try_for_each(|it| pages(it, folder))
}

/// A section of terms, each with a text.
fn entries(
    page: &mut Roff,
    title: &str,
    entries: impl IntoIterator<Item = (String, &'static str)>,
) {
    page.control("SH", [title]);
    for (term, text) in entries {
        page.control("TP", []).text([bold(term)]).text([roman(text)]);
    }
}

fn folder(parent: &Path, name: &str) -> Result<PathBuf> {
    let folder = parent.join(name);
    fs::create_dir_all(&folder).with_context(|| cannot(&folder))?;
    Ok(folder)
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    fs::write(file, content).with_context(|| cannot(file))
}

fn cannot(path: &Path) -> String {
    format!("cannot write to {}; give a writable folder", path.display())
}
