//! Certificates that a hub has issued are renewed before they expire: at a hub its own, and at
//! its users those of their client ports. Nobody else's are: what a CA of somebody else has
//! issued is for others to renew.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use etherws_actors::{
    connect::{
        ClientCertificate, Scheme, ServerUrl,
        certificate::Facts,
        files::{certificates, read_certificates},
    },
    control::Control,
    error::one_line,
    kinds::{Client, ClientOptions},
};
use jiff::Timestamp;
use slog::{Logger, error, info, warn};
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    files,
    hub::{self, Reply, Validity},
    server::join::Asked,
    users::{Users, ca::Request},
};

/// How often at least it is looked whether anything is due: ports come and go.
const LOOK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Between two attempts at least.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Certifies the hub itself anew whenever that is due.
pub(super) async fn certify_hub(users: Arc<Users>, log: Logger) {
    loop {
        sleep(LOOK_INTERVAL).await;
        let (users, now) = (Arc::clone(&users), Timestamp::now().as_second());
        match spawn_blocking(move || users.certify_hub(now)).await {
            Ok(Ok(true)) => info!(log, "the hub's certificate was renewed"),
            Ok(Err(error)) => {
                error!(log, "the hub's certificate cannot be renewed: {}", one_line(&*error));
            }
            _ => {}
        }
    }
}

/// Renews the certificates of client ports whenever they are due.
pub(super) async fn renew(control: Control, log: Logger) {
    loop {
        let mut wait = LOOK_INTERVAL;
        let known = control.known();
        let clients = known.iter().filter_map(|(_, known)| known.new.get::<Client>());
        let mut seen: Vec<PathBuf> = Vec::new();
        for client in clients {
            let Some((cert, key)) = client.cert.clone().zip(client.key.clone()) else { continue };
            if seen.contains(&cert) {
                continue;
            }
            seen.push(cert.clone());
            let pair = ClientCertificate { cert: cert.clone(), key };
            wait = wait.min(look(client, pair, &log).await.unwrap_or(LOOK_INTERVAL));
        }
        sleep(wait.max(RETRY_INTERVAL)).await;
    }
}

/// Renews a certificate if it is due; gives when to look again, if a hub has issued it.
async fn look(client: &ClientOptions, pair: ClientCertificate, log: &Logger) -> Option<Duration> {
    let path = pair.cert.clone();
    let read = spawn_blocking(move || Validity::of_hub(&path)).await;
    let validity = read.ok().flatten()?;
    let now = Timestamp::now().as_second();
    let until = |time: i64| Duration::from_secs(u64::try_from(time - now).unwrap_or_default());
    if now < validity.renewal {
        return Some(until(validity.renewal));
    }
    if now >= validity.until {
        // A certificate that has expired opens nothing: the log tells it once a day.
        return Some(LOOK_INTERVAL);
    }
    let shown = pair.cert.display().to_string();
    match renew_one(client, &pair, log).await {
        Ok(next) => {
            let ends = Timestamp::from_second(next.until).unwrap_or(Timestamp::MAX);
            info!(log, "certificate renewed"; "file" => &shown, "expires" => %ends);
            if next.renewal <= now {
                // Again and again would help nobody.
                warn!(log, "the new certificate is to be renewed at once: is this machine's clock \
                    right?"; "file" => shown);
                return Some(LOOK_INTERVAL);
            }
            Some(until(next.renewal))
        }
        Err(error) => {
            let error = one_line(&*error);
            warn!(log, "the certificate cannot be renewed: {error}"; "file" => shown);
            Some(until(validity.until) / 6)
        }
    }
}

/// Gives when the new one is valid.
async fn renew_one(
    client: &ClientOptions,
    pair: &ClientCertificate,
    log: &Logger,
) -> Result<Validity> {
    let key = pair.key.clone();
    let key = spawn_blocking(move || files::read(&key)).await?.context("the key cannot be read")?;
    let request = Request::new(Some(&String::from_utf8(key)?))?.request;
    let asked = Asked { request: Some(request), ..Asked::default() };
    let mut failed = None;
    for url in client.all_urls() {
        let server = ServerUrl::parse(url, Scheme::WebSocket)?;
        let route = client.route(log.clone());
        match hub::ask(&server, &route, &asked).await {
            Ok(Reply::Certified(_, chain)) => {
                let path = pair.cert.clone();
                let own = read_certificates(&path)?;
                let key = own.first().and_then(Facts::of).map(|facts| facts.key);
                let new = certificates(chain.as_bytes(), &path)?;
                let new = new.first().and_then(Facts::of);
                if new.is_none_or(|new| Some(new.key) != key) {
                    bail!("what the hub has sent is no certificate for this key");
                }
                spawn_blocking(move || {
                    let old = std::fs::metadata(&path)?;
                    files::replace(&path, Some(&old), chain.as_bytes())
                })
                .await?
                .with_context(|| format!("{}: cannot be written", pair.cert.display()))?;
                let path = pair.cert.clone();
                let read = spawn_blocking(move || Validity::of_hub(&path)).await?;
                return read.context("the hub's answer is no certificate");
            }
            Ok(_) => bail!("the hub does not renew it"),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| anyhow::Error::msg("there is no server")))
}
