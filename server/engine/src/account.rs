//! Opens a query's account: its limits, meter, budget, stores and ledger row.

use std::sync::Arc;

use owlake_fault::Fault;
use owlake_metering::{
    Budget, Meter, QueryRecord, QueryState, QuotaGrant, Receipt, RequestLog, StatementType,
};
use owlake_scan::{QueryStores, ScanContext};

use crate::context::QueryContext;
use crate::engine::Shared;
use crate::memory::QueryMemoryPool;
use crate::query::QueryAccount;

impl Shared {
    /// What the scans of a query work with, counting on `meter` under `cap`.
    pub(crate) fn scan_context(
        &self,
        context: &QueryContext,
        meter: &Arc<Meter>,
        cap: Option<u64>,
        requests: Option<Arc<RequestLog>>,
        quotas: Option<Arc<QuotaGrant>>,
    ) -> Arc<ScanContext> {
        let stores = QueryStores::new(Arc::clone(&self.stores), Arc::clone(meter), context.id.clone())
            .with_request_log(requests)
            .with_quotas(quotas.clone())
            .with_times(self.scan_config.small_file_bytes());
        Arc::new(ScanContext::new(
            Arc::clone(meter),
            Budget::of_query(cap, quotas),
            context.settings.workgroup.clone(),
            context.now,
            Arc::new(stores),
            Arc::clone(&self.caches),
            Arc::clone(&self.scan_config),
            Arc::clone(&self.in_flight),
        ))
    }

    /// Opens a query's account: meter, budget, stores, ledger row.
    pub(crate) async fn open_account(
        &self,
        context: &Arc<QueryContext>,
        sql: &str,
    ) -> Result<QueryAccount, Fault> {
        let workgroup = self.workgroup_of(context, sql)?;
        let cap = self.cap(context, &workgroup);
        let quotas = self.quotas.grant(
            &workgroup.name,
            context.principal.to_string(),
            &self.accounting.price,
            [self.config.max_cost_usd, context.settings.max_cost_usd]
                .into_iter()
                .flatten()
                .min(),
        );
        let meter = self.meters.query(&context.id);
        let logs_requests = context.settings.log_object_requests;
        let requests = RequestLog::new(match logs_requests {
            true => self.config.max_logged_requests,
            false => 0,
        });
        let scan = self.scan_context(context, &meter, cap, Some(Arc::clone(&requests)), quotas.clone());
        let memory = QueryMemoryPool::new(Arc::clone(&self.memory), self.config.query_memory_bytes);
        let memory = Arc::new(memory.under(Arc::clone(&self.watch.pressure)));
        self.watch.add(&memory, context.cancel.clone());
        let mut receipt = Receipt::new(&context.id, StatementType::Utility, context.now);
        receipt.state = QueryState::Running;
        receipt.workgroup.clone_from(&workgroup.name);
        receipt.max_data_scanned_bytes = cap;
        let mut record = QueryRecord::new(receipt, owlake_dialect::masked(sql));
        record.principal = context.principal.to_string();
        record.source.clone_from(&context.settings.source);
        record.tags.clone_from(&context.settings.tags);
        record.catalog.clone_from(&context.settings.catalog);
        record.database.clone_from(&context.settings.database);
        record.trace_id.clone_from(&context.trace_id);
        let account = QueryAccount::open(
            Arc::clone(&self.accounting),
            record,
            meter,
            scan,
            memory,
            workgroup,
        )
        .await?;
        Ok(account
            .with_request_log(requests, logs_requests)
            .with_quotas(quotas))
    }
}
