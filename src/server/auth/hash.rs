//! What a password is checked against: the kinds of hash that stand in htpasswd
//! files. Pure and slow on purpose: to be called where blocking is allowed. A kind
//! that is not known is refused when the file is read, and never compared as text.

use anyhow::{Result, bail, ensure};
use argon2::{Argon2, PasswordVerifier as _, password_hash::phc::PasswordHash as Phc};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use md5::Md5;
use sha_crypt::ShaCrypt;
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;

/// Some clients and files leave the padding out.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Largest cost of bcrypt, some 4 s: beyond it nobody could log in before the client
/// gives up.
const MAX_BCRYPT_COST: u32 = 16;

/// Most rounds of SHA-crypt, some seconds; 5,000 are usual.
const MAX_ROUNDS: u32 = 5_000_000;

/// Most memory that one verification by argon2 may take, in KiB: as RFC 9106, 4
/// recommends for small machines, four times over.
const MAX_ARGON2_KIB: u32 = 256 * 1024;

/// Most passes of argon2 over its memory: seconds, with all of it.
const MAX_ARGON2_PASSES: u32 = 16;

/// A password's hash.
pub(super) enum Hash {
    /// `{SHA}`: base64 of the password's SHA-1, without salt.
    Sha1([u8; 20]),
    /// `$apr1$`: Apache's variant of MD5-crypt.
    Apr1 { salt: Box<str>, digest: Box<str> },
    /// `$2y$`, `$2a$`, `$2b$`.
    Bcrypt(Box<str>),
    /// `$5$`, `$6$`.
    ShaCrypt(sha_crypt::PasswordHash),
    /// `$argon2id$`.
    Argon2(Box<Phc>),
}

impl Hash {
    /// Reads what stands behind the name in a line of the file.
    ///
    /// # Errors
    /// It is of no known kind, malformed, or too costly. The text does not hold it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let malformed = |kind: &str| anyhow::anyhow!("a malformed {kind} hash");
        if let Some(digest) = text.strip_prefix("{SHA}") {
            let digest = BASE64.decode(digest).map_err(|_| malformed("{SHA}"))?;
            return Ok(Self::Sha1(digest.try_into().map_err(|_| malformed("{SHA}"))?));
        }
        match text.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
            Some(("apr1", rest)) => {
                let (salt, digest) = rest.split_once('$').ok_or_else(|| malformed("$apr1$"))?;
                ensure!(salt.len() <= 8 && digest.len() == 22, malformed("$apr1$"));
                Ok(Self::Apr1 { salt: salt.into(), digest: digest.into() })
            }
            Some(("2y" | "2a" | "2b", _)) => {
                let parts: bcrypt::HashParts = text.parse().map_err(|_| malformed("bcrypt"))?;
                ensure!(parts.get_cost() >= 4, malformed("bcrypt"));
                ensure!(
                    parts.get_cost() <= MAX_BCRYPT_COST,
                    "a bcrypt hash of cost {}; the limit is {MAX_BCRYPT_COST}",
                    parts.get_cost(),
                );
                Ok(Self::Bcrypt(text.into()))
            }
            Some(("5" | "6", rest)) => {
                if let Some(rounds) = rest.strip_prefix("rounds=") {
                    let rounds = rounds.split('$').next().and_then(|digits| digits.parse().ok());
                    let rounds: u32 = rounds.ok_or_else(|| malformed("SHA-crypt"))?;
                    ensure!(
                        (1000..=MAX_ROUNDS).contains(&rounds),
                        "a SHA-crypt hash of {rounds} rounds; the limits are 1000 and {MAX_ROUNDS}",
                    );
                }
                let hash =
                    sha_crypt::PasswordHash::new(text).map_err(|_| malformed("SHA-crypt"))?;
                // What only shows when it is used.
                match ShaCrypt::default().verify_password(b"", &hash) {
                    Ok(()) | Err(argon2::password_hash::Error::PasswordInvalid) => {}
                    Err(_) => bail!(malformed("SHA-crypt")),
                }
                Ok(Self::ShaCrypt(hash))
            }
            Some(("argon2id", _)) => {
                let hash = Phc::new(text).map_err(|_| malformed("argon2id"))?;
                let params = argon2::Params::try_from(&hash).map_err(|_| malformed("argon2id"))?;
                ensure!(hash.salt.is_some() && hash.hash.is_some(), malformed("argon2id"));
                ensure!(
                    params.m_cost() <= MAX_ARGON2_KIB && params.t_cost() <= MAX_ARGON2_PASSES,
                    "an argon2id hash of {} KiB and {} passes; the limits are {MAX_ARGON2_KIB} \
                     and {MAX_ARGON2_PASSES}",
                    params.m_cost(),
                    params.t_cost(),
                );
                Ok(Self::Argon2(Box::new(hash)))
            }
            // It may be a password: it must not be shown.
            _ => bail!("unknown kind of hash"),
        }
    }

    /// Whether this is the password, in a time that does not tell how nearly.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Sha1(digest) => Sha1::digest(password).as_slice().ct_eq(digest).into(),
            Self::Apr1 { salt, digest } => {
                apr1(password, salt.as_bytes()).ct_eq(digest.as_bytes()).into()
            }
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::ShaCrypt(hash) => ShaCrypt::default().verify_password(password, hash).is_ok(),
            Self::Argon2(hash) => Argon2::default().verify_password(password, &**hash).is_ok(),
        }
    }

    /// Whether it was made for speed: whoever has the file tries billions a second.
    pub(super) const fn is_quick(&self) -> bool {
        matches!(self, Self::Sha1(_) | Self::Apr1 { .. })
    }

    /// The same for equal lines of a file alone.
    pub(super) fn text(&self) -> Box<str> {
        match self {
            Self::Sha1(digest) => BASE64.encode(digest).into(),
            Self::Apr1 { salt, digest } => format!("{salt}${digest}").into(),
            Self::Bcrypt(hash) => hash.clone(),
            Self::ShaCrypt(hash) => hash.as_str().into(),
            Self::Argon2(hash) => hash.to_string().into(),
        }
    }
}

