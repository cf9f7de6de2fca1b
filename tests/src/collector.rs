//! A collector of traces, as the OpenTelemetry Collector takes them: OTLP over gRPC.
//!
//! Must not know who sends them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::wait::eventually;

/// A running collector. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

/// A span with the name of the program that sent it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The program: `service.name` of its resource.
    pub service: String,
    /// The span.
    pub span: Span,
}

impl Seen {
    /// The trace's id in hex.
    #[must_use]
    pub fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// The span's id in hex.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// The id of the span above in hex; empty for none.
    #[must_use]
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// An attribute as text.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<String> {
        text(
            self.span
                .attributes
                .iter()
                .find(|known| known.key == key)?
                .value
                .as_ref()?
                .value
                .as_ref(),
        )
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(so) => Some(so.to_string()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::ArrayValue(_)
        | Value::KvlistValue(_)
        | Value::BytesValue(_)
        | Value::StringValueStrindex(_) => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Collector {
    /// Starts one on a free port; it runs until the test ends.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let collector = Self { address: listener.local_addr()?, taken: Arc::default() };
        let service = TraceServiceServer::new(collector.clone());
        let serving = Server::builder().add_service(service);
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(collector)
    }

    /// What a program is told to send its traces here.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        ["--otlp-endpoint".to_owned(), format!("http://{}", self.address)].to_vec()
    }

    /// Every span taken so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Seen> {
        let taken = self.taken.lock().expect("no holder of this lock panics");
        let mut spans = Vec::new();
        for resource in taken.iter().flat_map(|request| &request.resource_spans) {
            let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
            let name = attributes.clone().find(|attribute| attribute.key == "service.name");
            let name = name.and_then(|name| text(name.value.as_ref()?.value.as_ref()));
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                let service = name.clone().unwrap_or_default();
                spans.push(Seen { service, span: span.clone() });
            }
        }
        spans
    }

    /// Every byte taken so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let taken = self.taken.lock().expect("no holder of this lock panics");
        taken.iter().flat_map(Message::encode_to_vec).collect()
    }

    /// Waits for a span of this trace with this name.
    ///
    /// # Errors
    /// It does not come.
    pub async fn span(&self, trace: &str, name: &str) -> anyhow::Result<Seen> {
        let fits = |seen: &Seen| seen.trace() == trace && seen.span.name == name;
        let found = async || self.spans().into_iter().find(fits);
        eventually(&format!("the span {name} of {trace}"), found).await
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.taken.lock().expect("no holder of this lock panics").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
