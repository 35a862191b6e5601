//! The services.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::Failure;
use crate::proto::test_service_server::{TestService, TestServiceServer};
use crate::proto::witness_server::{Witness, WitnessServer};
use crate::proto::{
    EchoStatus, Empty, Noticed, Payload, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};

/// No limit that a case could reach.
const MOST: usize = 64 << 20;

pub async fn serve(port: u16) -> Result<(), Failure> {
    let cancelled = Arc::<AtomicI32>::default();
    let calls = TestServiceServer::new(Calls(Arc::clone(&cancelled)));
    let calls = calls.max_decoding_message_size(MOST).max_encoding_message_size(MOST);
    let served = Server::builder()
        .add_service(Echoing(calls))
        .add_service(WitnessServer::new(Calls(cancelled)))
        .serve(SocketAddr::from(([127, 0, 0, 1], port)));
    Ok(served.await?)
}

/// Counts the streaming calls that were given up.
struct Calls(Arc<AtomicI32>);

/// The replies of a call, which counts as given up unless they come to their end.
struct UnderWay {
    replies: ReceiverStream<Result<StreamingOutputCallResponse, Status>>,
    cancelled: Option<Arc<AtomicI32>>,
}

impl Stream for UnderWay {
    type Item = Result<StreamingOutputCallResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(Pin::new(&mut self.replies).poll_next(cx));
        if !matches!(next, Some(Ok(_))) {
            self.cancelled = None;
        }
        Poll::Ready(next)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(cancelled) = &self.cancelled {
            cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn payload(size: i32) -> Option<Payload> {
    Some(Payload { r#type: 0, body: vec![0; size as usize] })
}

fn status(asked: Option<EchoStatus>) -> Result<(), Status> {
    match asked {
        Some(status) if status.code != 0 => {
            Err(Status::new(Code::from_i32(status.code), status.message))
        }
        _ => Ok(()),
    }
}

/// Sends back the metadata that the interop tests want to see again.
#[derive(Clone)]
struct Echoing<S>(S);

const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";

impl<S: NamedService> NamedService for Echoing<S> {
    const NAME: &'static str = S::NAME;
}

type Answer = http::Response<Body>;

impl<S> Service<http::Request<Body>> for Echoing<S>
where
    S: Service<http::Request<Body>, Response = Answer, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let [initial, trailing] =
            [INITIAL, TRAILING].map(|name| request.headers().get(name).cloned());
        let answered = self.0.call(request);
        Box::pin(async move {
            let mut answer = answered.await?;
            if let Some(value) = initial {
                answer.headers_mut().insert(INITIAL, value);
            }
            let Some(value) = trailing else { return Ok(answer) };
            Ok(answer.map(|body| {
                Body::new(body.map_frame(move |mut frame| {
                    if let Some(trailers) = frame.trailers_mut() {
                        trailers.insert(TRAILING, value.clone());
                    }
                    frame
                }))
            }))
        })
    }
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl TestService for Calls {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        let request = request.into_inner();
        status(request.response_status)?;
        Ok(Response::new(SimpleResponse { payload: payload(request.response_size) }))
    }

    type StreamingOutputCallStream = Replies<StreamingOutputCallResponse>;

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Self::StreamingOutputCallStream>, Status> {
        let request = request.into_inner();
        status(request.response_status)?;
        let replies = tokio_stream::iter(request.response_parameters)
            .map(|one| Ok(StreamingOutputCallResponse { payload: payload(one.size) }));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let (mut messages, mut sum) = (request.into_inner(), 0);
        while let Some(message) = messages.message().await? {
            sum += message.payload.map_or(0, |payload| payload.body.len() as i32);
        }
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size: sum }))
    }

    type FullDuplexCallStream = Replies<StreamingOutputCallResponse>;

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Self::FullDuplexCallStream>, Status> {
        let mut messages = request.into_inner();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let answered = async {
                while let Some(message) = messages.message().await? {
                    for one in message.response_parameters {
                        sleep(Duration::from_micros(one.interval_us as u64)).await;
                        let reply = StreamingOutputCallResponse { payload: payload(one.size) };
                        sender.send(Ok(reply)).await.map_err(|_| Status::cancelled("left"))?;
                    }
                    status(message.response_status)?;
                }
                Ok::<(), Status>(())
            };
            if let Err(status) = answered.await {
                let _ = sender.send(Err(status)).await;
            }
        });
        let cancelled = Some(Arc::clone(&self.0));
        let replies = UnderWay { replies: ReceiverStream::new(receiver), cancelled };
        Ok(Response::new(Box::pin(replies)))
    }

    async fn unimplemented_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented("as its name says"))
    }
}

#[tonic::async_trait]
impl Witness for Calls {
    async fn tell(&self, request: Request<Empty>) -> Result<Response<Noticed>, Status> {
        let left = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
        let noticed = Noticed {
            cancelled: self.0.load(Ordering::SeqCst),
            left_ms: left.and_then(milliseconds).unwrap_or(-1),
        };
        Ok(Response::new(noticed))
    }
}

fn milliseconds(timeout: &str) -> Option<i32> {
    let (digits, unit) = timeout.split_at_checked(timeout.len().checked_sub(1)?)?;
    let n: f64 = digits.parse().ok()?;
    let factor = match unit {
        "H" => 3_600_000.0,
        "M" => 60_000.0,
        "S" => 1_000.0,
        "m" => 1.0,
        "u" => 1e-3,
        "n" => 1e-6,
        _ => return None,
    };
    Some((n * factor) as i32)
}
