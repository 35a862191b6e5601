// Node's http2 on both sides: `server PORT` serves the cases, `client PORT` makes the requests
// through whatever listens there and says `ok NAME` for each.
"use strict";
const assert = require("assert");
const http2 = require("http2");
// Megabytes; Node's own limit ends sessions with three of the large bodies.
const options = { maxSessionMemory: 100 };
const { NGHTTP2_CANCEL } = http2.constants;

function serve(port) {
  let cancelled = 0;
  const ways = {
    "/echo": (stream) => {
      stream.respond({ ":status": 200, "x-node": "yes" }, { waitForTrailers: true });
      let trailers = {};
      stream.on("trailers", (came) => (trailers = came));
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-tail": trailers["x-sent"] || "none" }));
      stream.pipe(stream);
    },
    "/length": (stream) => {
      let length = 0;
      stream.on("data", (data) => (length += data.length));
      stream.on("end", () => (stream.respond({ ":status": 200 }), stream.end(`${length}`)));
    },
    "/empty": (stream) => stream.respond({ ":status": 204 }, { endStream: true }),
    "/bytes": (stream) => (stream.respond({ ":status": 200 }), stream.end(Buffer.alloc(8 << 20, "b"))),
    "/interim": (stream) => {
      stream.additionalHeaders({ ":status": 103, link: "</style.css>" });
      stream.respond({ ":status": 200 });
      stream.end("final");
    },
    "/cut": (stream) => {
      stream.respond({ ":status": 200 });
      // With INTERNAL_ERROR: close(code) would end the stream in good order first.
      stream.write("some", () => setTimeout(() => stream.destroy(new Error("cut")), 50));
    },
    "/hangs": (stream) => stream.on("aborted", () => cancelled++),
    "/cancelled": (stream) => (stream.respond({ ":status": 200 }), stream.end(`${cancelled}`)),
    // What is under way is answered; what comes after it has to come by another connection.
    "/goaway": (stream) => {
      stream.session.close();
      setTimeout(() => (stream.respond({ ":status": 200 }), stream.end("last")), 50);
    },
  };
  const server = http2.createServer(options);
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    const method = headers[":method"];
    const way = ways[headers[":path"]];
    if (!way) return stream.respond({ ":status": 404 }, { endStream: true });
    if (method === "HEAD") return stream.respond({ ":status": 200, "content-length": 5 }, { endStream: true });
    return way(stream);
  });
  server.listen(Number(port), "127.0.0.1");
}

// A response: its status, fields, interim heads, body and trailers.
function ask(session, path, { method = "GET", body, trailers, fields = {} } = {}) {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ":method": body === undefined ? method : "POST", ":path": path, ...fields },
      { endStream: body === undefined, waitForTrailers: Boolean(trailers) },
    );
    const got = { interim: [], body: [], trailers: {} };
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.on("headers", (head) => got.interim.push(head[":status"]));
    stream.on("response", (head) => ((got.status = head[":status"]), (got.fields = head)));
    stream.on("trailers", (came) => (got.trailers = came));
    stream.on("data", (data) => got.body.push(data));
    stream.on("error", reject);
    stream.on("close", () => resolve({ ...got, body: Buffer.concat(got.body) }));
    if (body !== undefined) stream.end(body);
  });
}

const cases = {
  async "bodies and trailers both ways"(session) {
    const body = Buffer.alloc(1 << 20, "abc");
    const got = await ask(session, "/echo", { body, trailers: { "x-sent": "t" }, fields: { te: "trailers" } });
    assert.strictEqual(got.status, 200);
    assert.strictEqual(got.fields["x-node"], "yes");
    assert(got.body.equals(body));
    assert.strictEqual(got.trailers["x-tail"], "t");
  },
  async "no body"(session) {
    assert.strictEqual((await ask(session, "/empty")).status, 204);
    assert.strictEqual((await ask(session, "/length", { body: "" })).body.toString(), "0");
    assert.strictEqual((await ask(session, "/missing")).status, 404);
  },
  async "head"(session) {
    const got = await ask(session, "/length", { method: "HEAD" });
    assert.strictEqual(got.fields["content-length"], "5");
    assert.strictEqual(got.body.length, 0);
  },
  async "interim responses"(session) {
    const got = await ask(session, "/interim");
    assert.deepStrictEqual(got.interim, [103]);
    assert.strictEqual(got.body.toString(), "final");
  },
  async "downloads"(session) {
    const all = await Promise.all([1, 2, 3].map(() => ask(session, "/bytes")));
    all.forEach((got) => assert.strictEqual(got.body.length, 8 << 20));
  },
  async "uploads"(session) {
    const body = Buffer.alloc(8 << 20, "u");
    const all = await Promise.all([1, 2, 3].map(() => ask(session, "/length", { body })));
    all.forEach((got) => assert.strictEqual(got.body.toString(), `${8 << 20}`));
  },
  async "many at once"(session) {
    const all = Array.from({ length: 90 }, (_, n) => ask(session, "/length", { body: "n".repeat(n) }));
    (await Promise.all(all)).forEach((got, n) => assert.strictEqual(got.body.toString(), `${n}`));
  },
  async "a response that is cut"(session) {
    await assert.rejects(ask(session, "/cut"), { code: "ERR_HTTP2_STREAM_ERROR" });
  },
  async "a request that is given up"(session) {
    const stream = session.request({ ":path": "/hangs" });
    stream.on("error", () => {});
    await new Promise((resolve) => setTimeout(resolve, 200));
    stream.close(NGHTTP2_CANCEL);
    for (const until = Date.now() + 10000; ; ) {
      if ((await ask(session, "/cancelled")).body.toString() === "1") break;
      assert(Date.now() < until, "the server was not told");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
  async "an endpoint that goes away"(session) {
    const last = ask(session, "/goaway");
    assert.strictEqual((await last).body.toString(), "last");
    assert.strictEqual((await ask(session, "/length", { body: "four" })).body.toString(), "4");
  },
};

async function call(port) {
  const session = http2.connect(`http://127.0.0.1:${port}`, options);
  for (const [name, run] of Object.entries(cases)) {
    await run(session);
    console.log("ok", name);
  }
  session.close();
}

const [role, port] = process.argv.slice(2);
if (role === "server") serve(port);
else call(port).catch((error) => (console.error(error), process.exit(1)));