/// MD5-crypt with Apache's prefix, as in `apr_md5_encode`: 22 characters.
fn apr1(password: &[u8], salt: &[u8]) -> [u8; 22] {
    let md5 = |parts: &[&[u8]]| -> [u8; 16] {
        let mut md5 = Md5::new();
        parts.iter().for_each(|part| md5.update(part));
        md5.finalize().into()
    };
    let inner = md5(&[password, salt, password]);
    let mut first = Md5::new();
    first.update(password);
    first.update(b"$apr1$");
    first.update(salt);
    // As many octets of the inner digest as the password has, over and over.
    for chunk in password.chunks(inner.len()) {
        first.update(&inner[..chunk.len()]);
    }
    // By the bits of the length, the lowest first: a zero, or the first character.
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest: [u8; 16] = first.finalize().into();
    for round in 0..1000 {
        let (odd, even): (&[u8], &[u8]) =
            if round % 2 == 1 { (password, &digest) } else { (&digest, password) };
        digest = md5(&[
            odd,
            if round % 3 == 0 { b"" } else { salt },
            if round % 7 == 0 { b"" } else { password },
            even,
        ]);
    }

    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // Which octets of the digest make four characters, the first the highest.
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let groups = ORDER.map(|[high, middle, low]| {
        u32::from(digest[high]) << 16 | u32::from(digest[middle]) << 8 | u32::from(digest[low])
    });
    let mut text = [0; 22];
    let values = groups.into_iter().flat_map(|group| (0..4).map(move |at| group >> (6 * at)));
    let last = u32::from(digest[11]);
    for (digit, value) in text.iter_mut().zip(values.chain([last, last >> 6])) {
        *digit = DIGITS[(value & 63) as usize];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Apache's htpasswd, OpenSSL, glibc's crypt, and the test suite of
    /// argon2's reference implementation.
    const VECTORS: [(&str, &str); 15] = [
        ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
        ("", "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("secret", "$apr1$tdbK7Rwg$nFLO45v6S6uAniGD8xsWt/"),
        ("", "$apr1$i8m1E4By$abAVRG39z9CqaiB63nf/B/"),
        ("a longer password than sixteen octets: ä", "$apr1$2rAeNx9u$GZAwWp8uHlKS/T1i8HCo21"),
        ("secret", "$apr1$x$12YdXEY0/hH4rDNkmZupO0"),
        ("secret", "$2y$04$u6SsYfusOhIVIFRoLLM3meGLtkNnSfdbdnvFDRy2s8dze3oyYCH7u"),
        ("secret", "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
        ("secret", "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
        ("secret", "$5$Ce7xcjVR5KyKYTbB$9YpNL5tvJDn6rvN8dUK3hTaq9js8jzO9EkrDlAXj3j3"),
        ("secret", "$5$rounds=2000$averylongsaltstr$votkBCGLb/6Wj0kNjucDWFqVjRifRiEX80sAkzK3qK1"),
        (
            "secret",
            "$6$y92qd1Zjc1V/s.6j$SDtwImvFNg/BQRNy5v2iw.UUs3xHEsD9lmJL5x/6RH2O9YzYdaVVUWb5cfK4YH\
             .G24a33nWSKMDneMO8RKOf30",
        ),
        (
            "secret",
            "$6$rounds=1000$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwS\
             XGo2kgY5hR2.peKEg2VGUqIJJu1",
        ),
        (
            "password",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ),
        (
            "password",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        ),
    ];

    #[test]
    fn hashes_of_other_programs_are_verified() {
        for (password, text) in VECTORS {
            let hash = Hash::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(hash.verify(password.as_bytes()), "{text}");
            for wrong in ["secre", "Secret", "secret2", "passwor", text] {
                assert!(!hash.verify(wrong.as_bytes()), "{text}: {wrong}");
            }
            assert_eq!(hash.verify(b""), password.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_and_not_repeated() {
        for text in [
            "hsDyoIreOJ1cU",
            "plain",
            "",
            "$",
            "$$",
            "$1$abc$def",
            "{SHA}AAAA",
            "{SHA}*",
            "{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
            "$apr1$tdbK7Rwg",
            "$apr1$tdbK7Rwgx$nFLO45v6S6uAniGD8xsWt/",
            "$apr1$tdbK7Rwg$nFLO45v6S6uAniGD8xsWt",
            "$2y$04$u6SsYfusOhIVIFRoLLM3meGLtkNnSfdbdnvFDRy2s8dze3oyYCH7",
            "$2x$04$u6SsYfusOhIVIFRoLLM3meGLtkNnSfdbdnvFDRy2s8dze3oyYCH7u",
            "$2y$31$u6SsYfusOhIVIFRoLLM3meGLtkNnSfdbdnvFDRy2s8dze3oyYCH7u",
            "$2y$03$u6SsYfusOhIVIFRoLLM3meGLtkNnSfdbdnvFDRy2s8dze3oyYCH7u",
            "$5$salt",
            "$5$salt$short*",
            "$6$rounds=999999999$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPl",
            "$6$rounds=$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPl",
            "$argon2id$v=19$m=256,t=2,p=1",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1b",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ] {
            let Err(error) = Hash::parse(text) else { panic!("{text} is taken") };
            let error = error.to_string();
            assert!(text.len() < 5 || !error.contains(text), "{error}");
        }
    }
}
