//! `etherws ctl`: checks what is asked for, asks the switch, prints the answer. Knows
//! the switch by its control API alone, so that it may be an etherws 1.3, and never
//! prints a password.

pub(crate) mod capture;
mod monitor;
pub(crate) mod output;
mod progress;
pub(crate) mod rates;
pub(crate) mod style;
mod table;
mod top;

use std::{path, process::ExitCode};

use etherws_actors::connect::{ClientCertificate, Credentials, TlsOptions};
use jsonrpsee_types::ErrorObjectOwned;

use crate::{
    api::{
        AddPort, Monitor,
        call::{Call as _, Request},
        client::Endpoint,
    },
    cli::{ControlArgs, CtlArgs, CtlMethod},
    options::Secret,
    parse::credentials,
    prompt,
    refusal::Refusal,
};
use output::{Output, say};

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
        CtlMethod::Capture(args) => capture::run(control, &args, &output),
        CtlMethod::Call(request) => ask(control, request, &output),
    };
    done.unwrap_or_else(|error| {
        output.error(&error);
        ExitCode::FAILURE
    })
}

/// One request, one answer.
fn ask(
    control: ControlArgs,
    mut request: Request,
    output: &Output,
) -> Result<ExitCode, ErrorObjectOwned> {
    request.check().map_err(Refusal::internal)?;
    // In the order in which 1.3 asks for them: the client port's password is first.
    let mut add = request.typed::<AddPort>().filter(AddPort::is_client);
    if let Some(add) = &mut add {
        add.login().map_err(Refusal::internal)?;
    }
    let endpoint = endpoint(control).map_err(Refusal::internal)?;
    let mut what = format!("waiting for {endpoint}");
    let mut after = "the switch may carry it out all the same";
    if let Some(add) = &mut add {
        what = format!("connecting to {}", add.target);
        after = "the switch goes on connecting, for 10 s at most; listport shows the outcome";
        if endpoint.is_local() {
            add.options.files().for_each(resolve);
        }
        request = Request::from(&*add);
    }
    actix_rt::System::new().block_on(async {
        if request.method.name == Monitor::NAME {
            let streams = endpoint.ask(&Monitor {}).await?;
            return monitor::follow(&endpoint, &streams, output.json).await;
        }
        let call = progress::wait(&what, output.stderr, endpoint.call(&request));
        let Some(answer) = call.await else {
            say(&format!("etherws: the request was interrupted: {after}\n"));
            return Ok(INTERRUPTED.into());
        };
        Ok(output.answer(&answer?))
    })
}

impl AddPort {
    /// Asks for the password of a client port if there is a name only.
    fn login(&mut self) -> Result<(), Refusal> {
        let options = &mut self.options;
        let login = login(options.user.take(), options.passwd.take(), "Client Password: ")?;
        if let Some(Credentials { user, password }) = login {
            (options.user, options.passwd) = (Some(user), Some(Secret(password)));
        }
        Ok(())
    }
}

/// The control service that `args` name. Asks for its password if there is a name alone.
pub(crate) fn endpoint(args: ControlArgs) -> Result<Endpoint, Refusal> {
    let credentials = login(args.ctluser, args.ctlpasswd, "Control Password: ")?;
    let certificate = args.ctlcert.zip(args.ctlkey);
    let certificate = certificate.map(|(cert, key)| ClientCertificate { cert, key });
    let (cacerts, insecure) = (args.ctlsslcert, args.ctlinsecure);
    Endpoint::new(&args.ctlurl, credentials, TlsOptions { cacerts, insecure, certificate })
}

/// Name and password; asks for the password if there is a name only.
pub(crate) fn login(
    user: Option<String>,
    password: Option<Secret>,
    prompt: &str,
) -> Result<Option<Credentials>, Refusal> {
    let given = |text: &String| !text.is_empty();
    let user = user.filter(given);
    let password = password.map(|Secret(password)| password).filter(given);
    let login = credentials(user.as_deref(), password.as_deref())?;
    match login {
        Some(login) if login.password.is_empty() => {
            let password =
                prompt::password(prompt).map_err(|err| Refusal::os(format!("{err:#}")))?;
            Ok(Some(Credentials { password, ..login }))
        }
        login => Ok(login),
    }
}

/// The switch opens the file, and a daemon's directory is `/`: what the user can see
/// here goes over by its whole name. What is not here may be where the switch is.
fn resolve(file: &mut String) {
    if let Ok(whole) = path::absolute(&file)
        && whole.exists()
        && let Ok(whole) = whole.into_os_string().into_string()
    {
        *file = whole;
    }
}
