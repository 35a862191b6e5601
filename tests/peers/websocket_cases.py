"""WebSocket by the libraries that people use. `server PORT` and `client PORT` are websockets in
HTTP/1.1; `h2server PORT` and `h2client PORT` are hyper-h2 with wsproto's frames, by extended CONNECT
(RFC 8441). Servers greet and echo; clients say `ok NAME` for each case that went well."""

import asyncio
import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events
import h2.settings
import websockets.asyncio.client
import websockets.asyncio.server
import wsproto.connection
import wsproto.events

BIG = bytes(range(256)) * 4096  # 1 MiB
EXTENDED = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL


async def serve(port):
    async def echo(websocket):
        # With the answer to the handshake, or soon after it.
        await websocket.send("hello")
        async for message in websocket:
            if message == "close":
                await websocket.close(4001, "as you wish")
            await websocket.send(message)

    def choose(connection, offered):
        return "chat" if "chat" in offered else None

    options = {"select_subprotocol": choose, "max_size": None, "compression": None}
    async with websockets.asyncio.server.serve(echo, "127.0.0.1", port, **options) as server:
        await server.serve_forever()


async def call(port):
    def connect(**more):
        uri = f"ws://127.0.0.1:{port}/ws?a=1"
        options = {"max_size": None, "proxy": None, **more}
        return websockets.asyncio.client.connect(uri, **options)

    async with connect(subprotocols=["other", "chat"]) as one:
        assert one.subprotocol == "chat", one.subprotocol
        assert await one.recv() == "hello"
        print("ok handshake")
        await one.send("caf\u00e9")
        assert await one.recv() == "caf\u00e9"
        await one.send(BIG)
        assert await one.recv() == BIG
        print("ok text and binary")
        await one.send(["in ", "three ", "parts"])
        assert await one.recv() == "in three parts"
        await asyncio.wait_for(await one.ping(b"are you there"), 10)
        print("ok fragments and pings")
    many = [await connect() for _ in range(20)]
    for number, one in enumerate(many):
        await one.send(f"I am {number}")
    for number, one in enumerate(many):
        assert await one.recv() == "hello" and await one.recv() == f"I am {number}"
        await one.close()
    print("ok many")
    async with connect() as one:
        await one.recv()
        await one.send("close")
        try:
            await one.recv()
        except websockets.exceptions.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you wish"), closed
    print("ok close")


