//! `owlake.v1.UsageService` and its Flight actions: the same answers, and only what the caller may see.

use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use owlake::EngineConfig;
use owlake_proto::v1;
use owlake_proto::v1::usage_service_client::UsageServiceClient;
use prost::Message;
use tonic::transport::Channel;

use super::{estimate, lake};
use crate::harness::TestServer;

const SQL: &str = "SELECT sum(l_extendedprice) FROM lineitem_by_month WHERE year = 1995 AND month = 3";

async fn channel(server: &TestServer) -> Channel {
    let url = server.url.replace("grpc://", "http://");
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

async fn action<T: Message + Default>(server: &TestServer, name: &str, body: Vec<u8>) -> T {
    let mut client = FlightServiceClient::new(channel(server).await);
    let action = Action {
        r#type: name.to_owned(),
        body: body.into(),
    };
    let mut stream = client.do_action(action).await.unwrap().into_inner();
    T::decode(stream.message().await.unwrap().unwrap().body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_and_its_action_estimate_as_sql_does() {
    let server = lake(EngineConfig::default()).await;
    let (_, total, _) = estimate(&server, SQL).await;
    let request = v1::EstimateRequest {
        query: SQL.to_owned(),
    };
    let mut client = UsageServiceClient::new(channel(&server).await);
    let by_service = client.estimate(request.clone()).await.unwrap().into_inner();
    let by_action: v1::EstimateResponse =
        action(&server, "owlake.v1.Estimate", request.encode_to_vec()).await;
    for answer in [by_service, by_action] {
        let all = answer.total.clone().unwrap();
        assert_eq!(
            (all.data_scanned_bytes_min, all.data_scanned_bytes_max),
            (total.min, total.max)
        );
        assert_eq!(all.confidence(), v1::Confidence::Exact);
        assert_eq!(all.athena_cost_usd_max, "0.000050000000");
        assert_eq!(answer.tables[0].table_name, "lineitem_by_month");
        let receipt = answer.receipt.unwrap();
        assert_eq!(receipt.counters.unwrap().data_scanned_bytes, 0);
    }
    let wrong = v1::EstimateRequest {
        query: "SELECT nope FROM lineitem".to_owned(),
    };
    let status = client.estimate(wrong).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_and_pages_of_queries_come_from_the_ledger() {
    let server = lake(EngineConfig::default()).await;
    let answer = server.query(SQL).await;
    let mut client = UsageServiceClient::new(channel(&server).await);
    let request = v1::GetReceiptRequest {
        query_id: answer.receipt.query_id.clone(),
    };
    let kept = client.get_receipt(request.clone()).await.unwrap().into_inner();
    let kept = kept.receipt.unwrap();
    assert_eq!(kept.counters, answer.receipt.counters);
    assert_eq!(kept.estimate_max_bytes, answer.receipt.estimate_max_bytes);
    let by_action: v1::GetReceiptResponse =
        action(&server, "owlake.v1.GetReceipt", request.encode_to_vec()).await;
    assert_eq!(by_action.receipt.unwrap(), kept);
    let unknown = v1::GetReceiptRequest {
        query_id: "none".to_owned(),
    };
    let status = client.get_receipt(unknown).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound, "{status}");

    // Pages of two, until the end: each query once, newest first.
    let mut texts = Vec::new();
    let mut request = v1::ListQueriesRequest {
        page_size: 2,
        ..v1::ListQueriesRequest::default()
    };
    loop {
        let page = client.list_queries(request.clone()).await.unwrap().into_inner();
        assert!(page.queries.len() <= 2);
        texts.extend(page.queries.into_iter().map(|q| q.query));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(texts[0], SQL);
    assert!(
        texts.last().unwrap().starts_with("CREATE EXTERNAL TABLE"),
        "{texts:?}"
    );
    let of_nobody = v1::ListQueriesRequest {
        principal: "somebody".to_owned(),
        ..v1::ListQueriesRequest::default()
    };
    let page = client.list_queries(of_nobody).await.unwrap().into_inner();
    assert!(page.queries.is_empty());
}
