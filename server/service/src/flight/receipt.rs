//! The receipt as it travels: `owlake.v1.QueryReceipt`, plain for trailers, inside `Any` for app_metadata.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use owlake_metering::{QueryState, Receipt, StatementType};
use owlake_proto::v1;
use prost::Message;

use crate::flight::status::RECEIPT_TRAILER_MAX_BYTES;

pub(crate) fn timestamp(t: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: t.timestamp(),
        nanos: i32::try_from(t.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

fn duration(d: std::time::Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(d).ok()
}

/// The protobuf form of a receipt.
pub(crate) fn to_proto(receipt: &Receipt) -> v1::QueryReceipt {
    let c = &receipt.counters;
    v1::QueryReceipt {
        query_id: receipt.query_id.clone(),
        state: match receipt.state {
            QueryState::Queued => v1::QueryState::Queued,
            QueryState::Running => v1::QueryState::Running,
            QueryState::Succeeded => v1::QueryState::Succeeded,
            QueryState::Failed => v1::QueryState::Failed,
            QueryState::Cancelled => v1::QueryState::Cancelled,
        }
        .into(),
        statement_type: match receipt.statement_type {
            StatementType::Ddl => v1::StatementType::Ddl,
            StatementType::Dml => v1::StatementType::Dml,
            StatementType::Utility => v1::StatementType::Utility,
        }
        .into(),
        counters: Some(v1::Counters {
            data_scanned_bytes: c.data_scanned_bytes,
            metadata_bytes: c.metadata_bytes,
            cached_bytes: c.cached_bytes,
            requested_bytes: c.requested_bytes,
            transferred_bytes: c.transferred_bytes,
            get_requests: c.get_requests,
            head_requests: c.head_requests,
            list_requests: c.list_requests,
            put_requests: c.put_requests,
            retried_requests: c.retried_requests,
            aborted_requests: c.aborted_requests,
            aborted_bytes_max: c.aborted_bytes_max,
            unanswered_requests: c.unanswered_requests,
            remote_rows: c.remote_rows,
            remote_bytes: c.remote_bytes,
        }),
        billed_bytes: receipt.billed_bytes,
        cost_usd: receipt.cost_usd.to_string(),
        athena_cost_usd: receipt.athena_cost_usd.to_string(),
        price_plan: receipt.price_plan.clone(),
        timing_dependent: receipt.timing_dependent,
        rows_returned: receipt.rows_returned,
        bytes_returned: receipt.bytes_returned,
        submitted_at: Some(timestamp(receipt.submitted_at)),
        queue_time: duration(receipt.queue_time),
        planning_time: duration(receipt.planning_time),
        execution_time: duration(receipt.execution_time),
        total_time: duration(receipt.total_time),
        scans: receipt.scans.iter().map(scan).collect(),
        remote_queries: receipt.remote_queries.iter().map(remote_query).collect(),
        notices: receipt.notices.clone(),
        error_code: receipt.error_code.clone().unwrap_or_default(),
        error_message: receipt.error_message.clone().unwrap_or_default(),
        workgroup: receipt.workgroup.clone(),
        max_data_scanned_bytes: receipt.max_data_scanned_bytes.unwrap_or_default(),
        estimate_min_bytes: receipt.estimate_min_bytes,
        estimate_max_bytes: receipt.estimate_max_bytes,
        estimate_confidence: receipt.estimate_confidence.clone().unwrap_or_default(),
        peak_memory_bytes: receipt.peak_memory_bytes,
        spilled_bytes: receipt.spilled_bytes,
        server_version: receipt.server_version.clone(),
        reused_query_id: receipt.reused_query_id.clone().unwrap_or_default(),
    }
}

fn scan(scan: &owlake_metering::TableScan) -> v1::TableScan {
    v1::TableScan {
        catalog: scan.catalog.clone(),
        database: scan.database.clone(),
        table_name: scan.table_name.clone(),
        partitions_total: scan.partitions_total.unwrap_or_default(),
        partitions_read: scan.partitions_read,
        files_total: scan.files_total,
        files_read: scan.files_read,
        row_groups_total: scan.row_groups_total,
        row_groups_read: scan.row_groups_read,
        data_scanned_bytes: scan.data_scanned_bytes,
        metadata_bytes: scan.metadata_bytes,
    }
}

fn remote_query(remote: &owlake_metering::RemoteQuery) -> v1::RemoteQuery {
    v1::RemoteQuery {
        catalog: remote.catalog.clone(),
        remote_query: remote.remote_query.clone(),
        remote_rows: remote.remote_rows,
        remote_bytes: remote.remote_bytes,
        elapsed_time: duration(std::time::Duration::from_millis(remote.elapsed_ms)),
    }
}

/// Encoded receipt for the `owlake-receipt-bin` trailer; lists of scans and remote queries are left out where they
/// would not fit.
pub(crate) fn trailer_bytes(receipt: &Receipt) -> Vec<u8> {
    let mut message = to_proto(receipt);
    if message.encoded_len() > RECEIPT_TRAILER_MAX_BYTES {
        message.scans.clear();
        message.remote_queries.clear();
    }
    message.encode_to_vec()
}

/// Encoded `google.protobuf.Any` for the app_metadata of the last message.
pub(crate) fn app_metadata(receipt: &Receipt) -> Bytes {
    let any = prost_types::Any {
        type_url: v1::QUERY_RECEIPT_TYPE_URL.to_owned(),
        value: to_proto(receipt).encode_to_vec(),
    };
    Bytes::from(any.encode_to_vec())
}
