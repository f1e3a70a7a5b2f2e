//! What TLS fails with, in plain words: rustls has the names of its own code for it.

use std::{error, io};

use rustls::{
    AlertDescription as Alert, CertificateError as Certificate, Error, InvalidMessage as Invalid,
    PeerIncompatible as Incompatible, ProtocolVersion,
};

/// The words for `error`, if it is one of TLS or holds one.
pub(super) fn said(error: &(dyn error::Error + 'static)) -> Option<String> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let of_tls = error.downcast_ref::<Error>();
    let of_tls = of_tls.or_else(|| inner.and_then(|inner| inner.downcast_ref()));
    of_tls.map(words).map(str::to_owned)
}

/// What has happened, without advice. What is not known has a general sentence.
#[must_use]
pub fn words(error: &Error) -> &'static str {
    match error {
        Error::InvalidMessage(message) => invalid(*message),
        Error::PeerIncompatible(why) => incompatible(why),
        Error::AlertReceived(alert) => alert_words(*alert),
        Error::InvalidCertificate(why) => certificate(why),
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => "the other end breaks the rules of TLS",
        Error::NoCertificatesPresented => "the other end showed no certificate",
        Error::UnsupportedNameType => "certificates cannot be for a name of this kind",
        Error::DecryptError => "what came was not encrypted with the keys of this connection",
        Error::NoApplicationProtocol => "the two ends have no protocol in common (ALPN)",
        Error::InvalidCertRevocationList(_) => "a revocation list (CRL) cannot be used",
        Error::FailedToGetCurrentTime => "the system did not tell the time",
        Error::FailedToGetRandomBytes => "the system did not provide random numbers",
        Error::InconsistentKeys(_) => "certificate and key do not match",
        Error::InvalidEncryptedClientHello(_) => "the server does not accept an encrypted hello",
        _ => "TLS failed",
    }
}

const fn invalid(message: Invalid) -> &'static str {
    match message {
        Invalid::InvalidContentType
        | Invalid::UnknownProtocolVersion
        | Invalid::MessageTooLarge => "what came is not TLS",
        _ => "the other end sent a TLS message that is not valid",
    }
}

const fn incompatible(why: &Incompatible) -> &'static str {
    match why {
        Incompatible::ServerDoesNotSupportTls12Or13
        | Incompatible::ServerTlsVersionIsDisabledByOurConfig
        | Incompatible::SupportedVersionsExtensionRequired
        | Incompatible::Tls12NotOffered
        | Incompatible::Tls12NotOfferedOrEnabled => "the other end speaks neither TLS 1.2 nor 1.3",
        Incompatible::NoCipherSuitesInCommon
        | Incompatible::NoKxGroupsInCommon
        | Incompatible::NoSignatureSchemesInCommon
        | Incompatible::NoCertificateRequestSignatureSchemesInCommon
        | Incompatible::NoEcPointFormatsInCommon => {
            "the two ends have no cipher, key exchange or signature in common"
        }
        _ => "the TLS of the other end lacks something that is needed here",
    }
}

const fn alert_words(alert: Alert) -> &'static str {
    match alert {
        Alert::CloseNotify | Alert::UserCanceled => "the other end has ended TLS",
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "the other end accepts none of the ciphers, keys or certificates offered"
        }
        Alert::NoCertificate | Alert::CertificateRequired => "the other end requires a certificate",
        Alert::CertificateExpired => "for the other end, the certificate has expired",
        Alert::CertificateRevoked => "for the other end, the certificate is revoked",
        Alert::UnknownCA => "the other end does not know the certificate's CA",
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::AccessDenied
        | Alert::DecryptError
        | Alert::BadCertificateStatusResponse
        | Alert::BadCertificateHashValue
        | Alert::CertificateUnobtainable => "the other end does not accept the certificate",
        Alert::ProtocolVersion | Alert::InappropriateFallback => {
            "the other end does not accept this version of TLS"
        }
        Alert::UnrecognisedName => "the other end has no certificate for this name",
        Alert::NoApplicationProtocol => "the two ends have no protocol in common (ALPN)",
        Alert::InternalError => "the other end reports an internal error of its own",
        Alert::UnknownPSKIdentity => "the other end does not know the shared key",
        _ => "the other end has ended TLS because of an error",
    }
}

