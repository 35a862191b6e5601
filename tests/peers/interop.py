"""gRPC's interop cases by grpcio: `server PORT` serves them, `client PORT` makes the calls through
whatever listens there and says `ok NAME` for each."""

import os
import sys
import threading
import time
from concurrent import futures

import grpc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
pb, rpc = grpc.protos_and_services("interop.proto")

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def payload(size):
    return pb.Payload(body=bytes(size))


# The server.


def echo(context):
    sent = dict(context.invocation_metadata())
    if INITIAL in sent:
        context.send_initial_metadata(((INITIAL, sent[INITIAL]),))
    if TRAILING in sent:
        context.set_trailing_metadata(((TRAILING, sent[TRAILING]),))


def end_as_asked(request, context):
    if request.response_status.code:
        code = next(c for c in grpc.StatusCode if c.value[0] == request.response_status.code)
        context.abort(code, request.response_status.message)


class Calls(rpc.TestServiceServicer):
    def __init__(self, witness):
        self.witness = witness

    def EmptyCall(self, request, context):
        return pb.Empty()

    def UnaryCall(self, request, context):
        echo(context)
        end_as_asked(request, context)
        return pb.SimpleResponse(payload=payload(request.response_size))

    def StreamingOutputCall(self, request, context):
        end_as_asked(request, context)
        for one in request.response_parameters:
            yield pb.StreamingOutputCallResponse(payload=payload(one.size))

    def StreamingInputCall(self, requests, context):
        size = sum(len(request.payload.body) for request in requests)
        return pb.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, requests, context):
        echo(context)
        try:
            for request in requests:
                for one in request.response_parameters:
                    time.sleep(one.interval_us / 1e6)
                    yield pb.StreamingOutputCallResponse(payload=payload(one.size))
                end_as_asked(request, context)
        finally:
            # A stream that was reset may be seen to end just before it is known to be cancelled.
            until = time.monotonic() + 0.2
            while context.is_active() and time.monotonic() < until:
                time.sleep(0.01)
            if not context.is_active():
                self.witness.given_up()


class Witness(rpc.WitnessServicer):
    def __init__(self):
        self.cancelled, self.lock = 0, threading.Lock()

    def given_up(self):
        with self.lock:
            self.cancelled += 1

    def Tell(self, request, context):
        # Without a deadline it is some centuries.
        left = context.time_remaining()
        limited = left is not None and left < 1e6
        return pb.Noticed(cancelled=self.cancelled, left_ms=int(left * 1000) if limited else -1)


def serve(port):
    witness = Witness()
    server = grpc.server(futures.ThreadPoolExecutor(16), options=NO_LIMIT)
    rpc.add_TestServiceServicer_to_server(Calls(witness), server)
    rpc.add_WitnessServicer_to_server(witness, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


# The client.

PATIENCE = 30


def simple(sent, wanted):
    return pb.SimpleRequest(response_size=wanted, payload=payload(sent))


def output(sizes, sent=0, **more):
    sizes = [pb.ResponseParameters(size=size) for size in sizes]
    return pb.StreamingOutputCallRequest(response_parameters=sizes, payload=payload(sent), **more)


class Turns:
    """Messages that are sent when the one before was answered, until there is none."""

    def __init__(self, first):
        self.next, self.turn = first, threading.Semaphore(1)

    def send(self, message):
        self.next = message
        self.turn.release()

    def __iter__(self):
        while self.turn.acquire() and self.next is not None:
            yield self.next


def status_of(act):
    try:
        act()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return None, None


def empty_unary(stub):
    stub.EmptyCall(pb.Empty(), timeout=PATIENCE)


def large_unary(stub):
    assert len(stub.UnaryCall(simple(271828, 314159), timeout=PATIENCE).payload.body) == 314159


def very_large_messages(stub):
    size = 11 << 20
    assert len(stub.UnaryCall(simple(9 << 20, size), timeout=PATIENCE).payload.body) == size


def client_streaming(stub):
    sizes = (27182, 8, 1828, 45904)
    messages = (pb.StreamingInputCallRequest(payload=payload(size)) for size in sizes)
    assert stub.StreamingInputCall(messages, timeout=PATIENCE).aggregated_payload_size == 74922


def server_streaming(stub):
    sizes = [31415, 9, 2653, 58979]
    replies = stub.StreamingOutputCall(output(sizes), timeout=PATIENCE)
    assert [len(reply.payload.body) for reply in replies] == sizes


def ping_pong(stub):
    turns = Turns(output([31415], 27182))
    replies = stub.FullDuplexCall(iter(turns), timeout=PATIENCE)
    assert len(next(replies).payload.body) == 31415
    for wanted, sent in ((9, 8), (2653, 1828), (58979, 45904)):
        turns.send(output([wanted], sent))
        assert len(next(replies).payload.body) == wanted
    turns.send(None)
    assert not list(replies)


def empty_stream(stub):
    assert not list(stub.FullDuplexCall(iter(()), timeout=PATIENCE))


def custom_metadata(stub):
    sent = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))

    def check(call):
        assert sent[0] in [tuple(pair) for pair in call.initial_metadata()]
        assert sent[1] in [tuple(pair) for pair in call.trailing_metadata()]

    check(stub.UnaryCall.with_call(simple(1, 1), timeout=PATIENCE, metadata=sent)[1])
    call = stub.FullDuplexCall(iter([output([1], 1)]), timeout=PATIENCE, metadata=sent)
    assert len(list(call)) == 1
    check(call)


