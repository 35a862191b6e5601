"""The kinds of calls that gRPC has, by grpcio on both sides: `server PORT` serves them, `client PORT`
makes them through whatever listens there and says `ok NAME` for each."""

import sys
import threading
import time
from concurrent import futures

import grpc

BIG = bytes(range(256)) * 8192  # 2 MiB


class Service(grpc.GenericRpcHandler):
    def service(self, details):
        method = details.method.rsplit("/", 1)[-1]
        return {
            "unary": grpc.unary_unary_rpc_method_handler(unary),
            "down": grpc.unary_stream_rpc_method_handler(down),
            "up": grpc.stream_unary_rpc_method_handler(up),
            "both": grpc.stream_stream_rpc_method_handler(both),
            "fails": grpc.unary_unary_rpc_method_handler(fails),
            "fails_late": grpc.unary_stream_rpc_method_handler(fails_late),
            "sleeps": grpc.unary_unary_rpc_method_handler(sleeps),
            "cancelled": grpc.unary_unary_rpc_method_handler(cancelled),
        }.get(method)


CANCELLED = threading.Event()


def unary(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-head", sent.get("x-sent", "")),))
    context.set_trailing_metadata((("x-tail", "t"),))
    return request


def down(request, context):
    for n in range(int(request)):
        yield b"%d" % n


def up(requests, context):
    return b"%d" % sum(len(r) for r in requests)


def both(requests, context):
    for request in requests:
        yield request


def fails(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no, \u00e4")


def fails_late(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "late")


def sleeps(request, context):
    context.add_callback(CANCELLED.set)
    time.sleep(float(request))
    return b"late"


def cancelled(request, context):
    return b"yes" if CANCELLED.wait(5) else b"no"


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((Service(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call(port):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
    unary_of = lambda name: channel.unary_unary(f"/s/{name}")

    answer, made = unary_of("unary").with_call(b"hello", timeout=10, metadata=(("x-sent", "h"),))
    assert answer == b"hello"
    assert ("x-head", "h") in [tuple(m) for m in made.initial_metadata()]
    assert ("x-tail", "t") in [tuple(m) for m in made.trailing_metadata()]
    print("ok unary")
    assert unary_of("unary")(b"", timeout=10) == b""
    print("ok empty")
    assert unary_of("unary")(BIG, timeout=30) == BIG
    print("ok large")
    assert list(channel.unary_stream("/s/down")(b"500", timeout=10)) == [b"%d" % n for n in range(500)]
    print("ok server streaming")
    assert channel.stream_unary("/s/up")((b"x" * 1000 for _ in range(300)), timeout=10) == b"300000"
    print("ok client streaming")

    # Ping-pong: each message waits for the answer to the last one.
    turn = threading.Semaphore(1)

    def messages():
        for n in range(20):
            turn.acquire()
            yield b"%d" % n

    heard = []
    for message in channel.stream_stream("/s/both")(messages(), timeout=10):
        heard.append(message)
        turn.release()
    assert heard == [b"%d" % n for n in range(20)]
    print("ok both streaming")

    def status_of(act):
        try:
            act()
        except grpc.RpcError as error:
            return error.code(), error.details()
        return None, None

    assert status_of(lambda: unary_of("fails")(b"", timeout=10)) == (grpc.StatusCode.FAILED_PRECONDITION, "no, \u00e4")
    print("ok status")
    assert status_of(lambda: unary_of("unknown")(b"", timeout=10))[0] == grpc.StatusCode.UNIMPLEMENTED
    print("ok unimplemented")
    late = channel.unary_stream("/s/fails_late")(b"", timeout=10)
    assert next(late) == b"one"
    assert status_of(lambda: next(late))[0] == grpc.StatusCode.DATA_LOSS
    print("ok late status")
    assert status_of(lambda: unary_of("sleeps")(b"3", timeout=0.3))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    assert unary_of("cancelled")(b"", timeout=10) == b"yes"
    print("ok deadline, and the server was told")
    with futures.ThreadPoolExecutor(32) as pool:
        answers = pool.map(lambda n: unary_of("unary")(b"%d" % n, timeout=30), range(400))
        assert list(answers) == [b"%d" % n for n in range(400)]
    print("ok many at once")


if __name__ == "__main__":
    {"server": serve, "client": call}[sys.argv[1]](int(sys.argv[2]))
