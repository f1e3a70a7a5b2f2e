//! What a setting is called: by its key in the file, or by its option if the command line
//! gives it. The one place where both stand side by side.

/// Keys of the file and the options of `etherws sw` that win over them.
pub(super) const OPTIONS: &[(&str, &str)] = &[
    ("switch.ageout", "--ageout"),
    ("switch.threads", "--threads"),
    ("switch.user", "--user"),
    ("switch.state", "--state"),
    ("switch.hosts", "--no-hosts"),
    ("tunnel.host", "--host"),
    ("tunnel.port", "--port"),
    ("tunnel.path", "--path"),
    ("tunnel.htpasswd", "--htpasswd"),
    ("tunnel.allow-origin", "--allow-origin"),
    ("tunnel.maxsessions", "--maxsessions"),
    ("tunnel.maxsessionsperuser", "--maxsessionsperuser"),
    ("tunnel.maxsessionsperaddress", "--maxsessionsperaddress"),
    ("tunnel.tls.key", "--sslkey"),
    ("tunnel.tls.cert", "--sslcert"),
    ("tunnel.tls.client-ca", "--sslclientca"),
    ("control.host", "--ctlhost"),
    ("control.port", "--ctlport"),
    ("control.path", "--ctlpath"),
    ("control.socket", "--ctlsock"),
    ("control.name", "--ctlname"),
    ("control.open", "--ctlopen"),
    ("control.htpasswd", "--ctlhtpasswd"),
    ("control.tls.key", "--ctlsslkey"),
    ("control.tls.cert", "--ctlsslcert"),
    ("control.tls.client-ca", "--ctlsslclientca"),
    ("log.debug", "--debug"),
    ("log.conf", "--logconf"),
];

/// The option for a key, or the key itself where there is none.
pub(super) fn option(key: &str) -> &str {
    OPTIONS.iter().find(|(own, _)| *own == key).map_or(key, |(_, option)| option)
}

/// A key without the indices of its tables: `port.1.mtu` is `port.mtu`.
pub(super) fn plain(key: &str) -> String {
    let is_name = |part: &&str| !part.bytes().all(|octet| octet.is_ascii_digit());
    key.split('.').filter(is_name).collect::<Vec<_>>().join(".")
}
