//! Completions of the command line: a script for each shell, which asks the program itself
//! at each TAB, so that ports, users and devices are those that are there. What cannot be
//! had at once has no completions: nothing is prompted for, and no error is shown.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    time::Duration,
};

use actix_rt::{System, time::timeout};
use anyhow::{Context as _, Result};
use clap::{Arg, Command};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCandidates, CompletionCandidate},
    env::Shells,
};
use etherws_actors::{connect::TlsOptions, settings::SETTINGS};

use crate::{
    api::{ListPort, client::Endpoint},
    cli::{self, CTLURL, CompletionsArgs, default_ctlurl},
    files,
};

/// Says to the program that it is asked by a shell, and by which.
const VARIABLE: &str = "ETHERWS_COMPLETE";

/// What the scripts call.
const PROGRAM: &str = "etherws";

/// Time for a switch to list its ports: whoever has pressed TAB waits for it.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Where the kernel lists network interfaces.
const DEVICES: &str = "/sys/class/net";

/// Answers a shell and ends the program, if it is a shell that asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(|| with_candidates(cli::definition())).var(VARIABLE).complete();
}

/// Runs `etherws completions`.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn run(args: &CompletionsArgs) -> Result<()> {
    write(args.shell, &mut io::stdout().lock()).context("standard output cannot be written")
}

/// Writes the script of a shell.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let completer = shells.completer(&name).ok_or(io::ErrorKind::Unsupported)?;
    completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, out)
}

/// The definition, with what may stand where only this machine or the switch knows.
fn with_candidates(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let add = |arg: Arg| {
        let candidates = match (name.as_str(), arg.get_id().as_str()) {
            ("netdev", "target") | ("doctor", "netdev") => ArgValueCandidates::new(devices),
            ("passwd", "user") => ArgValueCandidates::new(users),
            ("setport", "defaults") => ArgValueCandidates::new(settings),
            (_, "port" | "ports" | "carrier-from") if !matches!(&*name, "sw" | "server") => {
                ArgValueCandidates::new(ports)
            }
            _ => {
                let forms = arg.get_value_names().unwrap_or_default();
                let words = forms.iter().flat_map(|form| words(form));
                let words: Vec<_> = words.map(str::to_owned).collect();
                if words.is_empty() {
                    return arg;
                }
                ArgValueCandidates::new(move || {
                    words.iter().map(CompletionCandidate::new).collect()
                })
            }
        };
        arg.add(candidates)
    };
    command.mut_args(add).mut_subcommands(with_candidates)
}

/// Words among the values that are written so, as `on` and `off` of `on|off`: what stands for
/// something else is in capitals.
fn words(form: &str) -> impl Iterator<Item = &str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    form.split('|').filter(move |part| !part.is_empty() && part.chars().all(is_plain))
}

/// Names of all settings.
fn settings() -> Vec<CompletionCandidate> {
    SETTINGS.iter().map(|setting| CompletionCandidate::new(setting.name)).collect()
}

/// What somebody has named so. A shell may put it on the command line as it is: what would be more
/// than a word to one is not offered, such as `$(reboot)` or `*`.
fn named(name: &str) -> Option<CompletionCandidate> {
    let is_plain = |c: char| c.is_alphanumeric() || "-._:@/+,=%".contains(c);
    name.chars().all(is_plain).then(|| CompletionCandidate::new(name))
}

/// Network interfaces of this machine.
fn devices() -> Vec<CompletionCandidate> {
    let entries = fs::read_dir(DEVICES).into_iter().flatten().flatten();
    entries.filter_map(|entry| named(entry.file_name().to_str()?)).collect()
}

/// Users of the htpasswd file on the command line.
fn users() -> Vec<CompletionCandidate> {
    let mut words = env::args_os().skip_while(|word| word != "passwd").skip(1);
    let file = words.find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    let text = file.and_then(|file| files::read(file.as_ref()).ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let names = text.lines().filter_map(|line| line.split_once(':'));
    names.filter_map(|(name, _)| named(name)).collect()
}

/// Ports of the switch that the command line or the environment names, if it wants no
/// password.
fn ports() -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = env::args_os().collect();
    let words = words.iter().filter_map(|word| word.to_str());
    let given = words.clone().zip(words.skip(1)).find_map(|(option, value)| {
        option.strip_prefix("--ctlurl=").or_else(|| (option == "--ctlurl").then_some(value))
    });
    let url = given.map(str::to_owned).or_else(|| env::var(CTLURL).ok());
    let url = url.unwrap_or_else(default_ctlurl);
    let list = async {
        let endpoint = Endpoint::new(&url, None, TlsOptions::default()).ok()?;
        endpoint.ask(&ListPort::default()).await.ok()
    };
    let answer = System::new().block_on(async { timeout(ANSWER_LIMIT, list).await });
    let Ok(Some(ports)) = answer else { return Vec::new() };
    let shown = ports.into_iter().flat_map(|port| {
        let help = format!("{} {}", port.kind, port.target);
        let of = move |value: String| Some(named(&value)?.help(Some(help.clone().into())));
        port.name.into_iter().chain([port.port.to_string()]).filter_map(of)
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use etherws_actors::settings::PortSettings;

    use super::*;

    #[test]
    fn a_name_that_a_shell_would_take_for_more_than_a_word_is_not_offered() {
        for name in ["uplink", "büro-2", "eth0.7", "alice@example.org", "a/b"] {
            assert!(named(name).is_some(), "{name}");
        }
        for name in
            ["A;reboot", "$(reboot)", "`reboot`", "*", "a b", "~", "a'b", "a\\b", "#a", "a\nb"]
        {
            assert!(named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn what_is_offered_for_a_setting_is_one_of_its_values() {
        let of = |form| words(form).collect::<Vec<_>>().join(" ");
        assert_eq!(of("auto|on|off"), "auto on off");
        assert_eq!(of("RATE[/BURST] [shape|police]|off"), "off");
        assert_eq!(of("802.1q|802.1ad"), "802.1q 802.1ad");
        assert_eq!(of("TIME|[in TIME] [out TIME]"), "");
        for setting in SETTINGS {
            for word in words(setting.form) {
                let set = PortSettings::default().set(setting.name, word);
                assert_eq!(set, Ok(()), "{} {word}", setting.name);
            }
        }
    }
}
