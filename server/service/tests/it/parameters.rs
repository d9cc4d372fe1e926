//! Bound parameters: what fits is cast, what does not is refused by one name each, and nothing is rounded in silence.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, StringDictionaryBuilder,
};
use arrow::datatypes::Int32Type;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, CommandPreparedStatementUpdate, ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor};
use bytes::Bytes;
use futures::TryStreamExt;
use owlake_client::ClientError;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::bad_input::assert_failure;
use crate::harness::{TestServer, integers, numbers};

const ONE: &str = "SELECT count(*) FROM t WHERE n < ?";
const TWO: &str = "SELECT count(*) FROM t WHERE n < ? AND n > ?";

async fn start() -> TestServer {
    let server = TestServer::start().await;
    server.put("t/part-0.parquet", &numbers(0..100));
    server.table_of_numbers("t").await;
    server
}

fn row(columns: Vec<ArrayRef>) -> RecordBatch {
    let names = (1..).map(|n: usize| n.to_string());
    RecordBatch::try_from_iter(names.zip(columns)).unwrap()
}

fn int(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn double(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

async fn bound(
    server: &TestServer,
    sql: &str,
    binding: &RecordBatch,
) -> Result<Vec<RecordBatch>, ClientError> {
    let mut prepared = server.client.prepare(sql).await?;
    prepared.bind(binding).await?;
    let batches = prepared.query().await?.try_collect().await?;
    prepared.close().await?;
    Ok(batches)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_fit_are_cast_whatever_type_a_driver_chose() {
    let server = start().await;
    let mut dictionary = StringDictionaryBuilder::<Int32Type>::new();
    dictionary.append_value("7");
    let fits: Vec<ArrayRef> = vec![
        int(7),
        Arc::new(Int32Array::from(vec![7])),
        double(7.0),
        text("7"),
        Arc::new(
            Decimal128Array::from(vec![700])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        Arc::new(dictionary.finish()),
    ];
    for value in fits {
        let kind = value.data_type().clone();
        let answer = bound(&server, ONE, &row(vec![value])).await;
        assert_eq!(
            integers(&answer.unwrap_or_else(|e| panic!("{kind}: {e}"))[0]),
            [7],
            "{kind}"
        );
    }
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    assert_eq!(
        integers(&bound(&server, ONE, &row(vec![null])).await.unwrap()[0]),
        [0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_wrong_type_are_refused_each_by_its_place() {
    let server = start().await;
    let binary: ArrayRef = Arc::new(BinaryArray::from(vec![&b"7"[..]]));
    let fraction: ArrayRef = Arc::new(
        Decimal128Array::from(vec![750])
            .with_precision_and_scale(10, 2)
            .unwrap(),
    );
    let first = [
        ("no number", text("many")),
        ("a fraction", double(7.5)),
        ("a decimal fraction", fraction),
        ("too large", double(1e30)),
        ("no finite number", double(f64::NAN)),
        ("bytes", binary),
    ];
    for (what, value) in first {
        let error = bound(&server, ONE, &row(vec![value])).await.expect_err(what);
        assert_failure(
            what,
            &error,
            "TYPE_MISMATCH",
            Code::InvalidArgument,
            "parameter 1",
        );
    }
    let second = row(vec![int(7), text("many")]);
    let error = bound(&server, TWO, &second).await.unwrap_err();
    assert_failure(
        "the second",
        &error,
        "TYPE_MISMATCH",
        Code::InvalidArgument,
        "parameter 2",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_number_of_values_is_refused_and_the_statement_stays_good() {
    let server = start().await;
    let two_rows: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
    let refused = |what, error: &ClientError, names| {
        assert_failure(
            what,
            error,
            "INVALID_PARAMETER_USAGE",
            Code::InvalidArgument,
            names,
        );
    };
    let cases = [
        ("too many", ONE, row(vec![int(7), int(8)]), "2 values"),
        ("too few", TWO, row(vec![int(7)]), "1 values"),
        (
            "not asked for",
            "SELECT count(*) FROM t",
            row(vec![int(7)]),
            "0 parameters",
        ),
        ("many rows", ONE, row(vec![two_rows]), "2 rows"),
    ];
    for (what, sql, binding, names) in cases {
        let error = bound(&server, sql, &binding).await.expect_err(what);
        refused(what, &error, names);
    }
    let unbound = server.client.prepare(ONE).await.unwrap();
    refused(
        "unbound",
        &unbound.query().await.expect_err("unbound"),
        "0 values",
    );
    let mut again = server.client.prepare(ONE).await.unwrap();
    again.bind(&row(vec![text("many")])).await.unwrap();
    assert!(again.query().await.is_err());
    again.bind(&row(vec![int(7)])).await.unwrap();
    let batches: Vec<_> = again.query().await.unwrap().try_collect().await.unwrap();
    assert_eq!(integers(&batches[0]), [7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boolean_is_no_number_and_a_closed_statement_takes_no_values() {
    let server = start().await;
    let sql = "SELECT count(*) FROM t WHERE (n < 5) = ?";
    let yes: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    assert_eq!(
        integers(&bound(&server, sql, &row(vec![yes])).await.unwrap()[0]),
        [5]
    );
    let mut flight = flight(&server).await;
    let closed = prepare(&mut flight, ONE).await;
    let body = ActionClosePreparedStatementRequest {
        prepared_statement_handle: closed.clone(),
    };
    action(
        &mut flight,
        "ClosePreparedStatement",
        body.as_any().encode_to_vec(),
    )
    .await;
    let error = update(&mut flight, &closed, None).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_takes_its_values_from_the_same_call_and_one_row_at_most() {
    let server = start().await;
    let mut flight = flight(&server).await;
    let drop = prepare(&mut flight, "DROP TABLE t").await;
    for values in [int(7), Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef] {
        let error = update(&mut flight, &drop, Some(row(vec![values])))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(
            error.message().starts_with("INVALID_PARAMETER_USAGE: "),
            "{error}"
        );
        assert_eq!(
            integers(&bound(&server, ONE, &row(vec![int(7)])).await.unwrap()[0]),
            [7]
        );
    }
    // Values that were refused are gone with their call.
    update(&mut flight, &drop, None).await.unwrap();
    let error = server.refused("SELECT count(*) FROM t").await;
    assert_failure("dropped", &error, "TABLE_NOT_FOUND", Code::InvalidArgument, "t");
    let noise = FlightData {
        data_header: vec![0xff; 64].into(),
        flight_descriptor: Some(FlightDescriptor::new_cmd(update_command(&drop))),
        ..FlightData::default()
    };
    let error = sent(&mut flight, vec![noise]).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(
        error.message().starts_with("INVALID_PARAMETER_USAGE: "),
        "{error}"
    );
}

async fn flight(server: &TestServer) -> FlightServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(server.url.replace("grpc://", "http://")).unwrap();
    FlightServiceClient::new(endpoint.connect().await.unwrap())
}

async fn action(flight: &mut FlightServiceClient<Channel>, name: &str, body: Vec<u8>) -> Option<Bytes> {
    let results = flight
        .do_action(Action::new(name, body))
        .await
        .unwrap()
        .into_inner();
    let results: Vec<arrow_flight::Result> = results.try_collect().await.unwrap();
    results.into_iter().next().map(|result| result.body)
}

/// The handle of a prepared statement.
async fn prepare(flight: &mut FlightServiceClient<Channel>, sql: &str) -> Bytes {
    let request = ActionCreatePreparedStatementRequest {
        query: sql.to_owned(),
        transaction_id: None,
    };
    let body = action(
        flight,
        "CreatePreparedStatement",
        request.as_any().encode_to_vec(),
    )
    .await;
    let created = Any::decode(body.unwrap()).unwrap();
    let created: ActionCreatePreparedStatementResult = created.unpack().unwrap().unwrap();
    created.prepared_statement_handle
}

fn update_command(handle: &Bytes) -> Vec<u8> {
    let command = CommandPreparedStatementUpdate {
        prepared_statement_handle: handle.clone(),
    };
    command.as_any().encode_to_vec()
}

/// Runs an update as drivers do: the command first, values after it if there are any.
async fn update(
    flight: &mut FlightServiceClient<Channel>,
    handle: &Bytes,
    values: Option<RecordBatch>,
) -> Result<(), Status> {
    let mut messages = vec![FlightData {
        flight_descriptor: Some(FlightDescriptor::new_cmd(update_command(handle))),
        ..FlightData::default()
    }];
    if let Some(values) = values {
        let encoder = FlightDataEncoderBuilder::new().build(futures::stream::iter([Ok(values)]));
        messages.extend(encoder.try_collect::<Vec<_>>().await.unwrap());
    }
    sent(flight, messages).await
}

async fn sent(flight: &mut FlightServiceClient<Channel>, messages: Vec<FlightData>) -> Result<(), Status> {
    let results = flight.do_put(futures::stream::iter(messages)).await?.into_inner();
    results.try_collect::<Vec<_>>().await.map(drop)
}
