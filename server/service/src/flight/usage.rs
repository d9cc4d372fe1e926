//! `owlake.v1.UsageService`: what a statement would cost, what queries did cost. The same answers go out as Flight
//! actions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use owlake_engine::{Estimate, EstimateRow};
use owlake_fault::{Code, Fault};
use owlake_metering::{LedgerFilter, QueryRecord, QueryState};
use owlake_proto::v1;
use owlake_proto::v1::usage_service_server::UsageService;
use tonic::{Request, Response, Status};

use crate::flight::FlightSql;
use crate::flight::receipt;
use crate::flight::sessions::Caller;
use crate::flight::state::to_status;
use crate::flight::stream::failure_status;

/// Queries on a page where the request does not say.
const PAGE: usize = 100;
/// Most queries on a page.
const MAX_PAGE: usize = 1_000;

/// What tonic serves. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct UsageFront(pub(crate) Arc<FlightSql>);

#[tonic::async_trait]
impl UsageService for UsageFront {
    async fn estimate(
        &self,
        request: Request<v1::EstimateRequest>,
    ) -> Result<Response<v1::EstimateResponse>, Status> {
        let caller = self.0.call(&request)?;
        Ok(Response::new(
            estimate(&self.0, &caller, request.into_inner()).await?,
        ))
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let caller = self.0.call(&request)?;
        Ok(Response::new(
            receipt(&self.0, &caller, request.into_inner()).await?,
        ))
    }

    async fn list_queries(
        &self,
        request: Request<v1::ListQueriesRequest>,
    ) -> Result<Response<v1::ListQueriesResponse>, Status> {
        let caller = self.0.call(&request)?;
        Ok(Response::new(
            queries(&self.0, &caller, request.into_inner()).await?,
        ))
    }
}

/// Estimates a statement for `caller`.
pub(crate) async fn estimate(
    service: &FlightSql,
    caller: &Caller,
    request: v1::EstimateRequest,
) -> Result<v1::EstimateResponse, Status> {
    let context = caller.context(service.engine.now());
    let estimate = service.engine.estimate(context, &request.query).await;
    Ok(estimate_to_proto(&estimate.map_err(|f| failure_status(&f))?))
}

/// The receipt of a query that has ended and that `caller` may see.
pub(crate) async fn receipt(
    service: &FlightSql,
    caller: &Caller,
    request: v1::GetReceiptRequest,
) -> Result<v1::GetReceiptResponse, Status> {
    let context = caller.context(service.engine.now());
    let record = service.engine.ended_query(&context, &request.query_id).await;
    let record = record.map_err(|f| to_status(&f))?;
    Ok(v1::GetReceiptResponse {
        receipt: Some(receipt::to_proto(&record.receipt)),
    })
}

/// A page of the queries that `caller` may see.
pub(crate) async fn queries(
    service: &FlightSql,
    caller: &Caller,
    request: v1::ListQueriesRequest,
) -> Result<v1::ListQueriesResponse, Status> {
    let context = caller.context(service.engine.now());
    let filter = filter(&request).map_err(|f| to_status(&f))?;
    let limit = filter.limit;
    let found = service.engine.past_queries(&context, filter).await;
    let found = found.map_err(|f| to_status(&f))?;
    let next_page_token = match found.last() {
        Some(last) if found.len() == limit => page_token(last),
        _ => String::new(),
    };
    Ok(v1::ListQueriesResponse {
        queries: found.iter().map(entry).collect(),
        next_page_token,
    })
}

fn bad(what: &str) -> Fault {
    Fault::new(
        Code::InvalidArguments,
        format!("{what} of the request cannot be used"),
    )
}

fn filter(request: &v1::ListQueriesRequest) -> Result<LedgerFilter, Fault> {
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let time = |t: Option<prost_types::Timestamp>, what| {
        t.map(|t| {
            let nanos = u32::try_from(t.nanos).map_err(|e| bad(what).with_source(e))?;
            DateTime::from_timestamp(t.seconds, nanos).ok_or_else(|| bad(what))
        })
        .transpose()
    };
    Ok(LedgerFilter {
        query_id: None,
        since: time(request.submitted_since, "submitted_since")?,
        until: time(request.submitted_until, "submitted_until")?,
        state: match request.state() {
            v1::QueryState::Unspecified => None,
            v1::QueryState::Queued => Some(QueryState::Queued),
            v1::QueryState::Running => Some(QueryState::Running),
            v1::QueryState::Succeeded => Some(QueryState::Succeeded),
            v1::QueryState::Failed => Some(QueryState::Failed),
            v1::QueryState::Cancelled => Some(QueryState::Cancelled),
        },
        principal: given(&request.principal),
        workgroup: given(&request.workgroup),
        after: given(&request.page_token).map(|t| after(&t)).transpose()?,
        limit: match request.page_size as usize {
            0 => PAGE,
            size => size.min(MAX_PAGE),
        },
    })
}

/// `<microseconds since 1970>.<query id>` of the last query of a page.
fn page_token(last: &QueryRecord) -> String {
    format!(
        "{}.{}",
        last.receipt.submitted_at.timestamp_micros(),
        last.receipt.query_id
    )
}

fn after(token: &str) -> Result<(DateTime<Utc>, String), Fault> {
    let parsed = token.split_once('.').and_then(|(micros, id)| {
        let time = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some((time, id.to_owned()))
    });
    parsed.ok_or_else(|| bad("page_token"))
}

fn entry(record: &QueryRecord) -> v1::QueryEntry {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    v1::QueryEntry {
        receipt: Some(receipt::to_proto(&record.receipt)),
        query: record.query.clone(),
        query_hash: record.query_hash.clone(),
        principal: record.principal.clone(),
        source: text(&record.source),
        tags: record.tags.clone().into_iter().collect(),
        catalog: record.catalog.clone(),
        database: record.database.clone(),
        started_at: record.started_at.map(receipt::timestamp),
        finished_at: record.finished_at.map(receipt::timestamp),
        trace_id: text(&record.trace_id),
    }
}

fn estimate_to_proto(estimate: &Estimate) -> v1::EstimateResponse {
    v1::EstimateResponse {
        tables: estimate.tables.iter().map(table).collect(),
        total: Some(table(&estimate.total)),
        price_plan: estimate.price_plan.clone(),
        receipt: estimate.receipt.as_ref().map(receipt::to_proto),
    }
}

fn table(row: &EstimateRow) -> v1::TableEstimate {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    v1::TableEstimate {
        catalog: text(&row.catalog),
        database: text(&row.database),
        table_name: text(&row.table_name),
        partitions_total: row.partitions_total,
        partitions_read: row.partitions_read,
        files_total: row.files_total,
        files_read: row.files_read,
        row_groups_total: row.row_groups_total,
        row_groups_read: row.row_groups_read,
        data_scanned_bytes_min: row.data_scanned_bytes_min,
        data_scanned_bytes_max: row.data_scanned_bytes_max,
        metadata_bytes: row.metadata_bytes,
        requests_min: row.requests_min,
        requests_max: row.requests_max,
        cost_usd_max: row.cost_usd_max.to_string(),
        athena_cost_usd_max: row.athena_cost_usd_max.to_string(),
        confidence: match row.confidence {
            "exact" => v1::Confidence::Exact,
            "upper-bound" => v1::Confidence::UpperBound,
            _ => v1::Confidence::Heuristic,
        }
        .into(),
        reason: row.reason.clone(),
    }
}
