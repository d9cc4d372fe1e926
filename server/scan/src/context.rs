//! What a scan knows about the query it belongs to, and what it reports back.
//!
//! Travels as a `SessionConfig` extension, since DataFusion spawns tasks that inherit nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use datafusion::catalog::Session;
use futures::future::try_join_all;
use owlake_metering::{Budget, Counter, Meter, Refused, Reservation, TableScan};

use crate::ahead::Room;
use crate::cache::{QueryBlocks, ScanCaches};
use crate::config::ScanConfig;
use crate::error::ScanError;
use crate::estimate::FooterBudget;
use crate::file_version::FileVersion;
use crate::identity::ScanIdentity;
use crate::listing::{self, Listing};
use crate::location::Location;
use crate::parquet_scan::page_index::PageIndexes;
use crate::range_set::RangeSet;
use crate::range_source::InFlight;
use crate::report::Report;
use crate::stores::QueryStores;

/// Per-query state of all scans.
#[derive(Debug)]
pub struct ScanContext {
    /// The query's meter.
    pub meter: Arc<Meter>,
    /// The cap on `data_scanned_bytes`.
    pub budget: Arc<Budget>,
    /// Whose cap it is, for the error text.
    pub workgroup: String,
    /// The query's one `now`.
    pub now: DateTime<Utc>,
    /// Metered stores.
    pub stores: Arc<QueryStores>,
    /// Process-wide caches.
    pub caches: Arc<ScanCaches>,
    /// Data blocks, as far as they are cached.
    pub(crate) blocks: Option<QueryBlocks>,
    /// Limits.
    pub config: Arc<ScanConfig>,
    /// Bound on object bytes in flight, process-wide.
    pub in_flight: Arc<InFlight>,
    /// Set for the second attempt after a file changed: cached listings are not believed.
    pub fresh_listings: AtomicBool,
    /// Room for bytes that the query holds before it asks for them.
    pub(crate) room_ahead: Room,
    /// Bytes that were allowed to move ahead of their reservation, see [`Self::may_read_ahead`].
    allowed_ahead: AtomicU64,
    /// Set where scans shall say what they read, see [`ScanNode::identity`].
    pub identify_files: AtomicBool,
    /// Set where nothing is to be read but what an estimate needs.
    pub estimating: OnceLock<FooterBudget>,
    /// Listings of this attempt: all scans of a query see one version of a file.
    listings: Mutex<BTreeMap<Location, Arc<Listing>>>,
    pub(crate) report: Report,
}

impl ScanContext {
    /// A context with an empty report.
    #[allow(clippy::too_many_arguments, reason = "one constructor of a plain record")]
    pub fn new(
        meter: Arc<Meter>,
        budget: Arc<Budget>,
        workgroup: String,
        now: DateTime<Utc>,
        stores: Arc<QueryStores>,
        caches: Arc<ScanCaches>,
        config: Arc<ScanConfig>,
        in_flight: Arc<InFlight>,
    ) -> Self {
        Self {
            meter,
            budget,
            workgroup,
            now,
            stores,
            blocks: caches.blocks_for_query(),
            caches,
            room_ahead: in_flight.room_for_query(config.ahead_bytes),
            allowed_ahead: AtomicU64::new(0),
            config,
            in_flight,
            fresh_listings: AtomicBool::new(false),
            identify_files: AtomicBool::new(false),
            estimating: OnceLock::new(),
            listings: Mutex::default(),
            report: Report::default(),
        }
    }

    /// The same rights, limits and meter for another scan at `now`, with nothing listed or reported yet.
    ///
    /// For tables in a foreign session, whose context lives as long as the table. Nobody proves a cached listing
    /// there before rows leave, so each scan lists anew.
    #[must_use]
    pub fn renewed(&self, now: DateTime<Utc>) -> Self {
        let renewed = Self::new(
            Arc::clone(&self.meter),
            Arc::clone(&self.budget),
            self.workgroup.clone(),
            now,
            Arc::clone(&self.stores),
            Arc::clone(&self.caches),
            Arc::clone(&self.config),
            Arc::clone(&self.in_flight),
        );
        renewed.fresh_listings.store(true, Ordering::Relaxed);
        renewed
    }

