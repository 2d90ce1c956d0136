import { connect, type Socket } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { type VirtualClock, virtualClock } from "../../adapters/system/virtual-clock.ts";
import { EventStream, KEEP_ALIVE_MS, STALLED_MS, takesEvents, wantsEvents } from "./event-stream.ts";

let app: FastifyInstance;
let clock: VirtualClock;
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await app.close();
});

/** A server whose one route hands its stream to the test, and a client of it. */
async function open(): Promise<{
  readonly stream: EventStream;
  readonly socket: Socket;
  read(fits: RegExp): Promise<string>;
}> {
  app = Fastify();
  clock = virtualClock();
  const opened = Promise.withResolvers<EventStream>();
  app.get("/", (request, reply) => {
    reply.header("x-frame-options", "DENY");
    opened.resolve(new EventStream(request, reply, clock));
  });
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  sockets.add(socket);
  socket.on("error", () => undefined);
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  let text = "";
  let wake = (): void => undefined;
  socket.on("data", (chunk) => {
    text += String(chunk);
    wake();
  });
  socket.on("close", () => wake());
  const read = async (fits: RegExp): Promise<string> => {
    while (!fits.test(text)) {
      if (socket.closed) throw new Error(`ended after ${text}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return text;
  };
  return { stream: await opened.promise, socket, read };
}

describe("a stream of events", () => {
  it("sends its head at once, and events as they come", async () => {
    const { stream, read } = await open();
    const head = await read(/retry/);
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n.*content-type: text\/event-stream; charset=utf-8\r\n/s);
    expect(head).toContain("cache-control: no-cache, no-transform");
    expect(head).toContain("x-frame-options: DENY");
    await stream.send({ id: "1-a", event: "job.status_changed", data: '{"a":1}' });
    expect(await read(/data/)).toContain('id: 1-a\nevent: job.status_changed\ndata: {"a":1}\n\n');
    await stream.end("enough", clock.deadline(new AbortController().signal, 1_000));
    expect(await read(/enough/)).toContain(": enough\n\n");
  });

  it("says that it lives, and where a reader goes on (V3)", async () => {
    const { stream, read } = await open();
    let place = "1-";
    void stream.keepAlive(() => place);
    await clock.advance(KEEP_ALIVE_MS);
    await read(/: alive\nid: 1-\n\n/);
    place = "2-";
    await clock.advance(KEEP_ALIVE_MS);
    await read(/: alive\nid: 2-\n\n/);
  });

  it("asks for no more than a deaf reader takes, and cuts it after a while (V1, V2)", async () => {
    const { stream, socket } = await open();
    socket.pause();
    const data = "x".repeat(100_000);
    let sent = 0;
    const sending = (async () => {
      for (; !stream.over.aborted; sent++) await stream.send({ id: "1-", event: "e", data });
    })();
    // What the network of this machine takes is bounded; then the count stands still.
    for (let before = -1; before !== sent; await new Promise((resolve) => setImmediate(resolve))) {
      before = sent;
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(500);
    expect(stream.over.aborted).toBe(false);
    await clock.advance(STALLED_MS);
    await sending;
    await stream.gone;
    expect(clock.pending).toBe(0);
  });

  it("ends at once when its reader is deaf and the process is not to wait", async () => {
    const { stream, socket } = await open();
    socket.pause();
    const data = "x".repeat(10_000_000);
    const sending = stream.send({ id: "1-", event: "e", data });
    await stream.end("closing", AbortSignal.abort());
    await sending;
    expect(stream.over.aborted).toBe(true);
  });
});

describe("wanting events", () => {
  it.each([
    ["text/event-stream", true, true],
    ["application/json, TEXT/Event-Stream;q=0.9", true, true],
    ["*/*", false, true],
    ["text/*", false, true],
    ["application/json, */*;q=0.1", false, true],
    ["", false, true],
    ["application/json", false, false],
    ["text/event-streams", false, false],
  ])("is said by Accept: %s → %s; taking them → %s", async (accept, wants, takes) => {
    app = Fastify();
    app.get("/", async (request) => ({ wants: wantsEvents(request), takes: takesEvents(request) }));
    const { headers } = { headers: accept === "" ? {} : { accept } };
    expect((await app.inject({ url: "/", headers })).json()).toEqual({ wants, takes });
  });
});
