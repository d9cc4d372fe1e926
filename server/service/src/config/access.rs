//! `[tls]` and `[auth]`: files that say who may come in, and how the way is secured.

use std::path::PathBuf;

use serde::Deserialize;

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// Certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// Authority whose client certificates are demanded, PEM.
    pub client_ca_file: Option<PathBuf>,
}

/// `[auth]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSection {
    /// Lines of `name:token`.
    pub token_file: Option<PathBuf>,
}
