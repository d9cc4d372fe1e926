//! TLS of the Flight SQL port, from the files that `[tls]` names; read again on demand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsSection;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{role} `{}` cannot be read", path.display())]
    Read {
        /// What the file is for.
        role: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
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
    /// The blocks are there, but make no server: a broken certificate, or a key of another one.
    #[error("{role} `{}` cannot be used: {source}", path.display())]
    Unusable {
        /// What the file is for.
        role: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Certificate, key and client authority of a server. A new connection takes those that were read last.
pub struct ServerTls {
    files: Files,
    current: RwLock<Arc<ServerConfig>>,
}

#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads the files; `None` without a certificate. With a client authority, a client has to show a certificate
    /// that it signed.
    ///
    /// # Errors
    /// Names the file.
    pub fn load(config: &TlsSection) -> Result<Option<Arc<Self>>, TlsError> {
        let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) else {
            return Ok(None);
        };
        let files = Files {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: config.client_ca_file.clone(),
        };
        let current = RwLock::new(Arc::new(files.read()?));
        Ok(Some(Arc::new(Self { files, current })))
    }

    /// Reads the files again, for connections from now on. After an error the server goes on with what it had.
    ///
    /// # Errors
    /// Names the file.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = Arc::new(self.files.read()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(crate) async fn accept<IO>(&self, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(io).await
    }
}

impl Files {
    fn read(&self) -> Result<ServerConfig, TlsError> {
        let chain = certificates("certificate file", &self.cert)?;
        let key_pem = pem("key file", &self.key, "PRIVATE KEY")?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(unusable("key file", &self.key))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable("certificate file", &self.cert))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let role = "client authority file";
                let mut roots = RootCertStore::empty();
                for authority in certificates(role, path)? {
                    roots.add(authority).map_err(unusable(role, path))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(unusable(role, path))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(unusable("certificate file", &self.cert))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn unusable<E>(role: &'static str, path: &Path) -> impl Fn(E) -> TlsError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |source| TlsError::Unusable {
        role,
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn certificates(role: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = pem(role, path, "CERTIFICATE")?;
    CertificateDer::pem_slice_iter(&content)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable(role, path))
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

    /// A certificate that signs itself, and its key.
    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

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
        assert!(ServerTls::load(&TlsSection::default()).unwrap().is_none());
    }

    #[test]
    fn certificate_key_and_authority_are_taken_and_a_bad_reload_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let ((cert, key), (authority, other_key)) = (pair(), pair());
        let files = section(directory.path(), &cert, &key, Some(&authority));
        let tls = ServerTls::load(&files).unwrap().unwrap();
        let before = Arc::clone(&tls.current.read().unwrap());
        section(directory.path(), &cert, &other_key, None);
        tls.reload().unwrap_err();
        assert!(Arc::ptr_eq(&before, &tls.current.read().unwrap()));
        section(directory.path(), &cert, &key, None);
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.current.read().unwrap()));
    }

    #[test]
    fn files_of_another_kind_and_missing_ones_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |section: &TlsSection| ServerTls::load(section).unwrap_err().to_string();
        let ((cert, key), (_, other_key)) = (pair(), pair());
        let swapped = refused(&section(directory.path(), &key, &cert, None));
        assert!(swapped.starts_with("certificate file `") && swapped.ends_with("no PEM block `CERTIFICATE`"));
        let no_authority = refused(&section(directory.path(), &cert, &key, Some("text")));
        assert!(no_authority.contains("ca.crt"), "{no_authority}");
        let foreign = refused(&section(directory.path(), &cert, &other_key, None));
        assert!(foreign.contains("tls.crt` cannot be used"), "{foreign}");
        let mut missing = section(directory.path(), &cert, &key, None);
        missing.key_file = Some(directory.path().join("none.key"));
        assert!(refused(&missing).contains("none.key"));
    }
}
