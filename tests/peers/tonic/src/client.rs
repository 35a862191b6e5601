//! The cases, named as in gRPC's interop tests where they are of them.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::Failure;
use crate::proto::test_service_client::TestServiceClient;
use crate::proto::unimplemented_service_client::UnimplementedServiceClient;
use crate::proto::witness_client::WitnessClient;
use crate::proto::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
    StreamingOutputCallRequest, StreamingOutputCallResponse,
};

type Client = TestServiceClient<Channel>;
type Checked = Result<(), Failure>;

const MOST: usize = 64 << 20;
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn call(port: u16) -> Checked {
    let channel = Endpoint::new(format!("http://127.0.0.1:{port}"))?.connect().await?;
    let client = Client::new(channel.clone());
    let client = client.max_decoding_message_size(MOST).max_encoding_message_size(MOST);
    macro_rules! cases {
        ($($case:ident),+ $(,)?) => {$(
            let case = $case(client.clone());
            timeout(PATIENCE, case).await.unwrap_or_else(|_| Err("takes too long".into()))
                .map_err(|why| format!("{}: {why}", stringify!($case)))?;
            println!("ok {}", stringify!($case));
        )+};
    }
    cases!(
        empty_unary,
        large_unary,
        client_streaming,
        server_streaming,
        ping_pong,
        empty_stream,
        custom_metadata,
        status_code_and_message,
        special_status_message,
        late_status,
        unimplemented_method,
        cancel_after_begin,
        timeout_on_sleeping_server,
        very_large_messages,
        many_at_once,
    );
    unimplemented_service(channel.clone()).await?;
    println!("ok unimplemented_service");
    let before = tell(&channel, None).await?.0;
    timeout(PATIENCE, cancel_after_first_response(client.clone())).await??;
    println!("ok cancel_after_first_response");
    server_is_told(&channel, before).await?;
    println!("ok server_is_told");
    let left = tell(&channel, Some(Duration::from_secs(20))).await?.1;
    check((1..=20_000).contains(&left), || format!("{left} ms are left of 20 s"))?;
    check(tell(&channel, None).await?.1 == -1, || "a deadline out of nothing".into())?;
    println!("ok deadline_is_passed_on");
    Ok(())
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why().into()) }
}

fn is<T: std::fmt::Debug>(
    result: &Result<T, Status>,
    code: Code,
    message: Option<&str>,
) -> Checked {
    let as_wanted = matches!(result, Err(status)
        if status.code() == code && message.is_none_or(|message| status.message() == message));
    check(as_wanted, || format!("{code:?} {message:?} is wanted, and this came: {result:?}"))
}