class Client:
    """One HTTP/2 connection with some WebSockets on it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        self.heads, self.bytes, self.ended, self.reset = {}, {}, set(), {}
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def turn(self):
        data = self.socket.recv(65536)
        assert data, "the connection has ended"
        for event in self.h2.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.ResponseReceived):
                self.heads[stream] = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bytes[stream] = self.bytes.get(stream, b"") + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(stream)
            elif isinstance(event, h2.events.StreamReset):
                self.reset[stream] = event.error_code
        self.flush()

    def until(self, what):
        while not what():
            self.turn()

    def ask(self, headers, end):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def websocket(self, path="/ws"):
        return self.ask(
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":authority", "a.test"),
                (":path", path),
                ("sec-websocket-version", "13"),
                ("sec-websocket-protocol", "chat"),
            ],
            False,
        )

    def send(self, stream, data, end=False):
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room == 0:
                self.turn()
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def events(self, stream, frames):
        """What has come for a WebSocket, one whole message after the other."""
        text = None
        while True:
            frames.receive_data(self.bytes.pop(stream, b""))
            for event in frames.events():
                if not isinstance(event, wsproto.events.Message):
                    yield event
                    continue
                text = event.data if text is None else text + event.data
                if event.message_finished:
                    yield text
                    text = None
            assert stream not in self.reset, self.reset
            if stream in self.ended:
                return
            self.turn()


def frames_of_client():
    return wsproto.connection.Connection(wsproto.ConnectionType.CLIENT)


def call_h2(port):
    client = Client(port)
    client.until(lambda: client.h2.remote_settings.get(EXTENDED) == 1)
    print("ok setting")
    stream, frames = client.websocket("/ws?a=1"), frames_of_client()
    # Before anybody has said that the tunnel is open.
    client.send(stream, frames.send(wsproto.events.TextMessage("early")))
    client.until(lambda: stream in client.heads or stream in client.reset)
    head = client.heads[stream]
    assert head[":status"] == "200" and head["sec-websocket-protocol"] == "chat", head
    assert "sec-websocket-accept" not in head and "upgrade" not in head, head
    said = client.events(stream, frames)
    assert next(said) == "hello"
    assert next(said) == "early"
    print("ok handshake and early bytes")
    beside = client.websocket()
    other = frames_of_client()
    heard = client.events(beside, other)
    client.send(beside, other.send(wsproto.events.TextMessage("beside")))
    assert next(heard) == "hello" and next(heard) == "beside"
    client.send(stream, frames.send(wsproto.events.BytesMessage(BIG)))
    assert next(said) == BIG
    client.send(stream, frames.send(wsproto.events.Ping(b"p")))
    pong = next(said)
    assert isinstance(pong, wsproto.events.Pong) and pong.payload == b"p", pong
    print("ok two on one connection, large messages, pings")
    client.send(stream, frames.send(wsproto.events.TextMessage("close")))
    closed = next(said)
    assert isinstance(closed, wsproto.events.CloseConnection) and closed.code == 4001, closed
    client.send(stream, frames.send(closed.response()), end=True)
    client.until(lambda: stream in client.ended)
    client.send(beside, other.send(wsproto.events.TextMessage("still here")))
    assert next(heard) == "still here"
    print("ok close, and the other stays")


def serve_h2(port):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_h2_connection, args=(connection,), daemon=True).start()


def serve_h2_connection(connection):
    config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
    conn = h2.connection.H2Connection(config)
    conn.local_settings = h2.settings.Settings(client=False, initial_values={EXTENDED: 1})
    conn.initiate_connection()
    conn.increment_flow_control_window(1 << 24)
    connection.sendall(conn.data_to_send())
    open_, waiting, ends = {}, {}, set()
    while data := connection.recv(65536):
        for event in conn.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.RequestReceived):
                head = dict(event.headers)
                assert "sec-websocket-key" not in head, head
                if head.get(":protocol") != "websocket" or head[":method"] != "CONNECT":
                    conn.send_headers(stream, [(":status", "400")], end_stream=True)
                    continue
                answer = [(":status", "200"), ("sec-websocket-protocol", "chat")]
                wanted = "chat" in head.get("sec-websocket-protocol", "")
                conn.send_headers(stream, answer if wanted else answer[:1])
                open_[stream] = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)
                waiting[stream] = open_[stream].send(wsproto.events.TextMessage("hello"))
            elif isinstance(event, h2.events.DataReceived) and stream in waiting:
                conn.acknowledge_received_data(event.flow_controlled_length, stream)
                waiting[stream] += echo(open_[stream], event.data, ends, stream)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                ends.add(stream)
        for stream in list(waiting):
            push(conn, stream, waiting, ends)
        connection.sendall(conn.data_to_send())
    connection.close()


def echo(frames, data, ends, stream):
    frames.receive_data(data)
    out = b""
    for event in frames.events():
        if isinstance(event, wsproto.events.Ping):
            out += frames.send(event.response())
        elif isinstance(event, wsproto.events.CloseConnection):
            if frames.state is not wsproto.connection.ConnectionState.CLOSED:
                out += frames.send(event.response())
            ends.add(stream)
        elif isinstance(event, wsproto.events.TextMessage) and event.data == "close":
            out += frames.send(wsproto.events.CloseConnection(4001, "as you wish"))
        elif isinstance(event, wsproto.events.Message):
            out += frames.send(event)
    return out


def push(conn, stream, waiting, ends):
    try:
        while waiting[stream]:
            room = min(conn.local_flow_control_window(stream), conn.max_outbound_frame_size)
            if room == 0:
                return
            conn.send_data(stream, waiting[stream][:room])
            waiting[stream] = waiting[stream][room:]
        if stream in ends:
            del waiting[stream]
            conn.end_stream(stream)
    except h2.exceptions.StreamClosedError:
        waiting.pop(stream, None)


if __name__ == "__main__":
    port = int(sys.argv[2])
    {
        "server": lambda: asyncio.run(serve(port)),
        "client": lambda: asyncio.run(call(port)),
        "h2server": lambda: serve_h2(port),
        "h2client": lambda: call_h2(port),
    }[sys.argv[1]]()
