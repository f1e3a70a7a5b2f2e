//! Certificates of a public CA for the tunnel's listener, by ACME (RFC 8555): an account that is
//! kept, an order for the names that are configured, the proof that they lead here
//! (`challenges`), and the next order when the certificate is to be renewed (`renewal`). The old
//! certificate stays in use until the new one is there.
//!
//! Key and certificate stand in one file, which TLS reads again when it changes: so they are
//! always those of one order.

pub(crate) mod challenges;
mod http;
mod renewal;

use std::{
    fmt, fs, io,
    net::IpAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use etherws_actors::{
    connect::{certificate::Facts, files::read_certificates},
    error::{clean, one_line},
    monitor::{Event, Kind, Monitor},
    names,
};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};
use rustls_pki_types::CertificateDer;
use slog::{Logger, error, info};
use tokio::time::sleep;

use self::{
    challenges::Challenges,
    http::Http,
    renewal::{Renewal, now},
};
use crate::files;

/// Whose certificates are asked for unless told otherwise: Let's Encrypt's.
pub(crate) const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where they are kept unless told otherwise, below the folder of the state.
pub(crate) const FOLDER: &str = "acme";

/// Key and certificate chain.
const PEM: &str = "tls.pem";

/// The account, with its key.
const ACCOUNT: &str = "account.json";

/// After the first failure; then twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(10);

/// At most: CAs count failures by the hour.
const LAST_RETRY: Duration = Duration::from_secs(6 * 60 * 60);

/// How often at least it is looked whether anything is due: clocks are set.
const LOOK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Time for a CA to look at what is here, and to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(60));

names! {
    /// Which key a certificate is for.
    pub(crate) enum KeyKind {
        /// ECDSA with P-256: what every client takes.
        P256 = "p256",
        /// ECDSA with P-384.
        P384 = "p384",
    }
}

/// What to ask for, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AcmeOptions {
    /// DNS names and IP addresses; at least one.
    pub(crate) names: Vec<String>,
    /// URL of the CA's directory.
    pub(crate) directory: String,
    /// CA certificates to verify the CA's own server against; by default the system's.
    pub(crate) cacerts: Option<PathBuf>,
    /// Where the CA sends mail to: `mailto:...`.
    pub(crate) contact: Option<String>,
    /// The CA's word for a kind of certificate, such as `shortlived`.
    pub(crate) profile: Option<String>,
    pub(crate) key: KeyKind,
    /// Host and port to answer HTTP-01 on; without it TLS-ALPN-01 is answered by the tunnel's
    /// listener.
    pub(crate) http: Option<String>,
    /// Where account, key and certificate are kept; absolute.
    pub(crate) folder: PathBuf,
}

impl AcmeOptions {
    /// The file with key and certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join(PEM)
    }

    /// Makes folder and file, if they are not there: with a certificate that nobody trusts, so that
    /// the listener can begin.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn prepare(&self) -> Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("{}: cannot be made", self.folder.display()))?;
        let file = self.file();
        if file.exists() {
            return Ok(());
        }
        let key = self.new_key()?;
        let params = CertificateParams::new(self.names.clone())
            .with_context(|| format!("{:?} are not valid names for a certificate", self.names))?;
        let certificate = params.self_signed(&key).context("no certificate can be made")?;
        write(&file, &(key.serialize_pem() + &certificate.pem()))
    }

    fn new_key(&self) -> Result<KeyPair> {
        let kind = match self.key {
            KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
        };
        KeyPair::generate_for(kind).context("no key can be made")
    }

    /// The certificate in use; `None` if there is none of a CA for these names.
    fn own(&self) -> Option<(Facts, CertificateDer<'static>)> {
        let own = read_certificates(&self.file()).ok()?.into_iter().next()?;
        let facts = Facts::of(&own).filter(|facts| !facts.self_issued)?;
        let [mut names, mut wanted] = [facts.names.clone(), self.names.clone()];
        names.sort();
        wanted.sort();
        (names == wanted).then_some((facts, own))
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    let old = fs::metadata(path).ok();
    files::replace(path, old.as_ref(), content.as_bytes())
        .with_context(|| format!("{}: cannot be written", path.display()))
}

/// When a file was written last, in seconds of Unix; 0 if that is not known.
fn written(path: &Path) -> i64 {
    let time = fs::metadata(path).and_then(|file| file.modified()).ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0)
}

