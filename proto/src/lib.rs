//! Owlake's own protobuf messages: the query receipt, the usage service, bodies of actions. Flight SQL's messages come
//! from `arrow-flight`.

/// Package `owlake.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("owlake.v1");

    /// Type URL of [`QueryReceipt`] inside `google.protobuf.Any`.
    pub const QUERY_RECEIPT_TYPE_URL: &str = "type.googleapis.com/owlake.v1.QueryReceipt";
}
