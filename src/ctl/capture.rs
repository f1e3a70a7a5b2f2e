//! `etherws ctl capture`: frames of a running switch, to a file, to a pipe, or as lines to
//! look at. What is written is a whole file wherever it ends.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

use actix_rt::signal::unix::SignalKind;
use futures_util::StreamExt as _;
use jiff::tz::TimeZone;
use jsonrpsee_types::ErrorObjectOwned;

use super::{
    endpoint,
    output::{Output, say},
    progress::caught,
    style::Look,
};
use crate::{
    api::{CaptureFrames, client::Endpoint},
    capture::{Capture, lines, reader::Reader},
    cli::ControlArgs,
    refusal::Refusal,
};

/// Captures until there is enough, or Ctrl-C.
pub(super) fn run(
    control: ControlArgs,
    args: CaptureFrames,
    output: &Output,
) -> Result<ExitCode, ErrorObjectOwned> {
    let args = args.of_words();
    let capture = args.capture().map_err(Refusal::internal)?;
    let to = args.write.as_deref();
    if to == Some(Path::new("-")) && io::stdout().is_terminal() {
        let text = "standard output is a terminal; give -w FILE, or a pipe behind it";
        return Err(Refusal::value(text).internal());
    }
    let endpoint = endpoint(control).map_err(Refusal::internal)?;
    let look = output.stdout;
    actix_rt::System::new().block_on(async {
        let (reader, result) = stream(&endpoint, &capture, || Sink::open(to, look)).await?;
        let count = |count: u64| format!("{count} packet{}", if count == 1 { "" } else { "s" });
        let (captured, lost) = (count(reader.captured()), count(reader.lost()));
        say(&format!("{captured} captured\n{lost} lost\n"));
        result
    })
}

/// Where a capture goes.
pub(crate) enum Sink {
    /// As it is.
    File(Box<dyn io::Write>),
    /// As lines on standard output.
    Lines(Look, TimeZone),
}

impl Sink {
    /// The file, standard output for `-`, or lines.
    pub(crate) fn open(to: Option<&Path>, look: Look) -> Result<Self, Refusal> {
        match to {
            None => Ok(Self::Lines(look, TimeZone::system())),
            Some(path) if path == Path::new("-") => Ok(Self::File(Box::new(io::stdout()))),
            Some(path) => File::create(path)
                .map(|file| Self::File(Box::new(file)))
                .map_err(|error| Refusal::os(format!("cannot write {}: {error}", path.display()))),
        }
    }

    fn write(&mut self, reader: &mut Reader, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => {
                let whole = reader.feed(octets, |_| ())?;
                file.write_all(&whole)?;
                file.flush()?;
            }
            Self::Lines(look, zone) => {
                let mut text = String::new();
                reader.feed(octets, |packet| text += &look.safe(&lines::line(packet, zone)))?;
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes())?;
                stdout.flush()?;
            }
        }
        Ok(())
    }
}

/// Has the switch capture, and writes what comes to what `open` gives, until it ends or
/// somebody ends it. Errors before anything has come are errors of the request.
pub(crate) async fn stream(
    endpoint: &Endpoint,
    capture: &Capture,
    open: impl FnOnce() -> Result<Sink, Refusal>,
) -> Result<(Reader, Result<ExitCode, ErrorObjectOwned>), ErrorObjectOwned> {
    let streams = endpoint.ask(&CaptureFrames::from(capture)).await?;
    let path = streams.into_iter().next().map(|stream| stream.path);
    let path = path.ok_or_else(|| {
        Refusal::value("the switch names no stream; is it older than this?").internal()
    })?;
    let mut interrupt = caught(SignalKind::interrupt())?;
    let mut terminate = caught(SignalKind::terminate())?;
    let mut body = std::pin::pin!(endpoint.open(&path).await?);
    let mut sink = open().map_err(Refusal::internal)?;
    let mut reader = Reader::default();
    let result = loop {
        let octets = tokio::select! {
            octets = body.next() => octets,
            _ = interrupt.recv() => break Ok(ExitCode::SUCCESS),
            _ = terminate.recv() => break Ok(ExitCode::SUCCESS),
        };
        match octets {
            None => break Ok(ExitCode::SUCCESS),
            Some(Err(error)) => {
                let text = format!("{endpoint} has ended the capture: {error}");
                break Err(Refusal::url(text).internal());
            }
            Some(Ok(octets)) => match sink.write(&mut reader, &octets) {
                Ok(()) => {}
                // Whoever read it has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    break Ok(ExitCode::SUCCESS);
                }
                Err(error) => {
                    let text = format!("cannot write the capture: {error}");
                    break Err(Refusal::os(text).internal());
                }
            },
        }
    };
    Ok((reader, result))
}