/// Asks for certificates whenever that is due, for as long as the program runs; `renews` is told
/// when that will be, in seconds of Unix.
pub(crate) async fn keep(
    options: AcmeOptions,
    challenges: Arc<Challenges>,
    renews: impl Fn(i64),
    monitor: Monitor,
    log: Logger,
) {
    let mut retry = FIRST_RETRY;
    // A restart forgets nothing of it.
    let mut issued = written(&options.file());
    let mut known: Option<(CertificateDer<'static>, Renewal)> = None;
    let names = options.names.join(", ");
    loop {
        let mut replaced = None;
        if let Some((facts, own)) = options.own() {
            let (_, renewal) = match &mut known {
                Some(known) if known.0 == own => known,
                known => known.insert((own.clone(), Renewal::of(&own))),
            };
            // As far as is known: the answer may take its time.
            renews(renewal.due(&facts, issued));
            // Its CA is not asked any more once it has ended (RFC 9773, 4.3).
            if renewal.wait().is_zero() && now() < facts.until {
                renewal.ask(&options, &monitor, &log).await;
            }
            let due = renewal.due(&facts, issued);
            renews(due);
            let wait = Duration::from_secs((due - now()).max(0).unsigned_abs());
            if !wait.is_zero() {
                sleep(wait.min(renewal.wait()).min(LOOK_INTERVAL)).await;
                continue;
            }
            replaced.clone_from(&renewal.id);
        }
        let event = Event::new(Kind::Acme).text("names", &names);
        match order(&options, replaced, &challenges, &log).await {
            Ok(()) => {
                info!(log, "certificate issued"; "names" => &names, "by" => &options.directory);
                monitor.tell(|| event.text("what", "issued"));
                retry = FIRST_RETRY;
                issued = now();
            }
            Err(why) => {
                let why = clean(&one_line(&*why));
                error!(log, "no certificate was issued: {why}; trying again in {} s",
                    retry.as_secs(); "names" => &names, "by" => &options.directory);
                monitor.tell(|| event.text("what", "failed").text("reason", &why));
                sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
            }
        }
    }
}

/// A new order, in the place of a certificate that the CA has issued. One that it does not want
/// to be replaced, or not any more, is left out (RFC 9773, 5).
async fn new_order(
    options: &AcmeOptions,
    replaced: Option<CertificateIdentifier<'static>>,
    log: &Logger,
) -> Result<Order> {
    let account = account(options, log).await?;
    let identifiers: Vec<_> = options.names.iter().map(|name| identifier(name)).collect();
    let new = || match &options.profile {
        Some(profile) => NewOrder::new(&identifiers).profile(profile),
        None => NewOrder::new(&identifiers),
    };
    if let Some(profile) = &options.profile {
        let mut known: Vec<_> = account.profiles().map(|profile| profile.name).collect();
        if !known.contains(&profile.as_str()) {
            known.sort_unstable();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            bail!(
                "the CA does not offer profile {profile:?}; it offers {known}: change or remove profile in [tunnel.acme]"
            );
        }
    }
    if let Some(replaced) = replaced {
        match account.new_order(&new().replaces(replaced)).await {
            Ok(order) => return Ok(order),
            Err(Error::Unsupported(_)) => {}
            Err(error) => {
                let why = match error {
                    // It has taken the order all the same.
                    Error::Other(_) => "the CA's answer does not say what it replaces".to_owned(),
                    error => clean(&one_line(&*told(options, error))),
                };
                info!(log, "the order to replace the last certificate failed: {why}; placing one that \
                    replaces none"; "by" => &options.directory);
            }
        }
    }
    account.new_order(&new()).await.map_err(|error| told(options, error))
}

/// Has one certificate issued, and writes it.
async fn order(
    options: &AcmeOptions,
    replaced: Option<CertificateIdentifier<'static>>,
    challenges: &Arc<Challenges>,
    log: &Logger,
) -> Result<()> {
    let mut order = new_order(options, replaced, log).await?;
    // They are answered for as long as these are kept.
    let mut answered = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| told(options, error))?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => {
                let name = authorization.identifier().to_string();
                bail!("the CA's authorization of {name} is {}", word(status));
            }
        }
        let kind = match options.http {
            Some(_) => ChallengeType::Http01,
            None => ChallengeType::TlsAlpn01,
        };
        let name = authorization.identifier().to_string();
        let shown = if options.http.is_some() { "HTTP-01" } else { "TLS-ALPN-01" };
        let mut challenge = authorization.challenge(kind).with_context(|| {
            format!(
                "the CA offers no challenge {shown} for {name}; set http in [tunnel.acme], or remove it"
            )
        })?;
        let proof = challenge.key_authorization();
        answered.push(match &options.http {
            Some(address) => {
                challenges.answer_http(address, &challenge.token, proof.as_str(), log).await?
            }
            None => challenges.answer_tls(&name, proof.digest().as_ref())?,
        });
        challenge.set_ready().await.map_err(|error| told(options, error))?;
    }
    let status = order.poll_ready(&PATIENCE).await.map_err(|error| unproved(options, &error))?;
    if status != OrderStatus::Ready {
        bail!("the CA's order is {}", word(status));
    }
    drop(answered);
    let key = options.new_key()?;
    let mut params = CertificateParams::new(options.names.clone())
        .with_context(|| format!("{:?} are not valid names for a certificate", options.names))?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).context("no request can be made")?;
    order.finalize_csr(request.der()).await.map_err(|error| told(options, error))?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(|error| told(options, error))?;
    write(&options.file(), &(key.serialize_pem() + &chain))
}

