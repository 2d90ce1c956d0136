import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { readWhole, WholeMessage } from "./whole-body.ts";

const BYTES_MAX = 1_000;
const heard: string[] = [];
const requests: IncomingMessage[] = [];
let server: Server | undefined;
let socket: Socket | undefined;
afterEach(async () => {
  socket?.destroy();
  server?.closeAllConnections();
  if (server !== undefined) await new Promise((resolve) => server?.close(resolve));
  heard.length = 0;
  requests.length = 0;
});

/** A server that answers each body with itself. `askAfterMs`: when it asks for the body; undefined: at once. `answerAfterMs`: likewise. */
async function serve(waits: { readonly askAfterMs?: number; readonly answerAfterMs?: number } = {}) {
  server = createServer({ IncomingMessage: WholeMessage }, async (request, response) => {
    requests.push(request);
    if (waits.askAfterMs !== undefined) await sleep(waits.askAfterMs);
    let isReturned = false;
    readWhole(request, BYTES_MAX, async (failure, body) => {
      expect(isReturned).toBe(true);
      heard.push(failure ?? body.toString());
      if (waits.answerAfterMs !== undefined) await sleep(waits.answerAfterMs);
      response.end(`<${failure ?? body.toString()}>`);
    });
    isReturned = true;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const opened = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket = opened;
  await once(opened, "connect");
  let answers = "";
  opened.setEncoding("latin1").on("data", (text: string) => {
    answers += text;
  });
  return {
    socket: opened,
    answered: (text: string) => expect.poll(() => answers).toContain(text),
    text: () => answers,
  };
}

const post = (body: string): string => `POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
const chunked = (...chunks: readonly string[]): string =>
  `POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n${[...chunks, ""].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}`;

describe.each([
  ["at once", {}],
  ["later", { askAfterMs: 20 }],
])("a body that is asked for %s", (_, waits) => {
  it.each<[string, string, string]>([
    ["in one piece", post("hello"), "hello"],
    ["of nothing", post(""), ""],
    ["in chunks", chunked("hel", "lo"), "hello"],
    ["of the greatest size", post("x".repeat(BYTES_MAX)), "x".repeat(BYTES_MAX)],
    ["a byte larger", post("x".repeat(BYTES_MAX + 1)), "too large"],
    ["larger by its last chunk", chunked("x".repeat(BYTES_MAX), "y"), "too large"],
    ["much larger", chunked("x".repeat(90_000), "y".repeat(90_000)), "too large"],
  ])("%s", async (_name, bytes, says) => {
    const { socket, answered } = await serve(waits);
    socket.write(bytes);
    await answered(`<${says}>`);
    socket.write(post("next"));
    await answered("<next>");
    expect(heard).toEqual([says, "next"]);
  });

  it("comes in as many writes as it likes", async () => {
    const { socket, answered } = await serve(waits);
    for (const byte of post("slowly")) {
      socket.write(byte);
      await sleep(1);
    }
    await answered("<slowly>");
    expect(heard).toEqual(["slowly"]);
  });

  it("is told from the one behind it", async () => {
    const { socket, answered, text } = await serve(waits);
    socket.write(post("one") + chunked("two") + post("") + post("four"));
    await answered("<four>");
    expect(text().match(/<\w*>/g)).toEqual(["<one>", "<two>", "<>", "<four>"]);
  });

  it("fails once when it ends early", async () => {
    const { socket } = await serve(waits);
    socket.write(post("half of it").slice(0, -5));
    await expect.poll(() => requests.length).toBe(1);
    await sleep(40);
    socket.destroy();
    await expect.poll(() => heard).toEqual(["ended early"]);
    await sleep(20);
    expect(heard).toEqual(["ended early"]);
  });

  it("leaves its request as one that was read", async () => {
    const { socket, answered } = await serve({ ...waits, answerAfterMs: 40 });
    socket.write(post("hello"));
    await answered("<hello>");
    const [request] = requests;
    const { aborted, complete, readableEnded, closed } = request ?? {};
    expect({ aborted, complete, readableEnded, closed }).toEqual({
      aborted: false,
      complete: true,
      readableEnded: true,
      closed: true,
    });
  });
});

describe("a body without a socket", () => {
  it.each<[string, readonly string[], string]>([
    ["whole", ["a", "b"], "ab"],
    ["too large", ["x".repeat(BYTES_MAX), "y", "z"], "too large"],
  ])("%s", async (_, chunks, says) => {
    const done = Promise.withResolvers<string>();
    const source = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
    readWhole(source, BYTES_MAX, (failure, body) => done.resolve(failure ?? body.toString()));
    expect(await done.promise).toBe(says);
  });

  it("fails with its stream", async () => {
    const done = Promise.withResolvers<string>();
    const source = new Readable({ read: () => undefined });
    readWhole(source, BYTES_MAX, (failure) => done.resolve(failure ?? ""));
    source.push(Buffer.from("half"));
    source.destroy(new Error("gone"));
    expect(await done.promise).toBe("ended early");
  });
});
