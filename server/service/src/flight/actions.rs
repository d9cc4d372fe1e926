//! Actions beyond Flight SQL's own: session options, close, cancel, changed locations; and those of `UsageService`, for
//! clients without a stub of it.

use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus};
use owlake_engine::{SETTINGS, SessionSettings};
use owlake_fault::{Code, Fault};
use owlake_proto::v1;
use prost::Message;
use tonic::{Request, Status};

use crate::flight::FlightSql;
use crate::flight::session_messages::{
    CloseSessionResult, CloseStatus, ErrorValue, GetSessionOptionsResult, OptionError, SessionOptionValue,
    SetSessionOptionsRequest, SetSessionOptionsResult,
};
use crate::flight::state::to_status;
use crate::flight::usage;

/// For hooks on a bucket's events.
const INVALIDATE_LOCATION: &str = "owlake.v1.InvalidateLocation";

/// Names of the actions handled here, for ListActions.
pub(crate) const ACTIONS: [(&str, &str); 8] = [
    (
        "SetSessionOptions",
        "Sets session options: catalog, schema, workgroup, tags, ...",
    ),
    ("GetSessionOptions", "Returns the session options"),
    (
        "CloseSession",
        "Ends the session: its settings, prepared statements and tickets",
    ),
    (
        "CancelFlightInfo",
        "Cancels a query that was announced and not yet fetched",
    ),
    (
        INVALIDATE_LOCATION,
        "Says that a directory or an object changed: cached listings that may name it are not used any more",
    ),
    (
        ESTIMATE,
        "What a statement would read and cost, without running it: owlake.v1.EstimateRequest to EstimateResponse",
    ),
    (
        GET_RECEIPT,
        "The receipt of a query that has ended: owlake.v1.GetReceiptRequest to GetReceiptResponse",
    ),
    (
        LIST_QUERIES,
        "Queries, newest first: owlake.v1.ListQueriesRequest to ListQueriesResponse",
    ),
];

const ESTIMATE: &str = "owlake.v1.Estimate";
const GET_RECEIPT: &str = "owlake.v1.GetReceipt";
const LIST_QUERIES: &str = "owlake.v1.ListQueries";

fn malformed(error: prost::DecodeError) -> Fault {
    Fault::new(Code::InvalidArguments, "the action's body is malformed").with_source(error)
}

/// Runs an action of `UsageService` that a client calls without a stub; `None` where it is another action.
pub(crate) async fn usage(service: &FlightSql, request: &Request<Action>) -> Option<Result<Vec<u8>, Status>> {
    let action = request.get_ref();
    if ![ESTIMATE, GET_RECEIPT, LIST_QUERIES].contains(&action.r#type.as_str()) {
        return None;
    }
    Some(answer_usage(service, request).await)
}

async fn answer_usage(service: &FlightSql, request: &Request<Action>) -> Result<Vec<u8>, Status> {
    let caller = service.call(request)?;
    let action = request.get_ref();
    let body = action.body.as_ref();
    let bad = |e| to_status(&malformed(e));
    Ok(match action.r#type.as_str() {
        ESTIMATE => usage::estimate(service, &caller, v1::EstimateRequest::decode(body).map_err(bad)?)
            .await?
            .encode_to_vec(),
        GET_RECEIPT => usage::receipt(
            service,
            &caller,
            v1::GetReceiptRequest::decode(body).map_err(bad)?,
        )
        .await?
        .encode_to_vec(),
        _ => usage::queries(
            service,
            &caller,
            v1::ListQueriesRequest::decode(body).map_err(bad)?,
        )
        .await?
        .encode_to_vec(),
    })
}

/// Runs an action; the answer is its encoded result.
pub(crate) fn run(service: &FlightSql, request: &Request<Action>) -> Result<Vec<u8>, Fault> {
    let caller = service.caller(request)?;
    let body = &request.get_ref().body;
    match request.get_ref().r#type.as_str() {
        "SetSessionOptions" => {
            let asked = SetSessionOptionsRequest::decode(body.as_ref()).map_err(malformed)?;
            let mut settings = service.sessions.stored(request.metadata(), request.extensions());
            let result = set_options(&mut settings, &asked);
            service
                .sessions
                .store(request.metadata(), request.extensions(), settings);
            Ok(result.encode_to_vec())
        }
        "GetSessionOptions" => Ok(get_options(&caller.settings).encode_to_vec()),
        "CloseSession" => {
            service.close_session(&caller.session);
            service.sessions.close(request.metadata(), request.extensions());
            Ok(CloseSessionResult {
                status: CloseStatus::Closed.into(),
            }
            .encode_to_vec())
        }
        "CancelFlightInfo" => {
            let asked = CancelFlightInfoRequest::decode(body.as_ref()).map_err(malformed)?;
            let cancelled = service.cancel(&caller, &asked.info.unwrap_or_default());
            let status = if cancelled {
                CancelStatus::Cancelled
            } else {
                CancelStatus::NotCancellable
            };
            Ok(CancelFlightInfoResult {
                status: status.into(),
            }
            .encode_to_vec())
        }
        INVALIDATE_LOCATION => {
            let asked = v1::InvalidateLocationRequest::decode(body.as_ref()).map_err(malformed)?;
            let context = caller.context(service.engine.now());
            service.engine.invalidate_location(&context, &asked.location)?;
            Ok(v1::InvalidateLocationResult {}.encode_to_vec())
        }
        other => Err(Fault::new(
            Code::Unimplemented,
            format!("action `{other}` is not offered"),
        )),
    }
}

/// Sets what can be set; every bad option gets its own error, the others take effect.
fn set_options(settings: &mut SessionSettings, asked: &SetSessionOptionsRequest) -> SetSessionOptionsResult {
    let mut result = SetSessionOptionsResult::default();
    for (name, value) in &asked.session_options {
        if let Err(_fault) = settings.set_text(name, &value.to_text()) {
            let known = name == "schema" || SETTINGS.iter().any(|s| s.name == name);
            let value = if known {
                ErrorValue::InvalidValue
            } else {
                ErrorValue::InvalidName
            };
            result
                .errors
                .insert(name.clone(), OptionError { value: value.into() });
        }
    }
    result
}

fn get_options(settings: &SessionSettings) -> GetSessionOptionsResult {
    let mut result = GetSessionOptionsResult::default();
    for setting in SETTINGS {
        if let Some(value) = settings.get(setting.name).filter(|v| !v.is_empty()) {
            result
                .session_options
                .insert(setting.name.to_owned(), SessionOptionValue::text(value));
        }
    }
    // Drivers ask for the word of the protocol.
    result
        .session_options
        .insert("schema".to_owned(), SessionOptionValue::text(&settings.database));
    result
}
