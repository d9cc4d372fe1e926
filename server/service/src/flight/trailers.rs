//! Puts the receipt into the gRPC trailers of a stream that ended well; tonic offers no other place for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame};
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tower::{Layer, Service};

use crate::flight::status::RECEIPT_TRAILER_MAX_BYTES;
use crate::flight::stream::ReceiptSlot;

/// The layer; wraps every response that carries a [`ReceiptSlot`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReceiptTrailers;

impl<S> Layer<S> for ReceiptTrailers {
    type Service = ReceiptService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReceiptService { inner }
    }
}

/// A service whose responses end with their receipt.
#[derive(Debug, Clone)]
pub(crate) struct ReceiptService<S> {
    inner: S,
}

impl<S, B> Service<http::Request<B>> for ReceiptService<S>
where
    S: Service<http::Request<B>, Response = http::Response<tonic::body::Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            let Some(slot) = response.extensions().get::<ReceiptSlot>().cloned() else {
                return Ok(response);
            };
            Ok(response.map(|body| tonic::body::Body::new(WithReceipt { body, slot })))
        })
    }
}

struct WithReceipt {
    body: tonic::body::Body,
    slot: ReceiptSlot,
}

impl Body for WithReceipt {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut()
                    && let Some(receipt) = self.slot.get()
                {
                    add(trailers, receipt);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

fn add(trailers: &mut http::HeaderMap, receipt: &[u8]) {
    if receipt.len() <= RECEIPT_TRAILER_MAX_BYTES {
        let mut metadata = MetadataMap::new();
        metadata.insert_bin("owlake-receipt-bin", BinaryMetadataValue::from_bytes(receipt));
        trailers.extend(metadata.into_headers());
    }
    let Ok(receipt) = <owlake_proto::v1::QueryReceipt as prost::Message>::decode(receipt) else {
        return;
    };
    let scanned = receipt.counters.map(|c| c.data_scanned_bytes).unwrap_or_default();
    trailers.insert("owlake-data-scanned-bytes", HeaderValue::from(scanned));
    if let Ok(cost) = HeaderValue::from_str(&receipt.cost_usd) {
        trailers.insert("owlake-cost-usd", cost);
    }
}
