//! The gRPC service: Flight SQL plus the calls that `arrow-flight`'s Flight SQL trait leaves out.

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::FlightSqlService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::flight::FlightSql;

/// What tonic serves. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FlightFront(pub(crate) Arc<FlightSql>);

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

#[tonic::async_trait]
impl FlightService for FlightFront {
    type HandshakeStream = Messages<HandshakeResponse>;
    type ListFlightsStream = Messages<FlightInfo>;
    type DoGetStream = Messages<FlightData>;
    type DoPutStream = Messages<PutResult>;
    type DoActionStream = Messages<arrow_flight::Result>;
    type ListActionsStream = Messages<ActionType>;
    type DoExchangeStream = Messages<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        self.0.do_handshake(request).await
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        self.0.list_flights(request).await
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        self.0.get_flight_info(request).await
    }

    /// A query is announced at once here, so the first poll is complete.
    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        let response = self.0.get_flight_info(request).await?;
        Ok(response.map(|info| PollInfo {
            info: Some(info),
            progress: Some(1.0),
            ..PollInfo::default()
        }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        self.0.schema_of(request).await
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        FlightService::do_get(self.0.as_ref(), request).await
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        FlightService::do_put(self.0.as_ref(), request).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        FlightService::do_action(self.0.as_ref(), request).await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        let response = FlightService::list_actions(self.0.as_ref(), request).await?;
        let more = super::actions::ACTIONS.map(|(name, description)| {
            Ok(ActionType {
                r#type: name.to_owned(),
                description: description.to_owned(),
            })
        });
        let stream = futures::StreamExt::chain(response.into_inner(), futures::stream::iter(more));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        self.0.admit(request.metadata(), request.extensions()).await?;
        FlightService::do_exchange(self.0.as_ref(), request).await
    }
}
