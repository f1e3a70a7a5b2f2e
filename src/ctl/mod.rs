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

use std::{
    fs,
    path::{self, Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use actix_rt::time::{sleep, timeout};

use etherws_actors::{
    connect::{ClientCertificate, Credentials, TlsOptions},
    error::one_line,
    kinds::{Client, ClientOptions},
    secret::shown,
};
use jsonrpsee_types::ErrorObjectOwned;
use serde_json::Value;

use crate::{
    api::{
        AddPort, Monitor, SetInterface, SetPort, Stop,
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

/// Between two looks whether a switch that was stopped is gone.
const LOOK: Duration = Duration::from_millis(20);

/// How long that may take.
const END_LIMIT: Duration = Duration::from_secs(5);

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
    let mut add = request.typed::<AddPort>();
    let mut port = add.as_ref().map(AddPort::port).transpose().map_err(Refusal::internal)?;
    if let Some(client) = port.as_mut().and_then(|port| port.get_mut::<Client>())
        && let ClientOptions { user: Some(_), passwd: passwd @ None, .. } = client
    {
        *passwd = Some(Secret(password("Client Password: ").map_err(Refusal::internal)?));
    }
    let mut set = request.typed::<SetPort>();
    if let Some(SetPort { options, .. }) = &mut set
        && options.get("user").is_some_and(|user| !user.is_empty())
        && options.get("passwd").is_none()
    {
        options.set("passwd", password("Client Password: ").map_err(Refusal::internal)?);
    }
    let endpoint = endpoint(control).map_err(Refusal::internal)?;
    if let Some(set) = &mut set {
        if endpoint.is_local() {
            set.options.rename_files(resolve);
        }
        request = Request::from(&*set);
    }
    let mut what = format!("waiting for {endpoint}");
    let mut after = "the switch may carry it out all the same";
    if let Some((add, mut port)) = add.as_mut().zip(port) {
        if port.interface().is_none() {
            what = format!("connecting to {}", shown(port.target()));
            after = "the switch goes on connecting, for 10 s at most; listport shows the outcome";
        }
        if endpoint.is_local() {
            port = port.with_files(resolve);
        }
        add.set(&port);
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
        let mut answer = answer?;
        if request.method.name == Stop::NAME && endpoint.is_local() {
            ended(&answer.json).await;
        }
        let set = request.typed::<SetInterface>();
        let note = set.and_then(|set| set.assumed_mask(&answer));
        answer.tables.iter_mut().for_each(|table| table.notes.extend(note.clone()));
        Ok(output.answer(&answer))
    })
}

/// Waits until the process that ends is gone, if it can be seen from here.
async fn ended(answer: &Value) {
    let Some(pid) = answer[0]["pid"].as_u64() else { return };
    let process = format!("/proc/{pid}/stat");
    // One that its parent has not waited for yet is gone, too.
    let runs = || fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z"));
    let gone = async {
        while runs() {
            sleep(LOOK).await;
        }
    };
    // Tunnels have 1.5 s for their farewell. What is there then has another reason.
    let _ = timeout(END_LIMIT, gone).await;
}

/// The control service that `args` name. Asks for its password if there is a name alone.
pub(crate) fn endpoint(args: ControlArgs) -> Result<Endpoint, Refusal> {
    let credentials = login(args.ctluser, args.ctlpasswd, "Control Password: ")?;
    let certificate = args.ctlcert.zip(args.ctlkey);
    let certificate = certificate.map(|(cert, key)| ClientCertificate { cert, key });
    let (cacerts, insecure) = (args.ctlsslcert, args.ctlinsecure);
    let tls = TlsOptions { cacerts, insecure, certificate, ..TlsOptions::default() };
    Endpoint::new(&args.ctlurl, credentials, tls)
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
            Ok(Some(Credentials { password: self::password(prompt)?, ..login }))
        }
        login => Ok(login),
    }
}

fn password(prompt: &str) -> Result<String, Refusal> {
    prompt::password(prompt).map_err(|err| Refusal::os(one_line(&*err)))
}

/// The switch opens the file, and a daemon's directory is `/`: what the user can see
/// here goes over by its whole name. What is not here may be where the switch is.
fn resolve(file: &Path) -> PathBuf {
    path::absolute(file).ok().filter(|whole| whole.exists()).unwrap_or_else(|| file.to_owned())
}