/// A status as ACME has it.
fn word(status: impl fmt::Debug) -> String {
    format!("{status:?}").to_lowercase()
}

/// The name as ACME has it.
fn identifier(name: &str) -> Identifier {
    name.parse::<IpAddr>().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

/// The account that is kept, or a new one.
async fn account(options: &AcmeOptions, log: &Logger) -> Result<Account> {
    let path = options.folder.join(ACCOUNT);
    let http = || Account::builder_with_http(Box::new(Http::new(options, log)));
    match files::read(&path) {
        Ok(octets) => {
            let kept = serde_json::from_slice::<Kept>(&octets);
            if let Some(kept) = kept.ok().filter(|kept| kept.directory == options.directory) {
                let account = http().from_credentials(kept.credentials).await;
                return account.map_err(|error| told(options, error));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
    }
    let contact: Vec<_> = options.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let made = http().create(&new, options.directory.clone(), None).await;
    let (account, credentials) = made.map_err(|error| told(options, error))?;
    let kept = Kept { directory: options.directory.clone(), credentials };
    write(&path, &(serde_json::to_string_pretty(&kept)? + "\n"))?;
    info!(log, "account at a CA made"; "directory" => &options.directory, "id" => account.id());
    Ok(account)
}

/// An account and where it is one.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

/// What the CA has said, in one line. An account that it does not know any more is forgotten.
fn told(options: &AcmeOptions, error: Error) -> anyhow::Error {
    let Error::Api(problem) = &error else { return error.into() };
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
    if kind == "accountDoesNotExist" {
        // The next attempt makes another one. What cannot be removed is told by that.
        let _ = fs::remove_file(options.folder.join(ACCOUNT));
    }
    let detail = problem.detail.as_deref().unwrap_or("no reason given");
    anyhow::anyhow!("the CA refuses it ({kind}): {detail}")
}

/// Why the CA did not find what it looked for.
fn unproved(options: &AcmeOptions, error: &Error) -> anyhow::Error {
    let why = match error {
        Error::Api(problem) => problem.detail.clone().unwrap_or_default(),
        error => one_line(error),
    };
    let (names, port) = (options.names.join(", "), if options.http.is_some() { 80 } else { 443 });
    anyhow::anyhow!(
        "the CA could not validate {names}: {why}; check the DNS records, and that the CA reaches \
         this switch by port {port}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(folder: &Path) -> AcmeOptions {
        AcmeOptions {
            names: vec!["hub.example".to_owned(), "192.0.2.1".to_owned()],
            directory: DIRECTORY.to_owned(),
            cacerts: None,
            contact: None,
            profile: None,
            key: KeyKind::P384,
            http: None,
            folder: folder.join("acme"),
        }
    }

    #[test]
    fn until_a_ca_has_issued_one_a_certificate_is_due_at_once() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        assert_eq!(options.own(), None);
        options.prepare().unwrap();
        assert_eq!(options.own(), None, "that is one of ours");
        let first = fs::read(options.file()).unwrap();
        options.prepare().unwrap();
        assert_eq!(fs::read(options.file()).unwrap(), first, "what is there stays");
        assert_eq!(fs::metadata(options.file()).unwrap().mode() & 0o077, 0);
        // As a CA issues it: for 30 days.
        let (ca, key) = crate::users::ca::Ca::create("ca", 1_800_000_000).unwrap();
        let ca = crate::users::ca::Ca::open(ca, &key).unwrap();
        let own = options.new_key().unwrap().serialize_pem();
        let issued = ca.certify_server(&options.names, &own, 1_800_000_000).unwrap();
        write(&options.file(), &(own + &issued.chain)).unwrap();
        let third = (issued.until - 1_800_000_000 + crate::users::ca::BACKDATED) / 3;
        let (facts, own) = options.own().unwrap();
        assert_eq!(Renewal::of(&own).due(&facts, 0), issued.until - third);
        let other = AcmeOptions { names: vec!["other.example".to_owned()], ..options };
        assert_eq!(other.own(), None, "it is for other names");
    }
}
