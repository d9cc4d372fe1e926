//! EXPLAIN and EXPLAIN ANALYZE: plans as text, a line a row; EXPLAIN (TYPE COST) as a table.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use owlake_dialect::{ExplainFormat, ExplainKind, shown_text};
use owlake_fault::{Code, Fault};
use owlake_scan::FooterBudget;

use crate::connector::remote_catalog;
use crate::error::fault_from;
use crate::query::estimate::{Estimate, FULL};
use crate::query::physical::Purpose;
use crate::query::pushdown::{Rules, loses_names, optimize};
use crate::query::repeats::Wanted;
use crate::query::run::{Attempt, RunningQuery, Source, ended};
use crate::runtime::caught;

/// Requests that EXPLAIN ANALYZE names.
const SLOWEST: usize = 5;

impl RunningQuery {
    pub(super) async fn explain(
        &mut self,
        plan: LogicalPlan,
        state: Box<SessionState>,
        analyze: bool,
        kind: ExplainKind,
        format: Option<ExplainFormat>,
    ) -> Result<(), Fault> {
        if kind == ExplainKind::Validate {
            let column: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
            return self.answer(column);
        }
        if kind == ExplainKind::Logical && !analyze {
            let resolver = Arc::clone(&self.shared.resolver);
            let current = self.context.settings.catalog.clone();
            let work = async move {
                let optimized = optimize(&state, &plan, &resolver, &current, Rules::All)
                    .or_else(|error| match loses_names(&error) {
                        true => optimize(&state, &plan, &resolver, &current, Rules::WithoutFieldsFirst),
                        false => Err(error),
                    })
                    .map_err(fault_from)?;
                Ok(optimized.display_indent().to_string())
            };
            let text = self.guarded(self.shared.runtimes.plan(caught(work))).await?;
            return self.answer(lines(&text));
        }
        if kind == ExplainKind::Cost
            && let Some(catalog) =
                remote_catalog(&plan, &self.shared.resolver, &self.context.settings.catalog)
        {
            let what = format!("what tables of catalog `{catalog}` send is not known before they are read");
            return Err(Fault::new(Code::NotSupported, what)
                .with_hint("EXPLAIN ANALYZE runs the query and tells it."));
        }
        self.enter().await?;
        if kind == ExplainKind::Cost {
            let (files, time) = (
                self.shared.config.estimate_files,
                self.shared.config.estimate_time,
            );
            let scan = Arc::clone(self.scan()?);
            // Nothing was planned yet, so nobody has set it.
            let _first = scan.estimating.set(FooterBudget { files, time });
        }
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
            wanted: Wanted::default(),
        });
        if kind == ExplainKind::Cost {
            return self.explain_cost(format).await;
        }
        if !analyze {
            let physical = self.physical_plan(Purpose::Look).await?;
            let text = DisplayableExecutionPlan::new(physical.as_ref())
                .indent(false)
                .to_string();
            return self.answer(lines(&text));
        }
        let most = self.shared.config.max_logged_requests;
        if let Some(requests) = self.open()?.account.requests() {
            requests.keep(most);
        }
        let attempt = self.run_unseen().await?;
        let advice = owlake_scan::advise(&attempt.plan, self.scan()?);
        let mut text = super::advice::bill(&self.open()?.account.so_far());
        text.push_str(&super::advice::tables(&advice));
        if let Some(requests) = self.open()?.account.requests() {
            text.push_str(&super::advice::slowest(&requests.slowest(SLOWEST)));
        }
        text.push_str(
            &DisplayableExecutionPlan::with_metrics(attempt.plan.as_ref())
                .indent(false)
                .to_string(),
        );
        self.answer(lines(&text))
    }

    async fn explain_cost(&mut self, format: Option<ExplainFormat>) -> Result<(), Fault> {
        let plan = self.physical_plan(Purpose::Look).await?;
        let scan = Arc::clone(self.scan()?);
        let task = self.open()?.source.as_ref().ok_or_else(ended)?.state.task_ctx();
        let work = async move {
            owlake_scan::estimate(&plan, &scan, &task, FULL)
                .await
                .map_err(fault_from)
        };
        let scans = self.guarded(self.shared.runtimes.plan(caught(work))).await?;
        let (price, billing) = self.open()?.account.prices();
        let estimate = Estimate::new(&scans, price, billing);
        self.give(estimate, format)
    }

    /// Answers a statement that reads nothing with its estimate, instead of running it.
    pub(super) fn unread(&mut self) -> Result<(), Fault> {
        let (price, billing) = self.open()?.account.prices();
        let estimate = Estimate::of_command(price, billing);
        self.give(estimate, None)
    }

    fn give(&mut self, estimate: Estimate, format: Option<ExplainFormat>) -> Result<(), Fault> {
        if format == Some(ExplainFormat::Json) {
            let json: ArrayRef = Arc::new(StringArray::from(vec![estimate.json()?]));
            self.answer(json)?;
        } else {
            let batch = estimate.batch()?;
            self.open()?.ready.push_back(batch);
        }
        self.estimate = Some(estimate);
        Ok(())
    }

    /// Runs the plan to its proved end; its rows go nowhere.
    async fn run_unseen(&mut self) -> Result<Attempt, Fault> {
        self.start_attempt().await?;
        loop {
            match self.pull().await {
                Ok(Some(_)) => {}
                Ok(None) if !self.open()?.proved => self.prove().await?,
                Ok(None) => return self.open()?.attempt.take().ok_or_else(ended),
                Err(fault) if self.may_replan(&fault) => self.replan().await?,
                Err(_) if self.may_narrow() => self.replan().await?,
                Err(fault) => return Err(fault),
            }
        }
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