/// Why a certificate is refused.
#[must_use]
pub fn certificate(why: &Certificate) -> &'static str {
    #[expect(deprecated, reason = "older verifiers give it")]
    match why {
        Certificate::BadEncoding => "the certificate is damaged",
        Certificate::Expired | Certificate::ExpiredContext { .. } => "the certificate has expired",
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        Certificate::Revoked => "the certificate is revoked",
        Certificate::UnknownIssuer => "the certificate is of an unknown CA",
        Certificate::UnknownRevocationStatus | Certificate::InvalidOcspResponse => {
            "it is unknown whether the certificate is revoked"
        }
        Certificate::ExpiredRevocationList | Certificate::ExpiredRevocationListContext { .. } => {
            "the revocation list (CRL) for the certificate has expired"
        }
        Certificate::BadSignature => "the certificate has a wrong signature",
        Certificate::UnhandledCriticalExtension => {
            "the certificate has a critical extension that is not known here"
        }
        Certificate::UnsupportedSignatureAlgorithm
        | Certificate::UnsupportedSignatureAlgorithmContext { .. }
        | Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the certificate is signed in a way that is not supported"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "the certificate is for another purpose (extended key usage)"
        }
        // The verifier has told why.
        Certificate::ApplicationVerificationFailure => "the certificate is not accepted",
        // The verifier's own errors have no type of rustls.
        Certificate::Other(other) => match other.to_string().split(['(', ' ', '{']).next() {
            Some(CA_AS_END_ENTITY) => "the certificate is that of a CA itself",
            Some("EndEntityUsedAsCa") => "the certificate was issued by one that is not of a CA",
            Some("UnsupportedCertVersion") => "the certificate is not of X.509 version 3",
            Some("PathLenConstraintViolated") => {
                "the certificate's chain is longer than its CA allows"
            }
            Some("NameConstraintViolation") => {
                "the certificate's CA must not issue it for this name"
            }
            _ => "the certificate breaks a rule of X.509",
        },
        _ => "the certificate is not accepted",
    }
}

/// What webpki calls a CA's certificate that a server or a client shows as its own.
pub(crate) const CA_AS_END_ENTITY: &str = "CaUsedAsEndEntity";