def status_code_and_message(stub):
    asked = pb.EchoStatus(code=2, message="test status message")
    wanted = (grpc.StatusCode.UNKNOWN, "test status message")
    request = pb.SimpleRequest(response_status=asked)
    assert status_of(lambda: stub.UnaryCall(request, timeout=PATIENCE)) == wanted
    request = pb.StreamingOutputCallRequest(response_status=asked)
    assert status_of(lambda: list(stub.FullDuplexCall(iter([request]), timeout=PATIENCE))) == wanted


def special_status_message(stub):
    message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    request = pb.SimpleRequest(response_status=pb.EchoStatus(code=2, message=message))
    status = status_of(lambda: stub.UnaryCall(request, timeout=PATIENCE))
    assert status == (grpc.StatusCode.UNKNOWN, message)


def late_status(stub):
    """A message, and then a status that is none of success."""
    request = output([7], response_status=pb.EchoStatus(code=15, message="late"))
    replies = stub.FullDuplexCall(iter([request]), timeout=PATIENCE)
    assert len(next(replies).payload.body) == 7
    assert status_of(lambda: next(replies)) == (grpc.StatusCode.DATA_LOSS, "late")


def unimplemented_method(stub):
    status = status_of(lambda: stub.UnimplementedCall(pb.Empty(), timeout=PATIENCE))
    assert status[0] == grpc.StatusCode.UNIMPLEMENTED


def cancel_after_begin(stub):
    turns = Turns(pb.StreamingInputCallRequest())
    call = stub.StreamingInputCall.future(iter(turns), timeout=PATIENCE)
    time.sleep(0.2)
    assert call.cancel()
    turns.send(None)
    assert call.code() == grpc.StatusCode.CANCELLED
    # The connection goes on.
    empty_unary(stub)


def cancel_after_first_response(stub):
    turns = Turns(output([31415], 27182))
    replies = stub.FullDuplexCall(iter(turns), timeout=PATIENCE)
    assert len(next(replies).payload.body) == 31415
    replies.cancel()
    assert status_of(lambda: next(replies))[0] == grpc.StatusCode.CANCELLED
    turns.send(None)


def timeout_on_sleeping_server(stub, words):
    request = output([], 27182)
    request.response_parameters.add(size=1, interval_us=3000000)
    turns = Turns(request)
    replies = stub.FullDuplexCall(iter(turns), timeout=0.001)
    # The client's clock, each proxy's and the server's run out together. Whoever is first has his
    # word for it: tonic's is CANCELLED, and so is a reset.
    status = status_of(lambda: next(replies))
    assert status[0].name in words, status
    turns.send(None)


def many_at_once(stub):
    with futures.ThreadPoolExecutor(32) as pool:
        answers = pool.map(lambda n: stub.UnaryCall(simple(n, 2 * n), timeout=PATIENCE), range(400))
        assert [len(answer.payload.body) for answer in answers] == [2 * n for n in range(400)]


CASES = [
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
    very_large_messages,
    many_at_once,
]


# What a call may be told that has run out of time. HTTP/1.1 has no word for a stream that is given up:
# an answer that has not begun becomes a 502, and one that has is cut.
WORDS = {"http2": ("DEADLINE_EXCEEDED", "CANCELLED")}
WORDS["http1"] = WORDS["http2"] + ("UNAVAILABLE", "INTERNAL")


def call(port, way):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", NO_LIMIT)
    stub, witness = rpc.TestServiceStub(channel), rpc.WitnessStub(channel)
    for case in CASES:
        case(stub)
        print("ok", case.__name__)

    timeout_on_sleeping_server(stub, WORDS[way])
    print("ok timeout_on_sleeping_server")

    missing = rpc.UnimplementedServiceStub(channel)
    status = status_of(lambda: missing.UnimplementedCall(pb.Empty(), timeout=PATIENCE))
    assert status[0] == grpc.StatusCode.UNIMPLEMENTED
    print("ok unimplemented_service")

    before = witness.Tell(pb.Empty()).cancelled
    cancel_after_first_response(stub)
    print("ok cancel_after_first_response")
    until = time.monotonic() + 10
    while witness.Tell(pb.Empty()).cancelled <= before:
        assert time.monotonic() < until, "the server does not know that its client has given up"
        time.sleep(0.1)
    print("ok server_is_told")

    left = witness.Tell(pb.Empty(), timeout=20).left_ms
    # It is rounded up on its way out.
    assert 0 < left <= 21000, f"{left} ms are left of 20 s"
    assert witness.Tell(pb.Empty()).left_ms == -1
    print("ok deadline_is_passed_on")


if __name__ == "__main__":
    {"server": serve, "client": call}[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
