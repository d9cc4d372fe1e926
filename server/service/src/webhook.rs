//! Posts warnings of quotas as JSON to a URL of the configuration: bounded, retried a little, never in a query's way.

use std::sync::Arc;
use std::time::Duration;

use owlake_engine::runtime::Runtimes;
use owlake_metering::{QuotaObserver, QuotaWarning, SharedHttp};
use tokio::sync::mpsc;

use crate::config::Secret;

/// Warnings that wait to be sent; more are logged and dropped.
const WAITING: usize = 64;
/// Pauses between the attempts to send one.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Longest attempt.
const PATIENCE: Duration = Duration::from_secs(10);

/// An observer that tells `next` and the webhook. Its sending ends with it.
pub(crate) fn observer(
    url: Secret,
    http: Arc<SharedHttp>,
    next: Option<Arc<dyn QuotaObserver>>,
    runtimes: &Runtimes,
) -> Arc<dyn QuotaObserver> {
    let (sender, mut warnings) = mpsc::channel::<QuotaWarning>(WAITING);
    runtimes.spawn_io(async move {
        while let Some(warning) = warnings.recv().await {
            post(&url, &http, &warning).await;
        }
    });
    Arc::new(Webhook { sender, next })
}

#[derive(Debug)]
struct Webhook {
    sender: mpsc::Sender<QuotaWarning>,
    next: Option<Arc<dyn QuotaObserver>>,
}

impl QuotaObserver for Webhook {
    fn quota_warning(&self, warning: &QuotaWarning) {
        if let Some(next) = &self.next {
            next.quota_warning(warning);
        }
        if self.sender.try_send(warning.clone()).is_err() {
            tracing::warn!(
                quota = warning.quota,
                "a quota's warning was not posted: too many wait"
            );
        }
    }
}

async fn post(url: &Secret, http: &SharedHttp, warning: &QuotaWarning) {
    let body = match serde_json::to_string(warning) {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "a quota's warning cannot be written as JSON");
            return;
        }
    };
    for pause in PAUSES.into_iter().map(Some).chain([None]) {
        let sent = tokio::time::timeout(PATIENCE, http.post_json(url.expose(), body.clone())).await;
        let why = match sent {
            Ok(Ok(status)) if (200..300).contains(&status) => return,
            Ok(Ok(status)) => format!("status {status}"),
            // Without its cause, which may name the URL and its token.
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "no answer".to_owned(),
        };
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => tracing::warn!(quota = warning.quota, why, "a quota's warning was not posted"),
        }
    }
}
