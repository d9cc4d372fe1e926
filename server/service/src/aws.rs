//! Credentials and access for S3 locations: static keys, anonymous, or the AWS SDK's chain (profile, SSO,
//! assume-role, credential_process, web identity). Nothing is asked of the network before the first request.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::{CredentialProvider, StaticCredentialProvider};
use owlake_scan::S3Access;
use tokio::sync::{Mutex, OnceCell};

use crate::config::{AwsEnvironment, LocationConfig};

/// Credentials are renewed this long before they end.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// How S3 is reached: one entry per configured location, and one for every other bucket.
pub(crate) async fn access(locations: &[LocationConfig], environment: &AwsEnvironment) -> Vec<S3Access> {
    let region = match &environment.region {
        Some(region) => Some(region.clone()),
        // Reads the profile file only.
        None => ProfileFileRegionProvider::builder()
            .build()
            .region()
            .await
            .map(|r| r.to_string()),
    };
    let mut access: Vec<S3Access> = locations
        .iter()
        .filter(|l| l.prefix.starts_with("s3"))
        .map(|location| S3Access {
            prefix: location.prefix.clone(),
            region: location.region.clone().or_else(|| region.clone()),
            endpoint_url: location
                .endpoint_url
                .clone()
                .or_else(|| environment.endpoint_url.clone()),
            allow_http: location.allow_http || (location.endpoint_url.is_none() && environment.allow_http),
            anonymous: location.anonymous,
            requester_pays: location.requester_pays,
            credentials: (!location.anonymous).then(|| location_credentials(location, environment)),
        })
        .collect();
    access.push(S3Access {
        prefix: "s3://".to_owned(),
        region,
        endpoint_url: environment.endpoint_url.clone(),
        allow_http: environment.allow_http,
        anonymous: environment.skip_signature,
        requester_pays: environment.requester_pays,
        credentials: (!environment.skip_signature).then(|| environment_credentials(environment)),
    });
    access
}

fn fixed(key_id: &str, secret_key: &str, token: Option<&str>) -> AwsCredentialProvider {
    Arc::new(StaticCredentialProvider::new(AwsCredential {
        key_id: key_id.to_owned(),
        secret_key: secret_key.to_owned(),
        token: token.map(str::to_owned),
    }))
}

fn environment_credentials(environment: &AwsEnvironment) -> AwsCredentialProvider {
    match (&environment.access_key_id, &environment.secret_access_key) {
        (Some(id), Some(secret)) => fixed(
            id.expose(),
            secret.expose(),
            environment.session_token.as_ref().map(|t| t.expose()),
        ),
        _ => Arc::new(SdkCredentials::new(None)),
    }
}

fn location_credentials(location: &LocationConfig, environment: &AwsEnvironment) -> AwsCredentialProvider {
    if let (Some(id), Some(secret)) = (&location.access_key_id, &location.secret_access_key) {
        return fixed(id.expose(), secret.expose(), None);
    }
    match &location.role_arn {
        Some(role) => Arc::new(SdkCredentials::new(Some(Role {
            arn: role.clone(),
            external_id: location.external_id.clone(),
        }))),
        None => environment_credentials(environment),
    }
}

/// A role to assume for a location.
#[derive(Debug, Clone)]
struct Role {
    arn: String,
    external_id: Option<String>,
}

/// The SDK's chain behind `object_store`'s interface, loaded on first use and cached until shortly before it ends.
#[derive(Debug)]
struct SdkCredentials {
    role: Option<Role>,
    chain: OnceCell<SharedCredentialsProvider>,
    current: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl SdkCredentials {
    fn new(role: Option<Role>) -> Self {
        Self {
            role,
            chain: OnceCell::new(),
            current: Mutex::new(None),
        }
    }

    async fn load(role: Option<Role>) -> Result<SharedCredentialsProvider, object_store::Error> {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let base = config
            .credentials_provider()
            .ok_or_else(|| failure("no AWS credentials are configured"))?;
        Ok(match role {
            None => base,
            Some(role) => {
                let mut builder = AssumeRoleProvider::builder(role.arn)
                    .configure(&config)
                    .session_name("owlake");
                if let Some(id) = role.external_id {
                    builder = builder.external_id(id);
                }
                SharedCredentialsProvider::new(builder.build_from_provider(base).await)
            }
        })
    }
}

fn failure(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Unauthenticated {
        path: "credentials".to_owned(),
        source: source.into(),
    }
}

#[async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut current = self.current.lock().await;
        if let Some((credential, expires)) = current.as_ref()
            && expires.is_none_or(|at| at > wall_clock() + RENEW_BEFORE)
        {
            return Ok(Arc::clone(credential));
        }
        let chain = self
            .chain
            .get_or_try_init(|| Self::load(self.role.clone()))
            .await?;
        let fresh = chain.provide_credentials().await.map_err(failure)?;
        let credential = Arc::new(AwsCredential {
            key_id: fresh.access_key_id().to_owned(),
            secret_key: fresh.secret_access_key().to_owned(),
            token: fresh.session_token().map(str::to_owned),
        });
        *current = Some((Arc::clone(&credential), fresh.expiry()));
        Ok(credential)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "credentials end by the wall clock, not by a query's now"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
