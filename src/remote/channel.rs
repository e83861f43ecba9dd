//! The secure channel: TLS 1.3 (RFC 8446) with raw public keys (RFC 7250) on both sides, Ed25519, ALPN `moorline/1`. The keys
//! are those of the pairing; one that is not in the table fails the handshake. A core: bytes travel elsewhere.
//!
//! Neither names nor dates have a part in it, so that a NAS without a clock or a name is reached as well. There is no
//! resumption: a ticket would outlive the removal of a device.

use core::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring as provider;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use crate::identity::PublicKey;

/// What both ends speak inside.
pub const ALPN: &[u8] = b"moorline/1";
/// `SubjectPublicKeyInfo` of an Ed25519 key up to the key itself (RFC 8410, 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Nothing but Ed25519: what is not named is not linked.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::ring::ED25519])],
};

/// Whose key is let in.
pub trait Admits: Send + Sync {
    /// Whether the holder of this key may come in now.
    fn admits(&self, key: &PublicKey) -> bool;
}

/// The one key that a device expects of its NAS.
#[derive(Clone, Copy, Debug)]
pub struct Only(pub PublicKey);

impl Admits for Only {
    fn admits(&self, key: &PublicKey) -> bool {
        *key == self.0
    }
}

/// The key of a raw public key, if it is an Ed25519 one.
pub fn key_of(spki: &[u8]) -> Option<PublicKey> {
    spki.strip_prefix(&SPKI_PREFIX[..])?.try_into().ok().map(PublicKey)
}

/// Why a channel cannot be set up: the key is none, or rustls refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secure channel cannot be set up: {0}")]
pub struct Setup(String);

fn setup(error: Error) -> Setup {
    Setup(error.to_string())
}

struct Verifier(Arc<dyn Admits>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn check(&self, raw: &CertificateDer<'_>) -> Result<(), Error> {
        let admitted = key_of(raw.as_ref()).is_some_and(|key| self.0.admits(&key));
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        if admitted { Ok(()) } else { Err(refused) }
    }
}

fn verify(
    message: &[u8],
    raw: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = SubjectPublicKeyInfoDer::from(raw.as_ref());
    verify_tls13_signature_with_raw_key(message, &spki, signed, &ALGORITHMS)
}

fn never() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("only TLS 1.3 is spoken here".into()))
}

/// What both of rustls's verifiers ask of a raw public key's holder.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            never()
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            raw: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify(message, raw, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        raw: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(raw).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        raw: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(raw).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}

fn crypto() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![provider::kx_group::X25519],
        signature_verification_algorithms: ALGORITHMS,
        ..provider::default_provider()
    })
}

/// A private key (PKCS#8) as rustls wants it, with its raw public key in the certificate's place.
fn certified(pkcs8: &[u8]) -> Result<Arc<CertifiedKey>, Setup> {
    let key = provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8)).map_err(setup)?;
    let spki = key.public_key().ok_or_else(|| Setup("the key has no public half".into()))?;
    let raw = CertificateDer::from(spki.as_ref().to_vec());
    Ok(Arc::new(CertifiedKey::new(vec![raw], key)))
}

/// The NAS's end: its private key (PKCS#8), and whom it lets in.
///
/// # Errors
/// [`Setup`].
pub fn server(pkcs8: &[u8], admits: Arc<dyn Admits>) -> Result<Arc<ServerConfig>, Setup> {
    let resolver = rustls::server::AlwaysResolvesServerRawPublicKeys::new(certified(pkcs8)?);
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(setup)?
        .with_client_cert_verifier(Arc::new(Verifier(admits)))
        .with_cert_resolver(Arc::new(resolver));
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The device's end: its private key (PKCS#8), and the key that its NAS must have.
///
/// # Errors
/// [`Setup`].
pub fn client(pkcs8: &[u8], nas: PublicKey) -> Result<Arc<ClientConfig>, Setup> {
    let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(certified(pkcs8)?);
    let mut config = ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier(Arc::new(Only(nas)))))
        .with_client_cert_resolver(Arc::new(resolver));
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// rustls wants a name; it is neither sent nor looked at.
///
/// # Panics
/// Never: the name is a name.
#[expect(clippy::expect_used, reason = "a constant that is a name")]
pub fn no_name() -> ServerName<'static> {
    ServerName::try_from("nas.invalid").expect("a name by its form")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use rustls::{ClientConnection, ServerConnection};

    struct Key {
        pkcs8: Vec<u8>,
        public: PublicKey,
    }

    fn key() -> Key {
        let pkcs8 = Identity::generate_pkcs8().unwrap().to_vec();
        let public = Identity::from_pkcs8(&pkcs8).unwrap().public();
        Key { pkcs8, public }
    }

    /// The two ends talk until nothing is left to say.
    fn meet(nas: &Key, lets_in: PublicKey, device: &Key, expects: PublicKey) -> Result<PublicKey, String> {
        let mut server = ServerConnection::new(server(&nas.pkcs8, Arc::new(Only(lets_in))).unwrap()).unwrap();
        let mut client = ClientConnection::new(client(&device.pkcs8, expects).unwrap(), no_name()).unwrap();
        for _ in 0..4 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets().map_err(|e| format!("NAS: {e}"))?;
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets().map_err(|e| format!("device: {e}"))?;
        }
        assert!(!server.is_handshaking() && !client.is_handshaking());
        assert_eq!(server.alpn_protocol(), Some(ALPN));
        let seen = server.peer_certificates().and_then(|c| c.first()).map(|c| key_of(c.as_ref()));
        Ok(seen.flatten().unwrap())
    }

    #[test]
    fn the_two_that_were_paired_meet_and_nobody_else() {
        let (nas, device, other) = (key(), key(), key());
        assert_eq!(meet(&nas, device.public, &device, nas.public), Ok(device.public));
        assert!(meet(&nas, other.public, &device, nas.public).unwrap_err().starts_with("NAS:"));
        assert!(meet(&nas, device.public, &device, other.public).unwrap_err().starts_with("device:"));
    }

    #[test]
    fn only_ed25519_keys_are_keys() {
        let spki = [&SPKI_PREFIX[..], &[7; 32]].concat();
        assert_eq!(key_of(&spki), Some(PublicKey([7; 32])));
        assert_eq!(key_of(&spki[1..]), None);
        assert_eq!(key_of(&spki[..43]), None);
        assert_eq!(key_of(&[]), None);
        assert!(server(b"no key", Arc::new(Only(PublicKey([0; 32])))).is_err());
    }
}
