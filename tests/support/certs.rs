//! Keys and certificates, made for one test: by openssl, which users have, or by rcgen.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};

use super::{
    TempDir,
    peers::tool,
    process::{Site, run},
};

/// A certificate authority and what it has signed; paths of PEM files.
#[derive(Debug)]
pub(crate) struct Certificates {
    dir: TempDir,
    /// Certificate of the authority.
    pub(crate) ca: String,
    /// Certificate for `localhost`, 127.0.0.1 and 192.0.2.1.
    pub(crate) cert: String,
    /// Key of `cert`, and of all that [`Certificates::sign`] makes.
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn new() -> Result<Self, String> {
        tool("openssl")?;
        let dir = TempDir::new();
        let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|name| dir.at(name));
        let certs = Self { dir, ca, cert, key };
        certs.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
             -subj /CN=authority -keyout ca.key -out ca.pem \
             -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign",
        );
        certs.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server \
             -keyout server.key -out server.csr",
        );
        certs.sign("server.pem", "DNS:localhost,IP:127.0.0.1,IP:192.0.2.1", "20491231235959Z");
        Ok(certs)
    }

    /// A file among the others.
    pub(crate) fn at(&self, name: &str) -> String {
        self.dir.at(name)
    }

    /// A certificate for other names, or one that ended at a time, as
    /// `YYYYMMDDHHMMSSZ`. Gives its path.
    pub(crate) fn sign(&self, name: &str, names: &str, ends: &str) -> String {
        self.dir.file("index.txt", "");
        let config = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n\
             default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n\
             [x]\nsubjectAltName={names}\nextendedKeyUsage=serverAuth\n\
             basicConstraints=CA:false\n"
        );
        self.dir.file("ca.conf", config);
        self.openssl(&format!(
            "ca -batch -notext -config ca.conf -extensions x -cert ca.pem -keyfile ca.key \
             -startdate 20200101000000Z -enddate {ends} -in server.csr -out {name}"
        ));
        self.dir.at(name)
    }

    /// Runs openssl with these words, in the folder of the files.
    pub(crate) fn openssl(&self, words: &str) -> String {
        let mut command = Site::here().command("openssl");
        command.args(words.split_whitespace()).current_dir(self.dir.path());
        run(command).ok().stdout
    }
}

/// A CA for certificates of either side, each with a key of its own, made in the
/// test's own process.
#[derive(Debug)]
pub(crate) struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// File of its certificate.
    pub(crate) ca: String,
}

/// Files of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new();
        let ca = dir.file("ca.pem", issuer.pem());
        Self { dir, issuer, ca }
    }

    /// A certificate for a server on loopback.
    pub(crate) fn server(&self, file: &str) -> Pair {
        self.sign(file, |params| {
            let names = ["localhost", "127.0.0.1", "127.0.0.2"];
            params.subject_alt_names =
                CertificateParams::new(names.map(str::to_owned)).unwrap().subject_alt_names;
            params.distinguished_name.push(DnType::CommonName, "server");
        })
    }

    /// A certificate for the client `name`.
    pub(crate) fn client(&self, name: &str) -> Pair {
        self.sign(name, |params| params.distinguished_name.push(DnType::CommonName, name))
    }

    /// Any certificate.
    pub(crate) fn sign(&self, file: &str, edit: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let cert = self.dir.file(&format!("{file}.pem"), cert.pem());
        Pair { cert, key: self.dir.file(&format!("{file}.key"), key.serialize_pem()) }
    }
}
