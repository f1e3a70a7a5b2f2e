//! `etherws ctl`: checks what is asked for, asks the switch, prints the answer. Knows
//! the switch by its control API alone, so that it may be an etherws 1.3, and never
//! prints a password.

pub(crate) mod capture;
mod monitor;
pub(crate) mod output;
mod progress;
pub(crate) mod rates;
mod request;
pub(crate) mod style;
mod table;
mod top;

use std::{
    path::{self, PathBuf},
    process::ExitCode,
};

use etherws_actors::{
    connect::{ClientCertificate, TlsOptions},
    control::{Command, NewPort},
    kinds::ClientOptions,
};
use jsonrpsee_types::ErrorObjectOwned;

use crate::{
    api::{Request, client::Endpoint, entry::Entries, query::Query},
    cli::{ControlArgs, CtlArgs, CtlMethod},
    refusal::Refusal,
};
use output::{Output, say};
pub(crate) use request::login;

/// Of a program that Ctrl-C has ended, as shells have it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Runs `etherws ctl`. The answer goes to standard output, an error to standard error
/// and into the exit status.
pub(crate) fn run(args: CtlArgs) -> ExitCode {
    let CtlArgs { control, json, color, method } = args;
    let output = Output::new(json, color);
    let done = match method {
        CtlMethod::Top(args) => endpoint(control).map_err(Refusal::internal).and_then(|endpoint| {
            actix_rt::System::new().block_on(top::run(&endpoint, &args, &output))
        }),
        CtlMethod::Capture(args) => capture::run(control, args, &output),
        method => ask(control, method, &output),
    };
    done.unwrap_or_else(|error| {
        output.error(&error);
        ExitCode::FAILURE
    })
}

/// One request, one answer.
fn ask(
    control: ControlArgs,
    method: CtlMethod,
    output: &Output,
) -> Result<ExitCode, ErrorObjectOwned> {
    // In the order in which 1.3 asks for them: the client port's password is first.
    let mut request = request::request(method).map_err(Refusal::internal)?;
    let endpoint = endpoint(control).map_err(Refusal::internal)?;
    let mut what = format!("waiting for {endpoint}");
    let mut after = "the switch may carry it out all the same";
    if let Request::Switch(Command::AddPort { port: NewPort::Client(options), .. }) = &mut request {
        what = format!("connecting to {}", options.url);
        after = "the switch goes on connecting, for 10 s at most; listport shows what became of it";
        if endpoint.is_local() {
            resolve_files(options);
        }
    }
    actix_rt::System::new().block_on(async {
        let call = progress::wait(&what, output.stderr, endpoint.call(&request));
        let Some(answer) = call.await else {
            say(&format!("etherws: the request was interrupted: {after}\n"));
            return Ok(INTERRUPTED.into());
        };
        let entries = answer?;
        if let (Request::Program(Query::Monitor), Entries::Streams(streams)) = (&request, &entries)
        {
            return monitor::follow(&endpoint, streams, output.json).await;
        }
        Ok(output.entries(&entries))
    })
}

/// The control service that `args` name. Asks for its password if there is a name alone.
pub(crate) fn endpoint(args: ControlArgs) -> Result<Endpoint, Refusal> {
    let credentials = login(args.ctluser, args.ctlpasswd, "Control Password: ")?;
    let certificate = args.ctlcert.zip(args.ctlkey);
    let certificate = certificate.map(|(cert, key)| ClientCertificate { cert, key });
    let (cacerts, insecure) = (args.ctlsslcert, args.ctlinsecure);
    Endpoint::new(&args.ctlurl, credentials, TlsOptions { cacerts, insecure, certificate })
}

fn resolve_files(options: &mut ClientOptions) {
    if let Some(cacerts) = &mut options.cacerts {
        resolve(cacerts);
    }
    if let Some(ClientCertificate { cert, key }) = &mut options.certificate {
        resolve(cert);
        resolve(key);
    }
}

/// The switch opens the file, and a daemon's directory is `/`: what the user can see
/// here goes over by its whole name. What is not here may be where the switch is.
fn resolve(file: &mut PathBuf) {
    if let Ok(whole) = path::absolute(&file)
        && whole.exists()
    {
        *file = whole;
    }
}
