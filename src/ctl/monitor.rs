//! `etherws ctl monitor`: prints a switch's events as they come, a line each. Reads the
//! stream that the method names until somebody has had enough of it, which is success,
//! or the switch goes, which is not.

use std::{fmt::Write as _, pin::pin, process::ExitCode, time::Duration};

use actix_rt::{signal::unix::SignalKind, time::timeout};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use jsonrpsee_types::ErrorObjectOwned;
use serde_json::{Map, Value};

use super::{
    output::{ended, write},
    progress::caught,
    style,
};
use crate::{
    api::{
        Stream,
        client::Endpoint,
        events::{detail, to_the_second},
    },
    refusal::Refusal,
};

/// The switch says something each 15 s: after three times that it is gone, whatever TCP
/// thinks.
const SILENCE: Duration = Duration::from_secs(45);

/// Longest line of the stream, in octets: an event has some 200, and its few texts are
/// bounded by the switch.
const MAX_LINE: usize = 64 * 1024;

/// Prints what comes from the one stream among `streams`.
pub(super) async fn follow(
    endpoint: &Endpoint,
    streams: &[Stream],
    json: bool,
) -> Result<ExitCode, ErrorObjectOwned> {
    let [Stream { path }] = streams else {
        return Err(gone("the switch names no stream of events; is it of this version?"));
    };
    // Caught before the switch counts a reader, and between two events as well.
    let mut interrupt = caught(SignalKind::interrupt())?;
    let mut body = pin!(endpoint.open(path).await?);
    let mut buffer = BytesMut::new();
    loop {
        let octets = tokio::select! {
            octets = timeout(SILENCE, body.next()) => octets,
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        };
        match octets {
            Ok(Some(Ok(octets))) => buffer.extend_from_slice(&octets),
            Ok(Some(Err(_)) | None) => {
                return Err(gone(
                    "the switch is gone, or has ended the stream; if it runs, try again",
                ));
            }
            Err(_) => return Err(gone("nothing comes from the switch any more; is it stuck?")),
        }
        while let Some(end) = buffer.iter().position(|&octet| octet == b'\n') {
            let line = buffer.split_to(end + 1);
            let event = line.strip_prefix(b"data: ").map(String::from_utf8_lossy);
            if let Some(Err(error)) = event.map(|event| write(&show(&event, json))) {
                return Ok(ended(Err(error)));
            }
        }
        if buffer.len() > MAX_LINE {
            return Err(gone("the answer is not an event stream; is it an etherws switch?"));
        }
    }
}

fn gone(text: &str) -> ErrorObjectOwned {
    Refusal::connection(text).internal()
}

/// A line for people: time, event, port, and each detail after its name. Or as it came.
fn show(event: &str, json: bool) -> String {
    if json {
        return style::escape(event).into_owned();
    }
    let Ok(members) = serde_json::from_str::<Map<String, Value>>(event) else {
        return format!("{}\n", event.trim_end().escape_debug());
    };
    let first = |name| members.get(name).map(plain).unwrap_or_default();
    let mut line = format!("{}  {:<12}", to_the_second(&first("time")), first("event"));
    let port = members.get_key_value("port");
    let others =
        members.iter().filter(|(name, _)| !["time", "event", "port"].contains(&name.as_str()));
    for (name, value) in port.into_iter().chain(others) {
        // A string takes whatever is written to it.
        let detail = detail(name, value);
        if !detail.is_empty() {
            let _ = write!(line, "  {detail}");
        }
    }
    line.push('\n');
    line
}

/// A value without quotes; what a stranger may have chosen cannot steer the terminal.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains(style::steers) => text.escape_debug().to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_that_begins_with_time_event_and_port() {
        let event = "{\"time\":\"2026-11-22T04:00:00.123456Z\",\"event\":\"mac-moved\",\
                     \"mac\":\"02:00:00:00:00:01\",\"vlan\":0,\"port\":2,\"from\":1}\n";
        assert_eq!(
            show(event, false),
            "2026-11-22T04:00:00Z  mac-moved     port 2  \
             mac 02:00:00:00:00:01  vlan 0  from 1\n"
        );
        assert_eq!(show(event, true), event);
    }

    #[test]
    fn nothing_in_an_event_steers_the_terminal() {
        let line = show(r#"{"time":"t","event":"session","user":"\u001b[2J\n\u202e"}"#, false);
        assert_eq!(line, "t  session       user \\u{1b}[2J\\n\\u{202e}\n");
    }
}