/// A version of TLS by its usual name.
#[must_use]
pub fn version(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLS 1.2",
        ProtocolVersion::TLSv1_3 => "TLS 1.3",
        _ => "an old version of TLS",
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, sync::Arc, time::Duration};

    use rustls::{
        CertRevocationListError, ContentType, ExtendedKeyPurpose, HandshakeType, InconsistentKeys,
        OtherError, PeerMisbehaved,
    };
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::core::error::one_line;

    /// What webpki calls something.
    #[derive(Debug)]
    struct Named(&'static str);

    impl fmt::Display for Named {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl error::Error for Named {}

    fn other(name: &'static str) -> OtherError {
        OtherError(Arc::new(Named(name)))
    }

    fn certificate_errors() -> Vec<Certificate> {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1));
        let name = |presented: &[&str]| Certificate::NotValidForNameContext {
            expected: ServerName::try_from("h.example").expect("a name").to_owned(),
            presented: presented.iter().map(ToString::to_string).collect(),
        };
        #[expect(deprecated, reason = "older verifiers give it")]
        let mut all = vec![
            Certificate::BadEncoding,
            Certificate::Expired,
            Certificate::ExpiredContext { time, not_after: time },
            Certificate::NotValidYet,
            Certificate::NotValidYetContext { time, not_before: time },
            Certificate::Revoked,
            Certificate::UnhandledCriticalExtension,
            Certificate::UnknownIssuer,
            Certificate::UnknownRevocationStatus,
            Certificate::ExpiredRevocationList,
            Certificate::ExpiredRevocationListContext { time, next_update: time },
            Certificate::BadSignature,
            Certificate::UnsupportedSignatureAlgorithm,
            Certificate::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![1],
                supported_algorithms: Vec::new(),
            },
            Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: vec![1],
                public_key_algorithm_id: vec![1],
            },
            Certificate::NotValidForName,
            name(&[]),
            name(&["DnsName(\"x\")"]),
            Certificate::InvalidPurpose,
            Certificate::InvalidPurposeContext {
                required: ExtendedKeyPurpose::ClientAuth,
                presented: vec![ExtendedKeyPurpose::Other(vec![1])],
            },
            Certificate::InvalidOcspResponse,
            Certificate::ApplicationVerificationFailure,
        ];
        let names = [
            CA_AS_END_ENTITY,
            "EndEntityUsedAsCa",
            "UnsupportedCertVersion",
            "PathLenConstraintViolated",
            "NameConstraintViolation",
            "MalformedDnsIdentifier",
            "TrailingData(Time)",
        ];
        all.extend(names.map(|name| Certificate::Other(other(name))));
        all
    }

    fn invalid_messages() -> Vec<Invalid> {
        vec![
            Invalid::CertificatePayloadTooLarge,
            Invalid::HandshakePayloadTooLarge,
            Invalid::InvalidCcs,
            Invalid::InvalidContentType,
            Invalid::InvalidCertificateStatusType,
            Invalid::InvalidCertRequest,
            Invalid::InvalidDhParams,
            Invalid::InvalidEmptyPayload,
            Invalid::InvalidKeyUpdate,
            Invalid::InvalidServerName,
            Invalid::MessageTooLarge,
            Invalid::MessageTooShort,
            Invalid::MissingData("ServerHello"),
            Invalid::MissingKeyExchange,
            Invalid::NoSignatureSchemes,
            Invalid::TrailingData("ServerHello"),
            Invalid::UnexpectedMessage("ServerHello"),
            Invalid::UnknownProtocolVersion,
            Invalid::UnsupportedCompression,
            Invalid::UnsupportedCurveType,
            Invalid::EmptyTicketValue,
            Invalid::IllegalEmptyList("ServerHello"),
            Invalid::IllegalEmptyValue,
            Invalid::DuplicateExtension(1),
            Invalid::PreSharedKeyIsNotFinalExtension,
            Invalid::UnknownHelloRetryRequestExtension,
            Invalid::UnknownCertificateExtension,
        ]
    }

    fn incompatibilities() -> Vec<Incompatible> {
        vec![
            Incompatible::EcPointsExtensionRequired,
            Incompatible::ExtendedMasterSecretExtensionRequired,
            Incompatible::IncorrectCertificateTypeExtension,
            Incompatible::KeyShareExtensionRequired,
            Incompatible::NamedGroupsExtensionRequired,
            Incompatible::NoCertificateRequestSignatureSchemesInCommon,
            Incompatible::NoCipherSuitesInCommon,
            Incompatible::NoEcPointFormatsInCommon,
            Incompatible::NoKxGroupsInCommon,
            Incompatible::NoSignatureSchemesInCommon,
            Incompatible::NullCompressionRequired,
            Incompatible::ServerDoesNotSupportTls12Or13,
            Incompatible::ServerSentHelloRetryRequestWithUnknownExtension,
            Incompatible::ServerTlsVersionIsDisabledByOurConfig,
            Incompatible::SignatureAlgorithmsExtensionRequired,
            Incompatible::SupportedVersionsExtensionRequired,
            Incompatible::Tls12NotOffered,
            Incompatible::Tls12NotOfferedOrEnabled,
            Incompatible::Tls13RequiredForQuic,
            Incompatible::UncompressedEcPointsRequired,
            Incompatible::UnsolicitedCertificateTypeExtension,
            Incompatible::ServerRejectedEncryptedClientHello(None),
        ]
    }

    /// Whether a text has a word of code in it: letters that change their case within.
    fn has_code(text: &str) -> bool {
        let is_code = |word: &str| {
            let lower = |c: char| c.is_ascii_lowercase();
            let changes = word
                .as_bytes()
                .windows(2)
                .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
            changes && word.chars().any(lower) || word.contains(['_', '{', '"'])
        };
        text.split(' ').any(is_code)
    }

    #[test]
    fn no_failure_of_tls_is_told_in_names_of_code() {
        let mut all = vec![
            Error::InappropriateMessage {
                expect_types: vec![ContentType::Handshake],
                got_type: ContentType::ApplicationData,
            },
            Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::ServerHello],
                got_type: HandshakeType::ClientHello,
            },
            Error::NoCertificatesPresented,
            Error::UnsupportedNameType,
            Error::DecryptError,
            Error::EncryptError,
            Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments),
            Error::InvalidCertRevocationList(CertRevocationListError::BadSignature),
            Error::General("SomeThing { odd: 1 }".to_owned()),
            Error::FailedToGetCurrentTime,
            Error::FailedToGetRandomBytes,
            Error::HandshakeNotComplete,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::BadMaxFragmentSize,
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
            Error::Other(other("OddName")),
        ];
        all.extend(certificate_errors().into_iter().map(Error::InvalidCertificate));
        all.extend(invalid_messages().into_iter().map(Error::InvalidMessage));
        all.extend(incompatibilities().into_iter().map(Error::PeerIncompatible));
        all.extend((0..=u8::MAX).map(|number| Error::AlertReceived(Alert::from(number))));
        for error in all {
            let direct = one_line(&error);
            let wrapped = one_line(&io::Error::new(io::ErrorKind::InvalidData, error.clone()));
            assert_eq!(direct, wrapped);
            assert!(direct.contains(' ') && !has_code(&direct), "{error:?}: {direct}");
        }
        assert!(has_code("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))"));
    }

    #[test]
    fn the_usual_failures_say_what_it_is() {
        let certificate = |why| one_line(&Error::InvalidCertificate(why));
        let ca = certificate(Certificate::Other(other(CA_AS_END_ENTITY)));
        assert_eq!(ca, "the certificate is that of a CA itself");
        let not_tls = one_line(&Error::InvalidMessage(Invalid::InvalidContentType));
        assert_eq!(not_tls, "what came is not TLS");
        assert_eq!(version(ProtocolVersion::TLSv1_3), "TLS 1.3");
    }
}