    /// Whether up to `bytes` of data may move before they are reserved: only where all that was allowed so far and
    /// these could be scanned without passing the cap or a quota. Without them always.
    pub(crate) fn may_read_ahead(&self, bytes: u64) -> bool {
        let before = self.allowed_ahead.fetch_add(bytes, Ordering::Relaxed);
        let all = before.saturating_add(bytes);
        let fits = self.budget.check(all).is_ok() && self.budget.check_quotas(all).is_ok();
        if !fits {
            self.allowed_ahead.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// What this attempt saw under `location`, if it listed it.
    pub(crate) fn known_listing(&self, location: &Location) -> Option<Arc<Listing>> {
        self.listings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(location)
            .cloned()
    }

    /// Keeps `listing` for the rest of this attempt; of two that were made at once the first one counts.
    ///
    /// # Errors
    /// `FileChanged` of `table` where the listing of a prefix above or below saw another version of one of its files.
    pub(crate) fn keep_listing(&self, table: &str, listing: Arc<Listing>) -> Result<Arc<Listing>, ScanError> {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let location = &listing.location;
        if let Some(first) = listings.get(location) {
            return Ok(Arc::clone(first));
        }
        let above = location.parents().filter_map(|parent| listings.get(&parent));
        let below = listings
            .range(location..)
            .take_while(|(other, _)| {
                other.store == location.store && other.prefix.as_ref().starts_with(location.prefix.as_ref())
            })
            .filter(|(other, _)| other.is_under(location))
            .map(|(_, known)| known);
        if let Some(file) = above.chain(below).find_map(|known| known.differs_from(&listing)) {
            return Err(ScanError::FileChanged {
                table: table.to_owned(),
                file,
            });
        }
        listings.insert(location.clone(), Arc::clone(&listing));
        Ok(listing)
    }

    /// The context of the session a scan is planned in.
    pub fn of(session: &dyn Session) -> Option<Arc<Self>> {
        session.config().get_extension::<Self>()
    }

    /// Takes what this attempt listed out of the cache: a file of it has changed, and the query that is sent again
    /// must not be planned with it once more.
    pub async fn forget_listings(&self) {
        let locations: Vec<Location> = {
            let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            listings.keys().cloned().collect()
        };
        for location in locations {
            self.caches.forget_listing(location).await;
        }
    }

    /// Forgets the scans of an attempt that is planned again.
    pub fn restart(&self) {
        self.fresh_listings.store(true, Ordering::Relaxed);
        self.allowed_ahead.store(0, Ordering::Relaxed);
        self.listings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.report.forget_scans();
    }

    /// Proves that every file this query answered about without reading from it is still the listed
    /// version, by listing anew or by asking for it; files read under If-Match need no proof.
    ///
    /// Costs nothing where listings were fresh. Cancel safe.
    pub async fn validate(&self) -> Result<(), ScanError> {
        let nodes = self.nodes();
        try_join_all(nodes.iter().map(|node| node.validate(self))).await?;
        Ok(())
    }
}

/// One scan of one table in one plan: names, counts, and which bytes were counted.
#[derive(Debug)]
pub struct ScanNode {
    /// Catalog of the table.
    pub catalog: String,
    /// Database of the table.
    pub database: String,
    /// The table.
    pub table: String,
    /// Its partition columns, for hints.
    pub partition_columns: Vec<String>,
    /// Size of the unfiltered projection, where known.
    pub partitions_total: Option<u64>,
    /// Partitions left after pruning.
    pub partitions_read: u64,
    /// Files listed in them.
    pub files_total: u64,
    /// Row groups of those files.
    pub row_groups_total: AtomicU64,
    /// Files, and their bytes, whose footers an estimate did not read.
    pub(crate) unopened: Mutex<(u64, u64)>,
    /// Files that a row limit left out, of which the answer says nothing.
    pub(crate) beyond_limit: Mutex<HashSet<FileVersion>>,
    row_groups_read: AtomicU64,
    data_scanned_bytes: AtomicU64,
    metadata_bytes: AtomicU64,
    pub(crate) files: Mutex<HashMap<FileVersion, FileAccount>>,
    pub(crate) listings: Vec<Arc<Listing>>,
    /// What was read, where it was asked for and the store can tell.
    pub(crate) identity: Option<ScanIdentity>,
    pub(crate) page_indexes: PageIndexes,
}

/// What a scan counted of one file.
#[derive(Debug, Default)]
pub(crate) struct FileAccount {
    pub footer_bytes: Option<u64>,
    metadata: RangeSet,
    pub data: RangeSet,
    row_groups: RangeSet,
    pinned_read: bool,
}

impl ScanNode {
    #[allow(clippy::too_many_arguments, reason = "one constructor of a plain record")]
    pub(crate) fn new(
        catalog: String,
        database: String,
        table: String,
        partition_columns: Vec<String>,
        partitions_total: Option<u64>,
        partitions_read: u64,
        files_total: u64,
        listings: Vec<Arc<Listing>>,
    ) -> Self {
        Self {
            catalog,
            database,
            table,
            partition_columns,
            partitions_total,
            partitions_read,
            files_total,
            row_groups_total: AtomicU64::new(0),
            unopened: Mutex::default(),
            beyond_limit: Mutex::default(),
            row_groups_read: AtomicU64::new(0),
            data_scanned_bytes: AtomicU64::new(0),
            metadata_bytes: AtomicU64::new(0),
            files: Mutex::default(),
            listings,
            identity: None,
            page_indexes: PageIndexes::default(),
        }
    }

    /// `database.table`.
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    /// Table version, partitions and file versions of this scan. `None` unless [`ScanContext::identify_files`] was
    /// set, and where a file is known by its time alone.
    pub fn identity(&self) -> Option<&ScanIdentity> {
        self.identity.as_ref()
    }

    fn with_account<T>(&self, file: &FileVersion, f: impl FnOnce(&mut FileAccount) -> T) -> T {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        f(files.entry(file.clone()).or_default())
    }

    /// Counts a footer of `bytes`, once per scan and file.
    pub(crate) fn count_footer(&self, meter: &Meter, file: &FileVersion, bytes: u64, cached: bool) {
        if self
            .with_account(file, |a| a.footer_bytes.replace(bytes))
            .is_some()
        {
            return;
        }
        self.count_metadata_bytes(meter, bytes, cached);
    }

    /// Counts an index or bloom filter range, each byte once per scan and file.
    pub(crate) fn count_metadata(
        &self,
        meter: &Meter,
        file: &FileVersion,
        range: std::ops::Range<u64>,
        cached: bool,
    ) {
        let fresh = self.with_account(file, |a| a.metadata.insert(range));
        self.count_metadata_bytes(meter, fresh, cached);
    }

    fn count_metadata_bytes(&self, meter: &Meter, bytes: u64, cached: bool) {
        self.metadata_bytes.fetch_add(bytes, Ordering::Relaxed);
        meter.add(Counter::MetadataBytes, bytes);
        if cached {
            meter.add(Counter::CachedBytes, bytes);
        }
    }

    /// Reserves the bytes of `ranges` that this scan has not counted yet; refused before any is read.
    ///
    /// How many they were, range by range. Cancel safe: what is not granted is not counted, so that the next one who
    /// asks for it reserves it.
    pub(crate) async fn reserve_data(
        &self,
        context: &ScanContext,
        file: &FileVersion,
        ranges: &[std::ops::Range<u64>],
        row_groups: &[u64],
    ) -> Result<Vec<u64>, ScanError> {
        let mut refused = None;
        loop {
            let missing = self.with_account(file, |a| a.data.missing(ranges));
            let mut granted = None;
            if missing > 0 {
                // Refused although another reading has counted a part of it meanwhile: then that part is not needed.
                if let Some((bytes, error)) = refused.take()
                    && missing >= bytes
                {
                    return Err(error);
                }
                let reserved: Result<Reservation, Refused> = context.budget.reserve(missing).await;
                match reserved {
                    Ok(reservation) => granted = Some(reservation),
                    Err(Refused::Cap(e)) => {
                        refused = Some((missing, self.cap_exceeded(context, &e, true)));
                        continue;
                    }
                    Err(Refused::Quota(e)) => {
                        refused = Some((missing, ScanError::Quota(e)));
                        continue;
                    }
                }
            }
            return Ok(self.count_data(context, file, ranges, row_groups, granted));
        }
    }

    /// Counts what of `ranges` nobody has counted, out of `granted`, and returns the rest of that.
    fn count_data(
        &self,
        context: &ScanContext,
        file: &FileVersion,
        ranges: &[std::ops::Range<u64>],
        row_groups: &[u64],
        granted: Option<Reservation>,
    ) -> Vec<u64> {
        let fresh: Vec<u64> = self.with_account(file, |a| {
            for index in row_groups {
                if a.row_groups.insert(*index..*index + 1) == 1 {
                    self.row_groups_read.fetch_add(1, Ordering::Relaxed);
                }
            }
            ranges.iter().map(|r| a.data.insert(r.clone())).collect()
        });
        let sum: u64 = fresh.iter().sum();
        if let Some(reservation) = granted {
            reservation.settle(sum);
        }
        self.data_scanned_bytes.fetch_add(sum, Ordering::Relaxed);
        context.meter.add(Counter::DataScannedBytes, sum);
        fresh
    }

    /// A read of `file` under If-Match succeeded: its listed version is current.
    pub(crate) fn proved_current(&self, file: &FileVersion) {
        self.with_account(file, |a| a.pinned_read = true);
    }

    async fn validate(&self, context: &ScanContext) -> Result<(), ScanError> {
        let mut proved = self
            .beyond_limit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        {
            let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let read = files.iter().filter(|(_, account)| account.pinned_read);
            proved.extend(read.map(|(version, _)| version.clone()));
        }
        let table = self.qualified_name();
        listing::prove(context, &table, &self.listings, |v| proved.contains(v)).await
    }

    pub(crate) fn table_scan(&self) -> TableScan {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        TableScan {
            catalog: self.catalog.clone(),
            database: self.database.clone(),
            table_name: self.table.clone(),
            partitions_total: self.partitions_total,
            partitions_read: self.partitions_read,
            files_total: self.files_total,
            files_read: files.values().filter(|a| a.data != RangeSet::default()).count() as u64,
            row_groups_total: self.row_groups_total.load(Ordering::Relaxed),
            row_groups_read: self.row_groups_read.load(Ordering::Relaxed),
            data_scanned_bytes: self.data_scanned_bytes.load(Ordering::Relaxed),
            metadata_bytes: self.metadata_bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use object_store::ObjectMeta;
    use owlake_metering::{HttpOptions, SharedHttp};

    use super::*;
    use crate::location::{AllowedRoots, StoreId};
    use crate::stores::Stores;

    fn context(limit_bytes: u64) -> ScanContext {
        let meter = Meter::root("q");
        let http = SharedHttp::new(&HttpOptions::default()).unwrap();
        let io = tokio::runtime::Handle::current();
        let stores = Stores::new(http, io, Vec::new(), AllowedRoots::default(), None);
        let config = Arc::new(ScanConfig::default());
        ScanContext::new(
            Arc::clone(&meter),
            Budget::of_query(Some(limit_bytes), None),
            "primary".to_owned(),
            DateTime::<Utc>::UNIX_EPOCH,
            Arc::new(QueryStores::new(Arc::new(stores), meter, "q")),
            Arc::new(ScanCaches::new(&config, None)),
            config,
            Arc::new(InFlight::new(1 << 20)),
        )
    }

    fn node() -> ScanNode {
        let names = ["c", "d", "t"].map(str::to_owned);
        let [catalog, database, table] = names;
        ScanNode::new(catalog, database, table, Vec::new(), None, 1, 1, Vec::new())
    }

    fn file() -> FileVersion {
        let meta = ObjectMeta {
            location: "t/a".into(),
            last_modified: DateTime::<Utc>::UNIX_EPOCH,
            size: 100,
            e_tag: Some("e".to_owned()),
            version: None,
        };
        FileVersion::new(StoreId::File, &meta)
    }

    #[tokio::test]
    async fn a_read_that_is_given_up_before_its_grant_counts_nothing() {
        let (context, node, file) = (context(100), node(), file());
        let range = std::slice::from_ref(&(0..50));
        let other = context.budget.reserve(80).await.unwrap();
        assert!(
            node.reserve_data(&context, &file, range, &[0])
                .now_or_never()
                .is_none()
        );
        assert_eq!(node.table_scan().row_groups_read, 0);
        drop(other);
        let counted = node.reserve_data(&context, &file, range, &[0]).await.unwrap();
        assert_eq!((counted, node.table_scan().data_scanned_bytes), (vec![50], 50));
        assert_eq!(context.budget.settled_bytes(), 50);
    }

    #[tokio::test]
    async fn two_that_ask_for_the_same_bytes_count_them_once_within_the_cap() {
        let (context, node, file) = (context(60), node(), file());
        let range = std::slice::from_ref(&(0..50));
        let other = context.budget.reserve(30).await.unwrap();
        let read = || node.reserve_data(&context, &file, range, &[0]);
        let both = async { futures::try_join!(read(), read()) };
        let release = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(other);
        };
        let ((a, b), ()) = futures::future::join(async { both.await.unwrap() }, release).await;
        assert_eq!(a[0] + b[0], 50);
        assert_eq!(context.budget.settled_bytes(), 50);
        let beyond = std::slice::from_ref(&(50..70));
        assert!(node.reserve_data(&context, &file, beyond, &[0]).await.is_err());
        assert_eq!(node.table_scan().data_scanned_bytes, 50);
    }
}
