//! The seam behind which other databases sit: what a catalog of one has to answer, and how its rows are counted.
//!
//! Implementations are in `server/federation/`; which statements they may run, and as whom, is theirs.

use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use owlake_dialect::passthrough_statement;
use owlake_fault::{Code, Fault};
use owlake_metering::{Counter, RemoteQuery};
use owlake_scan::ScanContext;

use crate::resolve::{INFORMATION_SCHEMA, Resolver, SYSTEM_SCHEMA};

/// The longest remote statement that a notice quotes, in characters.
const QUOTED_CHARS: usize = 1_000;
/// The longest one that the ledger keeps whole.
const KEPT_CHARS: usize = 10_000;

/// One catalog over another database. Nothing connects before it is asked; every method is cancel safe.
///
/// Names are lower case in every answer, and those given may be in any case.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// What kind it is: `postgresql`.
    fn connector_name(&self) -> &'static str;

    /// The properties that it was made with, as anybody may see them: secrets masked, references as written.
    fn properties(&self) -> Vec<(String, String)>;

    /// Its databases (schemas, in other words), sorted.
    async fn databases(&self) -> Result<Vec<String>, Fault>;

    /// Tables and views of a database, sorted; `None` where there is no such database.
    async fn relations(&self, database: &str) -> Result<Option<Vec<RemoteRelation>>, Fault>;

    /// One table or view; `None` where there is none.
    async fn relation(&self, database: &str, name: &str) -> Result<Option<RemoteRelation>, Fault>;

    /// The same to be scanned. Its scans count by the [`RemoteScope`] of their task.
    async fn table(&self, database: &str, name: &str) -> Result<Option<Arc<dyn TableProvider>>, Fault>;

    /// The rows of a statement in the database's own SQL, which alone says what columns they have.
    ///
    /// # Errors
    /// A catalog that does not allow it; a statement that the database refuses, or that gives no rows.
    async fn query(&self, statement: &str) -> Result<Arc<dyn TableProvider>, Fault>;

    /// The rows of a part of a plan, computed by the database: columns by position, with the types and the nullability
    /// of the plan's schema. `None` where a table of the part is not this connector's, where the meaning is not provably
    /// the same there, or where the scans of its tables would move no more rows.
    ///
    /// Never asks the database. Rows come in no order, but the part of a plan that ends in a limited sort may stand for
    /// all rows from which the same sort takes the first.
    fn compute(&self, _plan: &LogicalPlan) -> Option<Arc<dyn TableProvider>> {
        None
    }

    /// Forgets what is known of names, columns and statistics.
    fn refresh(&self);
}

/// A table or view of a connector.
#[derive(Debug, Clone)]
pub struct RemoteRelation {
    /// Lower case.
    pub name: String,
    /// Whether it is a view there.
    pub is_view: bool,
    /// Its columns.
    pub schema: SchemaRef,
}

/// The catalog of a plan's first table of another database. How much such a table sends is not known before it has.
pub(crate) fn remote_catalog(plan: &LogicalPlan, resolver: &Resolver, current: &str) -> Option<String> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let name = &scan.table_name;
            let own = name
                .schema()
                .is_some_and(|s| [SYSTEM_SCHEMA, INFORMATION_SCHEMA].contains(&s))
                && passthrough_statement(name.table()).is_none();
            let catalog = name.catalog().unwrap_or(current);
            if !own && resolver.connector(catalog).is_some() {
                found = Some(catalog.to_owned());
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // The walk itself cannot fail.
    walked.ok().and(found)
}

/// What a scan is told of its plan, once, by [`with_new_state`].
///
/// [`with_new_state`]: datafusion::physical_plan::ExecutionPlan::with_new_state
#[derive(Debug)]
pub struct ToldOfPlan {
    /// The filters, by id, that it may wait for: they become final whether or not it runs.
    pub awaited: HashSet<u64>,
    /// What all scans of the plan share.
    pub shared: Arc<PlanShared>,
}

/// Things that the scans of one plan have together, one for each name.
#[derive(Debug, Default)]
pub struct PlanShared(Mutex<BTreeMap<String, Arc<dyn Any + Send + Sync>>>);

impl PlanShared {
    /// The thing of that name, made by the first who asks; another one for each who asks for another type.
    pub fn of<T: Any + Send + Sync + Default>(&self, name: &str) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(T::default()) as Arc<dyn Any + Send + Sync>);
        Arc::clone(known).downcast().unwrap_or_default()
    }
}

/// The account of the query that a remote scan runs for.
#[derive(Debug, Clone)]
pub struct RemoteScope(Arc<ScanContext>);

impl RemoteScope {
    /// Of the query that a task belongs to.
    ///
    /// # Errors
    /// A task of another engine, whose reads nobody would count.
    pub fn of(task: &TaskContext) -> Result<Self, Fault> {
        let scan = task.session_config().get_extension::<ScanContext>();
        scan.map(Self).ok_or_else(|| {
            Fault::new(
                Code::NotSupported,
                "tables of other databases cannot be read outside of the engine's own queries",
            )
        })
    }

    /// Bytes that arrived. They count to the cap and the quotas as scanned ones do.
    ///
    /// # Errors
    /// The cap or a quota is passed: nothing more may be received.
    pub async fn received(&self, bytes: u64) -> Result<(), Fault> {
        self.0.meter.add(Counter::RemoteBytes, bytes);
        match self.0.budget.reserve(bytes).await {
            Ok(reservation) => {
                reservation.settle(bytes);
                Ok(())
            }
            Err(owlake_metering::Refused::Cap(exceeded)) => Err(Fault::from(exceeded).with_hint(format!(
                "Filter the remote table, or ask the owner of \"{}\".",
                self.0.workgroup
            ))),
            Err(owlake_metering::Refused::Quota(error)) => Err(error.into()),
        }
    }

    /// Rows that arrived.
    pub fn rows(&self, rows: u64) {
        self.0.meter.add(Counter::RemoteRows, rows);
    }

    /// A remote statement has ended: the receipt and the ledger say so.
    pub fn asked(&self, mut asked: RemoteQuery) {
        let sent = &asked.remote_query;
        self.0.notice(format!(
            "catalog `{}` sent {} rows, {} bytes in {} ms for: {}",
            asked.catalog,
            asked.remote_rows,
            asked.remote_bytes,
            asked.elapsed_ms,
            beginning(sent, QUOTED_CHARS)
        ));
        asked.remote_query = beginning(sent, KEPT_CHARS).into_owned();
        self.0.remote_query(asked);
    }
}

/// The first `chars` of a statement, marked where they are not all.
fn beginning(statement: &str, chars: usize) -> Cow<'_, str> {
    match statement.char_indices().nth(chars) {
        Some((end, _)) => format!("{} ...", &statement[..end]).into(),
        None => statement.into(),
    }
}
