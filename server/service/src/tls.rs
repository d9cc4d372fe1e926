//! TLS of the Flight SQL port, from the files that `[tls]` names.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::config::TlsSection;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("{role} `{}` cannot be read", path.display())]
    Read {
        /// What the file is for.
        role: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{role} `{}` holds no PEM block `{expected}`", path.display())]
    Content {
        /// What the file is for.
        role: &'static str,
        /// The file.
        path: PathBuf,
        /// The block that is missing.
        expected: &'static str,
    },
}

/// The TLS settings for tonic; `None` without a certificate. With a client authority, a client has to show a
/// certificate that it signed.
///
/// Only the kind of each file is checked here; tonic refuses a key that does not fit when it starts.
///
/// # Errors
/// Names the file.
pub(crate) fn server_tls(config: &TlsSection) -> Result<Option<ServerTlsConfig>, TlsError> {
    let (Some(cert_file), Some(key_file)) = (&config.cert_file, &config.key_file) else {
        return Ok(None);
    };
    let cert = pem("certificate file", cert_file, "CERTIFICATE")?;
    let key = pem("key file", key_file, "PRIVATE KEY")?;
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(cert, key));
    if let Some(path) = &config.client_ca_file {
        let authority = pem("client authority file", path, "CERTIFICATE")?;
        tls = tls.client_ca_root(Certificate::from_pem(authority));
    }
    Ok(Some(tls))
}

fn pem(role: &'static str, path: &Path, expected: &'static str) -> Result<Vec<u8>, TlsError> {
    let content = std::fs::read(path).map_err(|source| TlsError::Read {
        role,
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&content);
    // Keys are `RSA PRIVATE KEY`, `EC PRIVATE KEY` or just that.
    let is_block =
        |line: &str| line.starts_with("-----BEGIN ") && line.ends_with(&format!("{expected}-----"));
    if text.lines().any(|line| is_block(line.trim())) {
        Ok(content)
    } else {
        Err(TlsError::Content {
            role,
            path: path.to_owned(),
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERT: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";

    fn section(directory: &Path, cert: &str, key: &str, authority: Option<&str>) -> TlsSection {
        let file = |name: &str, content: &str| {
            let path = directory.join(name);
            std::fs::write(&path, content).unwrap();
            Some(path)
        };
        TlsSection {
            cert_file: file("tls.crt", cert),
            key_file: file("tls.key", key),
            client_ca_file: authority.and_then(|content| file("ca.crt", content)),
        }
    }

    #[test]
    fn without_files_there_is_no_tls() {
        assert!(server_tls(&TlsSection::default()).unwrap().is_none());
    }

    #[test]
    fn certificate_key_and_authority_are_taken() {
        let directory = tempfile::tempdir().unwrap();
        let tls = server_tls(&section(directory.path(), CERT, KEY, Some(CERT)));
        assert!(tls.unwrap().is_some());
    }

    #[test]
    fn files_of_another_kind_and_missing_ones_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |section: &TlsSection| server_tls(section).unwrap_err().to_string();
        let swapped = refused(&section(directory.path(), KEY, CERT, None));
        assert!(swapped.starts_with("certificate file `") && swapped.ends_with("no PEM block `CERTIFICATE`"));
        let no_authority = refused(&section(directory.path(), CERT, KEY, Some("text")));
        assert!(no_authority.contains("ca.crt"), "{no_authority}");
        let mut missing = section(directory.path(), CERT, KEY, None);
        missing.key_file = Some(directory.path().join("none.key"));
        assert!(refused(&missing).contains("none.key"));
    }
}
