//! The one look at the process's environment, and what Owlake takes from it besides its own settings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::Secret;

/// A copy of the process's environment; variables that are not UTF-8 or empty count as not set.
#[derive(Clone, Default)]
pub struct Environment(pub(super) BTreeMap<String, String>);

impl Environment {
    /// Reads the environment of this process, once.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    }

    /// `$XDG_DATA_HOME/owlake`, else `$HOME/.local/share/owlake`, else `./owlake-data`.
    pub fn default_data_dir(&self) -> PathBuf {
        // The XDG specification tells to ignore relative paths.
        let absolute = |name| {
            self.get(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        match (absolute("XDG_DATA_HOME"), absolute("HOME")) {
            (Some(data), _) => data.join("owlake"),
            (None, Some(home)) => home.join(".local/share/owlake"),
            (None, None) => PathBuf::from("owlake-data"),
        }
    }

    /// The variables of AWS's tools that decide how S3 is reached when no `[[location]]` says otherwise.
    pub fn aws(&self) -> AwsEnvironment {
        let text = |name| self.get(name).map(str::to_owned);
        let secret = |name| self.get(name).map(Secret::new);
        AwsEnvironment {
            endpoint_url: text("AWS_ENDPOINT_URL_S3").or_else(|| text("AWS_ENDPOINT_URL")),
            allow_http: self.flag("AWS_ALLOW_HTTP"),
            access_key_id: secret("AWS_ACCESS_KEY_ID"),
            secret_access_key: secret("AWS_SECRET_ACCESS_KEY"),
            session_token: secret("AWS_SESSION_TOKEN"),
            region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
            profile: text("AWS_PROFILE"),
            skip_signature: self.flag("AWS_SKIP_SIGNATURE"),
            requester_pays: self
                .get("AWS_REQUEST_PAYER")
                .is_some_and(|v| v.eq_ignore_ascii_case("requester"))
                || self.flag("AWS_REQUEST_PAYER"),
        }
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What AWS's own variables say about S3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsEnvironment {
    /// `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`.
    pub endpoint_url: Option<String>,
    /// `AWS_ALLOW_HTTP`: accept an `http://` endpoint.
    pub allow_http: bool,
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: Option<Secret>,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<Secret>,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_PROFILE`
    pub profile: Option<String>,
    /// `AWS_SKIP_SIGNATURE`: send unsigned requests.
    pub skip_signature: bool,
    /// `AWS_REQUEST_PAYER`: pay for requests to requester-pays buckets.
    pub requester_pays: bool,
}
