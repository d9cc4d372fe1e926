//! The server as its owner sees it: start, endpoint, direct access to the data, log, faults, gates; and the thread it
//! runs on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::fault_plan::{FaultPlan, Faults};
use crate::gate::{Gate, Gates, Side};
use crate::journal::{Counts, Journal, RequestRecord};
use crate::operation::Operation;
use crate::storage::{Storage, StoredObject};
use crate::wire::{Latency, Wire, serve_connection};

/// Names on one listing page, as in S3.
const PAGE_SIZE: usize = 1000;

/// Settings of a server that is not started yet.
#[derive(Debug, Clone)]
#[must_use = "nothing runs until start()"]
pub struct Builder {
    buckets: Vec<String>,
    access_key: String,
    secret_key: String,
    anonymous: bool,
    page_size: usize,
    latency: Latency,
    faults: FaultPlan,
    send_buffer_bytes: Option<u32>,
}

impl Builder {
    /// Adds a bucket (name by S3's rules).
    pub fn bucket(mut self, name: impl Into<String>) -> Self {
        self.buckets.push(name.into());
        self
    }

    /// The one key pair that is accepted, in place of the default one.
    pub fn credentials(mut self, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        self.access_key = access_key.into();
        self.secret_key = secret_key.into();
        self
    }

    /// Also accepts requests without a signature. A signature that is there must be right all the same.
    pub fn allow_anonymous(mut self, allow: bool) -> Self {
        self.anonymous = allow;
        self
    }

    /// Most names on one listing page, whatever `max-keys` asks for; 1000 unless set, at least 1.
    pub fn page_size(mut self, names: usize) -> Self {
        self.page_size = names.max(1);
        self
    }

    /// Latency from the first request on.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// Faults from the first request on.
    pub fn faults(mut self, plan: FaultPlan) -> Self {
        self.faults = plan;
        self
    }

    /// Size of each connection's kernel send buffer (the kernel may double it). A small one makes the count of sent
    /// bytes follow closely what a client that stops reading has received.
    pub fn send_buffer_bytes(mut self, bytes: u32) -> Self {
        self.send_buffer_bytes = Some(bytes);
        self
    }

    /// Starts the server on a free port of 127.0.0.1, on a thread and runtime of its own; it answers on return.
    ///
    /// # Errors
    /// A bucket name that S3 would refuse (`InvalidInput`); no socket, thread or runtime to be had.
    pub fn start(self) -> io::Result<MemS3> {
        let storage = Arc::new(Storage::default());
        for name in &self.buckets {
            if !s3s::path::check_bucket_name(name) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("bucket name {name:?}"),
                ));
            }
            storage.create_bucket(name);
        }
        let page_size = Arc::new(AtomicUsize::new(self.page_size));
        let api = Api {
            storage: Arc::clone(&storage),
            page_size: Arc::clone(&page_size),
        };
        let mut service = S3ServiceBuilder::new(api);
        service.set_auth(OneKey {
            access: self.access_key.clone(),
            secret: SecretKey::from(self.secret_key.clone()),
        });
        if self.anonymous {
            service.set_access(Anyone);
        }
        let wire = Arc::new(Wire {
            service: service.build(),
            journal: Arc::new(Journal::new()),
            faults: Faults::default(),
            gates: Gates::default(),
            latency: RwLock::new(self.latency),
        });
        wire.faults.set(self.faults);

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            let socket = TcpSocket::new_v4()?;
            if let Some(bytes) = self.send_buffer_bytes {
                // Accepted connections inherit it.
                socket.set_send_buffer_size(bytes)?;
            }
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            socket.listen(1024)?
        };
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let (token, shared) = (stop.clone(), Arc::clone(&wire));
        let thread = std::thread::Builder::new()
            .name("owlake-mems3".to_owned())
            .spawn(move || runtime.block_on(accept(listener, shared, token)))?;
        Ok(MemS3 {
            endpoint: format!("http://{address}"),
            access_key: self.access_key,
            secret_key: self.secret_key,
            storage,
            page_size,
            wire,
            stop,
            thread: Some(thread),
        })
    }
}

/// A running S3 server in memory. Dropping it closes all connections, stops its thread and frees the data.
#[derive(Debug)]
pub struct MemS3 {
    endpoint: String,
    access_key: String,
    secret_key: String,
    storage: Arc<Storage>,
    page_size: Arc<AtomicUsize>,
    wire: Arc<Wire>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl MemS3 {
    /// Settings to start from: no bucket, signature required, no latency, no faults.
    pub fn builder() -> Builder {
        Builder {
            buckets: Vec::new(),
            access_key: "mems3-access-key".to_owned(),
            secret_key: "mems3-secret-key".to_owned(),
            anonymous: false,
            page_size: PAGE_SIZE,
            latency: Latency::default(),
            faults: FaultPlan::default(),
            send_buffer_bytes: None,
        }
    }

    /// `http://127.0.0.1:<port>`, for path-style requests.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The accepted access key.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The secret key that belongs to it.
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// A region to sign with; the server accepts any.
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// Stores an object past the wire: no request is counted, no fault strikes. Makes the bucket if need be. Returns
    /// the entity tag in quotes, as headers and listings show it.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> String {
        let object = StoredObject::new(bytes.into());
        let etag = format!("\"{}\"", object.etag);
        self.storage.put_anyway(bucket, key, object);
        etag
    }

