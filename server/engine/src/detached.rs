//! A table of the lake for a DataFusion session that is not the engine's.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use owlake_fault::{Code, Fault};
use owlake_scan::GlueTable;

use crate::authorizer::Action;
use crate::context::QueryContext;
use crate::engine::Engine;

impl Engine {
    /// A table for another DataFusion session: its scans are of no query here and count on the system account.
    pub async fn detached_table(
        &self,
        context: QueryContext,
        catalog: &str,
        database: &str,
        table: &str,
    ) -> Result<Arc<dyn TableProvider>, Fault> {
        if self.shared.resolver.connector(catalog).is_some() {
            return Err(Fault::new(
                Code::NotSupported,
                format!(
                    "catalog `{catalog}` is another database: its tables are for the engine's own queries"
                ),
            ));
        }
        let row = self
            .shared
            .resolver
            .table_row(&context, Action::Read, catalog, database, table)
            .await?;
        let store = self.shared.resolver.catalog(catalog)?;
        let meter = self.shared.meters.system(&context.id);
        let quotas = self.shared.quotas.grant(
            &context.settings.workgroup,
            context.principal.to_string(),
            &self.shared.accounting.price,
            None,
        );
        let scan = self.shared.scan_context(&context, &meter, None, None, quotas);
        let clock = self.shared.accounting.clock;
        Ok(Arc::new(
            GlueTable::try_new(catalog, row, store)?.detached(scan, clock),
        ))
    }
}