fn payload(size: usize) -> Option<Payload> {
    Some(Payload { r#type: 0, body: vec![0; size] })
}

fn simple(sent: usize, wanted: usize) -> SimpleRequest {
    SimpleRequest { response_size: wanted as i32, payload: payload(sent), ..Default::default() }
}

fn output(sizes: &[usize], sent: usize) -> StreamingOutputCallRequest {
    let one = |&size: &usize| ResponseParameters { size: size as i32, interval_us: 0 };
    StreamingOutputCallRequest {
        response_parameters: sizes.iter().map(one).collect(),
        payload: payload(sent),
        ..Default::default()
    }
}

fn length(payload: Option<Payload>) -> usize {
    payload.map_or(0, |payload| payload.body.len())
}

/// The size of the next message; `None` for the end.
async fn next(
    replies: &mut Streaming<StreamingOutputCallResponse>,
) -> Result<Option<usize>, Status> {
    Ok(replies.message().await?.map(|reply| length(reply.payload)))
}

async fn empty_unary(mut client: Client) -> Checked {
    client.empty_call(Empty {}).await?;
    Ok(())
}

async fn large_unary(mut client: Client) -> Checked {
    let reply = client.unary_call(simple(271_828, 314_159)).await?.into_inner();
    check(length(reply.payload) == 314_159, || "another size".into())
}

async fn very_large_messages(mut client: Client) -> Checked {
    let reply = client.unary_call(simple(9 << 20, 11 << 20)).await?.into_inner();
    check(length(reply.payload) == 11 << 20, || "another size".into())
}

async fn client_streaming(mut client: Client) -> Checked {
    let messages =
        [27_182, 8, 1_828, 45_904].map(|size| StreamingInputCallRequest { payload: payload(size) });
    let reply = client.streaming_input_call(tokio_stream::iter(messages)).await?.into_inner();
    check(reply.aggregated_payload_size == 74_922, || format!("{reply:?}"))
}

async fn server_streaming(mut client: Client) -> Checked {
    let sizes = [31_415, 9, 2_653, 58_979];
    let mut replies = client.streaming_output_call(output(&sizes, 0)).await?.into_inner();
    for size in sizes {
        check(next(&mut replies).await? == Some(size), || format!("not {size}"))?;
    }
    check(next(&mut replies).await?.is_none(), || "one too many".into())
}

/// Each message waits for the answer to the last one.
async fn ping_pong(mut client: Client) -> Checked {
    let (sender, receiver) = mpsc::channel(1);
    sender.send(output(&[31_415], 27_182)).await?;
    let mut replies = client.full_duplex_call(ReceiverStream::new(receiver)).await?.into_inner();
    check(next(&mut replies).await? == Some(31_415), || "the first".into())?;
    for (wanted, sent) in [(9, 8), (2_653, 1_828), (58_979, 45_904)] {
        sender.send(output(&[wanted], sent)).await?;
        check(next(&mut replies).await? == Some(wanted), || format!("not {wanted}"))?;
    }
    drop(sender);
    check(next(&mut replies).await?.is_none(), || "one too many".into())
}

async fn empty_stream(mut client: Client) -> Checked {
    let mut replies = client.full_duplex_call(tokio_stream::iter([])).await?.into_inner();
    check(next(&mut replies).await?.is_none(), || "a message".into())
}

const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";

fn marked<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let tail = MetadataValue::from_bytes(b"\xab\xab\xab");
    request
        .metadata_mut()
        .insert(INITIAL, MetadataValue::from_static("test_initial_metadata_value"));
    request.metadata_mut().insert_bin(TRAILING, tail);
    request
}

fn has_tail(metadata: &MetadataMap) -> bool {
    let value = metadata.get_bin(TRAILING).and_then(|value| value.to_bytes().ok());
    value.as_deref() == Some(b"\xab\xab\xab")
}

async fn custom_metadata(mut client: Client) -> Checked {
    let initial = |metadata: &MetadataMap| {
        metadata.get(INITIAL).is_some_and(|value| value == "test_initial_metadata_value")
    };
    // The trailers of a unary call are among its metadata.
    let reply = client.unary_call(marked(simple(1, 1))).await?;
    check(initial(reply.metadata()), || "no initial metadata".into())?;
    check(has_tail(reply.metadata()), || "no trailing metadata".into())?;
    let request = marked(tokio_stream::iter([output(&[1], 1)]));
    let reply = client.full_duplex_call(request).await?;
    check(initial(reply.metadata()), || "no initial metadata of a stream".into())?;
    let mut replies = reply.into_inner();
    while next(&mut replies).await?.is_some() {}
    let tail = replies.trailers().await?;
    check(tail.is_some_and(|tail| has_tail(&tail)), || "no trailing metadata of a stream".into())
}

async fn status_code_and_message(mut client: Client) -> Checked {
    let wanted = EchoStatus { code: 2, message: "test status message".into() };
    let request = SimpleRequest { response_status: Some(wanted.clone()), ..Default::default() };
    is(&client.unary_call(request).await, Code::Unknown, Some("test status message"))?;
    let request =
        StreamingOutputCallRequest { response_status: Some(wanted), ..Default::default() };
    let result = match client.full_duplex_call(tokio_stream::iter([request])).await {
        Ok(reply) => next(&mut reply.into_inner()).await,
        Err(status) => Err(status),
    };
    is(&result, Code::Unknown, Some("test status message"))
}

async fn special_status_message(mut client: Client) -> Checked {
    let message = "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";
    let status = EchoStatus { code: 2, message: message.into() };
    let request = SimpleRequest { response_status: Some(status), ..Default::default() };
    is(&client.unary_call(request).await, Code::Unknown, Some(message))
}

/// A message, and then a status that is none of success.
async fn late_status(mut client: Client) -> Checked {
    let status = EchoStatus { code: 15, message: "late".into() };
    let request = StreamingOutputCallRequest { response_status: Some(status), ..output(&[7], 0) };
    let reply = client.full_duplex_call(tokio_stream::iter([request])).await?;
    let mut replies = reply.into_inner();
    check(next(&mut replies).await? == Some(7), || "no message".into())?;
    is(&next(&mut replies).await, Code::DataLoss, Some("late"))
}

async fn unimplemented_method(mut client: Client) -> Checked {
    is(&client.unimplemented_call(Empty {}).await, Code::Unimplemented, None)
}

async fn unimplemented_service(channel: Channel) -> Checked {
    let mut client = UnimplementedServiceClient::new(channel);
    is(&client.unimplemented_call(Empty {}).await, Code::Unimplemented, None)
}

/// The call is given up before it has a message.
async fn cancel_after_begin(mut client: Client) -> Checked {
    let (sender, receiver) = mpsc::channel(1);
    let call = client.streaming_input_call(ReceiverStream::new(receiver));
    let given_up = timeout(Duration::from_millis(200), call).await;
    check(given_up.is_err(), || format!("answered: {given_up:?}"))?;
    drop(sender);
    // The connection goes on.
    empty_unary(client).await
}

async fn cancel_after_first_response(mut client: Client) -> Checked {
    let (sender, receiver) = mpsc::channel(1);
    sender.send(output(&[31_415], 27_182)).await?;
    let mut replies = client.full_duplex_call(ReceiverStream::new(receiver)).await?.into_inner();
    check(next(&mut replies).await? == Some(31_415), || "no response".into())?;
    // Dropped: both directions are given up.
    Ok(())
}

async fn timeout_on_sleeping_server(mut client: Client) -> Checked {
    let (sender, receiver) = mpsc::channel(1);
    let slow = ResponseParameters { size: 1, interval_us: 3_000_000 };
    let request =
        StreamingOutputCallRequest { response_parameters: vec![slow], ..output(&[], 27_182) };
    sender.send(request).await?;
    let mut request = Request::new(ReceiverStream::new(receiver));
    request.set_timeout(Duration::from_millis(1));
    let result = match client.full_duplex_call(request).await {
        Ok(reply) => next(&mut reply.into_inner()).await,
        Err(status) => Err(status),
    };
    drop(sender);
    // Both sides of tonic look at the clock only until the head is sent, and then it has three
    // seconds to go: it depends on when its time is up who ends it, and how.
    check(result.is_err(), || format!("{result:?}"))
}

async fn many_at_once(client: Client) -> Checked {
    let mut calls = JoinSet::new();
    for n in 0..400 {
        let mut client = client.clone();
        calls.spawn(async move {
            let reply = client.unary_call(simple(n, 2 * n)).await?.into_inner();
            Ok::<bool, Status>(length(reply.payload) == 2 * n)
        });
    }
    while let Some(done) = calls.join_next().await {
        check(done??, || "another's answer".into())?;
    }
    Ok(())
}

/// What the server has noticed: calls given up, and what is left of this one's time.
async fn tell(channel: &Channel, limit: Option<Duration>) -> Result<(i32, i32), Failure> {
    let mut request = Request::new(Empty {});
    if let Some(limit) = limit {
        request.set_timeout(limit);
    }
    let noticed = WitnessClient::new(channel.clone()).tell(request).await?.into_inner();
    Ok((noticed.cancelled, noticed.left_ms))
}

async fn server_is_told(channel: &Channel, before: i32) -> Checked {
    for _ in 0..100 {
        if tell(channel, None).await?.0 > before {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the server does not know that its client has given up".into())
}
