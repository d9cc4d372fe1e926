//! EXPLAIN and EXPLAIN ANALYZE: plans as text, a line a row.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use owlake_dialect::{ExplainKind, shown_text};
use owlake_fault::{Code, Fault};

use crate::error::fault_from;
use crate::query::run::{RunningQuery, Source, ended};
use crate::runtime::caught;

impl RunningQuery {
    pub(super) async fn explain(
        &mut self,
        plan: LogicalPlan,
        state: Box<SessionState>,
        analyze: bool,
        kind: ExplainKind,
    ) -> Result<(), Fault> {
        if kind == ExplainKind::Validate {
            let column: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
            return self.answer(column);
        }
        if kind == ExplainKind::Logical && !analyze {
            let work = async move {
                let optimized = state.optimize(&plan).map_err(fault_from)?;
                Ok(optimized.display_indent().to_string())
            };
            let text = self.guarded(self.shared.runtimes.plan(caught(work))).await?;
            return self.answer(lines(&text));
        }
        self.enter().await?;
        let result_schema = crate::wire::wire_schema(
            state
                .analyzer()
                .execute_and_check(plan.clone(), state.config_options(), |_, _| {})
                .map_err(fault_from)?
                .schema()
                .as_arrow(),
        );
        self.open()?.source = Some(Source {
            plan,
            state,
            schema: result_schema,
        });
        if !analyze {
            let physical = self.physical_plan().await?;
            let text = DisplayableExecutionPlan::new(physical.as_ref())
                .indent(false)
                .to_string();
            return self.answer(lines(&text));
        }
        self.attempt().await?;
        while self.pull().await?.is_some() {}
        let Some(attempt) = self.open()?.attempt.take() else {
            return Err(ended());
        };
        let text = DisplayableExecutionPlan::with_metrics(attempt.plan.as_ref())
            .indent(false)
            .to_string();
        self.answer(lines(&text))
    }

    fn answer(&mut self, column: ArrayRef) -> Result<(), Fault> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![column])
            .map_err(|e| Fault::new(Code::GenericInternalError, "internal error").with_source(e))?;
        self.open()?.ready.push_back(batch);
        Ok(())
    }
}

fn lines(text: &str) -> ArrayRef {
    let text = shown_text(text);
    Arc::new(text.lines().map(Some).collect::<StringArray>())
}
