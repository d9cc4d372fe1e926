//! Actions beyond Flight SQL's own: session options, close, cancel, changed locations.

use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus};
use owlake_engine::{SETTINGS, SessionSettings};
use owlake_fault::{Code, Fault};
use owlake_proto::v1::{InvalidateLocationRequest, InvalidateLocationResult};
use prost::Message;
use tonic::Request;

use crate::flight::FlightSql;
use crate::flight::session_messages::{
    CloseSessionResult, CloseStatus, ErrorValue, GetSessionOptionsResult, OptionError, SessionOptionValue,
    SetSessionOptionsRequest, SetSessionOptionsResult,
};

/// For hooks on a bucket's events.
const INVALIDATE_LOCATION: &str = "owlake.v1.InvalidateLocation";

/// Names of the actions handled here, for ListActions.
pub(crate) const ACTIONS: [(&str, &str); 5] = [
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
];

fn malformed(error: prost::DecodeError) -> Fault {
    Fault::new(Code::InvalidArguments, "the action's body is malformed").with_source(error)
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
            let asked = InvalidateLocationRequest::decode(body.as_ref()).map_err(malformed)?;
            let context = caller.context(service.engine.now());
            service.engine.invalidate_location(&context, &asked.location)?;
            Ok(InvalidateLocationResult {}.encode_to_vec())
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
