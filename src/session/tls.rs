//! TLS 1.3 to the broker: rustls with ring, a provider cut down to what brokers use, certificates judged at the agent's
//! own idea of the time.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::cause::TlsFault;
use crate::health::tracker::cut;
use crate::units::UnixSeconds;

/// The time at which certificates are judged, max(system clock, floor): written by the agent's loop, read by handshakes.
/// A mutex, because ARMv5 has no 64-bit atomics.
#[derive(Clone, Debug)]
pub struct Judged(Arc<Mutex<UnixSeconds>>);

impl Judged {
    /// Starts at `now`.
    pub fn new(now: UnixSeconds) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// The agent knows better.
    pub fn set(&self, now: UnixSeconds) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl TimeProvider for Judged {
    fn current_time(&self) -> Option<UnixTime> {
        let now = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now.0)))
    }
}

/// Whom to trust.
#[derive(Clone, Debug)]
pub enum Roots<'a> {
    /// Mozilla's roots, in the binary.
    Bundled,
    /// The certificates of this PEM text.
    Pem(&'a [u8]),
}

/// Why a TLS configuration cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The CA file holds no certificate.
    #[error("the CA file holds no usable certificate")]
    NoRoots,
    /// Certificate and key cannot be used together.
    #[error("the client certificate cannot be used: {0}")]
    BadCertificate(String),
    /// rustls refuses; a bug of ours.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// How a broker is spoken to.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Whom to trust.
    pub roots: Roots<'a>,
    /// Our own certificate chain and its key, both PEM.
    pub certificate: Option<(&'a [u8], &'a [u8])>,
    /// What is offered by ALPN (RFC 7301); nothing, and the extension is left out.
    pub alpn: Option<&'static str>,
}

/// What ALPN offers. Port 443 is shared with the web, so there a broker is asked for by its name (`mqtt`, in IANA's registry); a
/// WebSocket begins as HTTP/1.1. Elsewhere nothing is offered, since a server that knows only other names must refuse (3.2).
pub const fn alpn(port: u16, websocket: bool) -> Option<&'static str> {
    match (port, websocket) {
        (_, true) => Some("http/1.1"),
        (443, false) => Some("mqtt"),
        (_, false) => None,
    }
}

/// A client configuration for a broker.
///
/// # Errors
/// [`TlsError`].
pub fn client(wish: &Wish<'_>, judged: Judged) -> Result<Arc<ClientConfig>, TlsError> {
    let setup = |e: Error| TlsError::Setup(e.to_string());
    let builder = ClientConfig::builder_with_details(Arc::new(slim_provider()), Arc::new(judged))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(setup)?
        .with_root_certificates(store(&wish.roots)?);
    let mut config = match wish.certificate {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let resolver = SingleCertAndKey::from(certified(chain, key)?);
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    config.alpn_protocols = wish.alpn.map(|name| name.as_bytes().to_vec()).into_iter().collect();
    Ok(Arc::new(config))
}

/// Our certificate chain with its key, both PEM.
///
/// # Errors
/// `BadCertificate`: not PEM, not X.509 version 3, or not a pair.
pub fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain).filter_map(Result::ok).collect();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| TlsError::BadCertificate(e.to_string()))?;
    CertifiedKey::from_der(chain, key, &slim_provider()).map_err(|e| TlsError::BadCertificate(e.to_string()))
}

fn store(roots: &Roots<'_>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Bundled => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::Pem(text) => {
            let certificates = CertificateDer::pem_slice_iter(text).filter_map(Result::ok);
            store.add_parsable_certificates(certificates);
        }
    }
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}

/// ring's parts that brokers' certificates and TLS 1.3 need, and no others: what is not named is not linked.
fn slim_provider() -> CryptoProvider {
    use rustls::SignatureScheme as Scheme;
    use webpki::ring as algorithm;
    static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
        all: &[
            algorithm::ECDSA_P256_SHA256,
            algorithm::ECDSA_P256_SHA384,
            algorithm::ECDSA_P384_SHA256,
            algorithm::ECDSA_P384_SHA384,
            algorithm::ED25519,
            algorithm::RSA_PKCS1_2048_8192_SHA256,
            algorithm::RSA_PKCS1_2048_8192_SHA384,
            algorithm::RSA_PKCS1_2048_8192_SHA512,
            algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
            algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        ],
        mapping: &[
            (Scheme::ECDSA_NISTP256_SHA256, &[algorithm::ECDSA_P256_SHA256, algorithm::ECDSA_P384_SHA256]),
            (Scheme::ECDSA_NISTP384_SHA384, &[algorithm::ECDSA_P384_SHA384, algorithm::ECDSA_P256_SHA384]),
            (Scheme::ED25519, &[algorithm::ED25519]),
            (Scheme::RSA_PSS_SHA256, &[algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
            (Scheme::RSA_PSS_SHA384, &[algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
            (Scheme::RSA_PSS_SHA512, &[algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
            // In the certificates themselves only; TLS 1.3 has no PKCS#1 signatures of its own.
            (Scheme::RSA_PKCS1_SHA256, &[algorithm::RSA_PKCS1_2048_8192_SHA256]),
            (Scheme::RSA_PKCS1_SHA384, &[algorithm::RSA_PKCS1_2048_8192_SHA384]),
            (Scheme::RSA_PKCS1_SHA512, &[algorithm::RSA_PKCS1_2048_8192_SHA512]),
        ],
    };
    CryptoProvider {
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![
            provider::kx_group::X25519,
            provider::kx_group::SECP256R1,
            provider::kx_group::SECP384R1,
        ],
        signature_verification_algorithms: ALGORITHMS,
        ..provider::default_provider()
    }
}

/// What a failed handshake means.
pub fn fault(error: &Error) -> TlsFault {
    match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFault::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::WrongName
            }
            // The second: an issuer of the same name, with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFault::UnknownIssuer,
            other => TlsFault::Other(cut(&other.to_string())),
        },
        other => TlsFault::Other(cut(&other.to_string())),
    }
}
