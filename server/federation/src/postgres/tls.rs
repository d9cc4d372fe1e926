//! TLS by rustls: the certificate must be of a known authority and for the host. There is no weaker mode.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PostgresError;

/// Authorities from a PEM file, else the system's.
pub(super) fn connector(authorities: Option<&str>) -> Result<MakeRustlsConnect, PostgresError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            let cannot = |error: &dyn std::fmt::Display| {
                PostgresError::Tls(format!("authorities of `sslrootcert` cannot be read: {error}"))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| cannot(&e))? {
                let certificate = certificate.map_err(|e| cannot(&e))?;
                roots.add(certificate).map_err(|e| cannot(&e))?;
            }
        }
        // Some systems have a broken one among many; what is usable decides.
        None => {
            let _added = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(PostgresError::Tls(
            "no certificate authorities are known".to_owned(),
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| PostgresError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
