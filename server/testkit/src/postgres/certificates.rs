//! A certificate authority of a test's own, and the server's certificate by it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

#[derive(Debug)]
pub(super) struct Certificates {
    authority: String,
}

impl Certificates {
    /// Writes `server.crt` and `server.key`, for the name `localhost`, where the server looks for them.
    pub(super) fn make(data: &Path, own: impl Fn(&Path)) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        for (name, text) in [
            ("server.crt", certificate.pem()),
            ("server.key", key.serialize_pem()),
        ] {
            let path = data.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            own(&path);
        }
        Self {
            authority: authority.pem(),
        }
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}
