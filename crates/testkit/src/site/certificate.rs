//! An authority that only the test trusts, and a server's certificate signed by it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;

/// The server's certificate, and the authority by which a client can verify it.
pub(super) struct Certificate {
    pub(super) config: Arc<ServerConfig>,
    /// The authority's own certificate.
    pub(super) authority_pem: String,
    /// The server's certificate, for another program.
    pub(super) server_pem: String,
    /// Its key.
    pub(super) key_pem: String,
}

/// A certificate for `127.0.0.1` and `localhost`, which has expired if `expired`.
pub(super) fn make(expired: bool) -> Certificate {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "imgraft test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();

    let mut server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    server.distinguished_name.push(DnType::CommonName, "imgraft test server");
    if expired {
        server.not_before = rcgen::date_time_ymd(2001, 1, 1);
        server.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let server = server.signed_by(&key, &authority).unwrap();

    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    Certificate {
        config: Arc::new(config),
        authority_pem: authority.pem(),
        server_pem: server.pem(),
        key_pem: key.serialize_pem(),
    }
}