    /// [`Self::put`] of an object whose listings show `storage_class`, such as `GLACIER`.
    pub fn put_in_class(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>, storage_class: &str) {
        let mut object = StoredObject::new(bytes.into());
        object.attributes.storage_class = Some(storage_class.to_owned());
        self.storage.put_anyway(bucket, key, object);
    }

    /// Removes an object past the wire; false when there was none.
    pub fn delete(&self, bucket: &str, key: &str) -> bool {
        self.storage.delete(bucket, key).unwrap_or(false)
    }

    /// The object as it is now.
    pub fn object(&self, bucket: &str, key: &str) -> Option<StoredObject> {
        self.storage
            .get(bucket, key)
            .ok()
            .map(|object| StoredObject::clone(&object))
    }

    /// All keys of the bucket in order; none when there is no such bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.storage.keys(bucket)
    }

    /// Sums over all requests since the start or the last [`Self::reset_log`]. Bytes that a client has received
    /// are in it.
    pub fn counts(&self) -> Counts {
        self.wire.journal.counts(None)
    }

    /// Sums over the requests whose user agent has `query/<query_id>`.
    pub fn counts_for(&self, query_id: &str) -> Counts {
        self.wire.journal.counts(Some(query_id))
    }

    /// The log: every request since the start or the last [`Self::reset_log`] by arrival, those in flight included.
    /// It grows until it is reset.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.wire.journal.records()
    }

    /// Empties the log and sets `in_flight_max` to what is in flight now. Requests in flight drop out of the log.
    pub fn reset_log(&self) {
        self.wire.journal.reset();
    }

    /// Requests that have arrived and are neither given up nor handed over whole.
    pub fn requests_in_flight(&self) -> usize {
        self.wire.journal.in_flight()
    }

    /// Most requests in flight at one moment since the start or the last [`Self::reset_log`].
    pub fn in_flight_max(&self) -> usize {
        self.wire.journal.in_flight_max()
    }

    /// Waits until no request is in flight. Safe to cancel; not bound to a runtime.
    pub async fn wait_idle(&self) {
        self.wire.journal.wait_in_flight(|n| *n == 0).await;
    }

    /// Waits until at least this many requests are in flight at once. Safe to cancel; not bound to a runtime.
    pub async fn wait_in_flight(&self, requests: usize) {
        self.wire.journal.wait_in_flight(|n| *n >= requests).await;
    }

    /// Changes the latency of requests that arrive from now on.
    pub fn set_latency(&self, latency: Latency) {
        *self.wire.latency.write().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// Puts a fault plan in force from its beginning, for requests that arrive from now on; the default plan ends
    /// all faults.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.wire.faults.set(plan);
    }

    /// Changes the most names on one listing page (at least 1).
    pub fn set_page_size(&self, names: usize) {
        self.page_size.store(names.max(1), Ordering::Release);
    }

    /// Stops requests of this operation whose key (prefix of a listing) contains the text before the store looks at
    /// them, until the gate is released.
    pub fn pause_before(&self, key_contains: &str, operation: Operation) -> Gate {
        self.wire.gates.close(Side::Before, operation, key_contains)
    }

    /// Stops requests of this operation whose key (prefix of a listing) contains the text when their answer is made
    /// and nothing of it is sent, until the gate is released: what changes meanwhile is not in the answer.
    pub fn pause_after(&self, key_contains: &str, operation: Operation) -> Gate {
        self.wire.gates.close(Side::After, operation, key_contains)
    }
}

impl Drop for MemS3 {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the in-memory S3 thread panicked");
        }
    }
}

/// Accepts connections until told to stop; they end with it.
async fn accept(listener: TcpListener, wire: Arc<Wire>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    if let Err(error) = tcp.set_nodelay(true) {
                        tracing::warn!(%error, "TCP_NODELAY refused, answers may lag");
                    }
                    connections.spawn(serve_connection(Arc::clone(&wire), tcp));
                }
                Err(error) => {
                    // Out of descriptors, mostly: passes when a connection ends.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
}

/// Knows one key pair.
struct OneKey {
    access: String,
    secret: SecretKey,
}

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access {
            Ok(self.secret.clone())
        } else {
            Err(s3_error!(InvalidAccessKeyId))
        }
    }
}

/// Lets unsigned requests in.
struct Anyone;

#[async_trait::async_trait]
impl S3Access for Anyone {
    async fn check(&self, _: &mut S3AccessContext<'_>) -> S3Result<()> {
        Ok(())
    }
}
