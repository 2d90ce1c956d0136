import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { silentLog } from "../telemetry/log.ts";
import { createMeter, DEFAULT_METER_SETTINGS } from "../telemetry/meter.ts";
import { parseApiKeys } from "./api-keys.ts";
import { createApp, registerRoutes } from "./app.ts";
import { type Auth, createAuth } from "./auth.ts";
import { Flight } from "./flight.ts";
import { CLOSE, type GatewaySocket } from "./gateway-socket.ts";
import { HeldConnections, type HeldSettings } from "./held-connections.ts";
import { callerOf } from "./http/route-parts.ts";
import { parseOrigins } from "./origins.ts";
import { DEFAULT_GATEWAY_SETTINGS } from "./parts.ts";
import { notASocket, Sockets } from "./sockets.ts";
import { raw } from "./testing/raw-http.ts";

const KEYS = JSON.stringify([
  { key: "admin-key", tenant: "acme", role: "admin" },
  { key: "a-key/with+odd=signs", tenant: "acme", role: "admin" },
  { key: "YWJjZA", tenant: "acme", role: "admin" },
  { key: "viewer-key", tenant: "acme", role: "viewer" },
  { key: "brief-key", tenant: "acme", role: "admin", expires_at: "2030-01-01T00:10:00Z" },
]);
const never = new AbortController().signal;

/** A server whose `/api/v1/echo` says back what it hears, and `/api/v1/plain`, which knows nothing of sockets. */
async function openEcho(over: { readonly held?: Partial<HeldSettings>; readonly now?: number } = {}) {
  const clock = virtualClock();
  const meter = createMeter({ ...DEFAULT_METER_SETTINGS, process: false });
  const log = silentLog();
  const flight = new Flight();
  const sources = { keys: KEYS, file: undefined, single: [], defaultTenant: "t", allowsNoKeys: false };
  const auth: Auth = createAuth(parseApiKeys(sources).keys, "t");
  const settings = { ...DEFAULT_GATEWAY_SETTINGS, origins: parseOrigins([]).rules };
  const app = createApp({ auth, clock, log, meter, flight, denials: { note: () => undefined }, settings });
  const sockets = new Sockets(app, { clock, log, meter }, settings.sockets);
  const held = new HeldConnections({ auth, clock, meter }, { ...settings.held, ...over.held });
  const accepted: GatewaySocket[] = [];
  registerRoutes(app, () => {
    app.get("/api/v1/plain", { config: { permission: "jobs.read" } }, async () => "plain");
    app.get("/api/v1/echo", { config: { permission: "workers.read" } }, async (request, reply) => {
      if (!sockets.isAskedBy(request)) throw notASocket(reply);
      let socket: GatewaySocket | undefined;
      const release = held.hold({
        kind: "stream",
        caller: callerOf(request),
        address: request.ip,
        end: async (cause, deadline) => socket?.end(CLOSE.GOING_AWAY, cause, deadline),
      });
      socket = sockets.accept(request, reply, { frameBytesMax: 1_000 });
      void socket.gone.then(release);
      socket.listen((bytes, isText) => void (isText ? accepted[0]?.sendText(bytes) : accepted[0]?.send(bytes)));
      accepted.push(socket);
      return reply;
    });
  });
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const running = held.run(stop.signal);
  return {
    clock,
    held,
    accepted,
    meter,
    url,
    ws: url.replace("http", "ws"),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      sockets.close();
      await app.close();
    },
  };
}

const clients = new Set<WebSocket>();
afterEach(() => {
  for (const client of clients) client.terminate();
  clients.clear();
});

interface Opened {
  readonly client: WebSocket;
  readonly messages: { readonly text: string; readonly isBinary: boolean }[];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
}

type Dial = {
  readonly protocols?: readonly string[];
  readonly headers?: Record<string, string>;
  readonly autoPong?: boolean;
};

/** An open socket, or the status with which it was refused. */
function dial(url: string, { protocols = [], headers = {}, autoPong = true }: Dial = {}): Promise<Opened | number> {
  const client = new WebSocket(url, [...protocols], { headers, autoPong });
  clients.add(client);
  const messages: Opened["messages"] = [];
  client.on("message", (data, isBinary) => messages.push({ text: String(data), isBinary }));
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    client.on("close", (code, reason) => resolve({ code, reason: String(reason) })),
  );
  return new Promise((resolve, reject) => {
    client.on("open", () => resolve({ client, messages, closed }));
    client.on("unexpected-response", (_, response) => resolve(response.statusCode ?? 0));
    client.on("error", reject);
  });
}

async function opened(url: string, how: Dial = { headers: { "x-api-key": "admin-key" } }): Promise<Opened> {
  const socket = await dial(url, how);
  if (typeof socket === "number") throw new Error(`refused with ${socket}`);
  return socket;
}

const heard = (client: WebSocket): Promise<unknown> => new Promise((resolve) => client.once("message", resolve));
const base64url = (text: string): string => Buffer.from(text).toString("base64url");

describe("an upgrade", () => {
  it("goes through the doorman: key, permission, origin", async () => {
    await using server = await openEcho();
    const status = (how: Dial) => dial(`${server.ws}/api/v1/echo`, how);
    expect(await status({})).toBe(401);
    expect(await status({ headers: { "x-api-key": "wrong" } })).toBe(401);
    expect(await dial(`${server.ws}/api/v1/echo?api_key=admin-key`)).toBe(401);
    const foreign = { "x-api-key": "admin-key", origin: "https://evil.example" };
    expect(await status({ headers: foreign })).toBe(403);
    expect(await dial(`${server.ws}/api/v1/nowhere`, { headers: { "x-api-key": "admin-key" } })).toBe(404);
    expect(await dial(`${server.ws}/api/v1/plain`, { headers: { "x-api-key": "admin-key" } })).toBe(200);
    expect(server.accepted).toEqual([]);
    await opened(`${server.ws}/api/v1/echo`, {
      headers: { "x-api-key": "admin-key", origin: "http://localhost:3000" },
    });
    expect(server.accepted).toHaveLength(1);
  });

  it.each<[string, readonly string[]]>([
    ["a pair, encoded", ["cordum-api-key", base64url("admin-key")]],
    ["a pair with a literal key that looks like base64", ["cordum-api-key", "YWJjZA"]],
    ["a pair beside other protocols", ["graphql-ws", "cordum-api-key", base64url("a-key/with+odd=signs")]],
  ])("takes a key by subprotocol: %s", async (_, protocols) => {
    await using server = await openEcho();
    const { client } = await opened(`${server.ws}/api/v1/echo`, { protocols });
    expect(client.protocol).toBe("cordum-api-key");
  });

  it("takes a key by the dotted subprotocol, and does not say it back", async () => {
    await using server = await openEcho();
    const key = base64url("admin-key");
    const upgrade = `GET /api/v1/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${"A".repeat(22)}==\r\nSec-WebSocket-Protocol: cordum-api-key.${key}\r\n\r\n`;
    // A masked close frame, so that the server ends the connection.
    const answer = await raw(server.url, `${upgrade}\x88\x80\x00\x00\x00\x00`);
    expect(answer).toMatch(/^HTTP\/1\.1 101 .*\r\nSec-WebSocket-Protocol: cordum-api-key\r\n/s);
    expect(answer).not.toContain(key);
  });

  it.each([
    ["without a key of the handshake", "Sec-WebSocket-Version: 13\r\n"],
    ["of another version", `Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: ${"A".repeat(22)}==\r\n`],
  ])("%s is a bad request that names the version", async (_, headers) => {
    await using server = await openEcho();
    const answer = await raw(
      server.url,
      `GET /api/v1/echo HTTP/1.1\r\nHost: x\r\nX-Api-Key: admin-key\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 .*sec-websocket-version: 13\r\n.*"error":"Bad Request"/s);
  });

  it("that is none is answered like any request", async () => {
    await using server = await openEcho();
    const answer = await fetch(`${server.url}/api/v1/echo`, { headers: { "x-api-key": "admin-key" } });
    expect([answer.status, answer.headers.get("sec-websocket-version")]).toEqual([400, "13"]);
    const post = await raw(
      server.url,
      "POST /api/v1/plain HTTP/1.1\r\nHost: x\r\nX-Api-Key: admin-key\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
    );
    expect(post).toMatch(/^HTTP\/1\.1 405 /);
  });
});

describe("a socket", () => {
  it("carries text and bytes, both ways", async () => {
    await using server = await openEcho();
    const { client, messages } = await opened(`${server.ws}/api/v1/echo`);
    for (const message of ["grüße", Buffer.from([0, 255])]) {
      const answer = heard(client);
      client.send(message);
      await answer;
    }
    expect(messages).toEqual([
      { text: "grüße", isBinary: false },
      { text: Buffer.from([0, 255]).toString(), isBinary: true },
    ]);
  });

  it("ends when a frame is too large, and no other does", async () => {
    await using server = await openEcho();
    const large = await opened(`${server.ws}/api/v1/echo`);
    const other = await opened(`${server.ws}/api/v1/echo`);
    large.client.send("x".repeat(1_001));
    expect((await large.closed).code).toBe(1009);
    other.client.ping();
    await new Promise((resolve) => other.client.once("pong", resolve));
    expect(server.held.count("stream")).toBe(1);
  });

  it("is asked when it is silent, and cut when it does not answer (K1)", async () => {
    await using server = await openEcho();
    const silent = await opened(`${server.ws}/api/v1/echo`, { headers: { "x-api-key": "admin-key" }, autoPong: false });
    const pinged = new Promise((resolve) => silent.client.once("ping", resolve));
    await server.clock.advance(30_000);
    await pinged;
    await server.clock.advance(10_000);
    expect((await silent.closed).code).toBe(1006);
    const [socket] = server.accepted;
    await socket?.gone;
    expect(await server.meter.text()).toContain("cordum_gateway_ws_pong_timeouts_total 1");
  });

  it("whose peer does not answer the closing is cut (K2)", async () => {
    await using server = await openEcho();
    const { client } = await opened(`${server.ws}/api/v1/echo`);
    client.pause();
    const [socket] = server.accepted;
    socket?.close(CLOSE.POLICY, "enough");
    await server.clock.advance(2_000);
    await socket?.gone;
    expect(server.held.count("stream")).toBe(0);
  });

  it("that pings and never reads is cut (K3)", async () => {
    await using server = await openEcho();
    const { client } = await opened(`${server.ws}/api/v1/echo`);
    const [socket] = server.accepted;
    client.on("error", () => undefined);
    client.pause();
    const block = Buffer.alloc(125);
    while (!(socket?.closed.aborted ?? true)) {
      for (let each = 0; each < 1_000; each++) client.ping(block);
      await new Promise((resolve) => client.ping(block, undefined, resolve));
      expect(socket?.waitingBytes).toBeLessThan(64 * 1024);
    }
    await socket?.gone;
    expect(server.held.count("stream")).toBe(0);
  });
});

describe("connections that are held", () => {
  it("end within a minute when their key does (N2), and others stay", async () => {
    await using server = await openEcho();
    const brief = await opened(`${server.ws}/api/v1/echo`, { headers: { "x-api-key": "brief-key" } });
    const lasting = await opened(`${server.ws}/api/v1/echo`);
    const expiry = 600_000;
    for (let passed = 0; passed < expiry + 60_000; passed += 20_000) {
      await server.clock.advance(20_000);
      // Pings and pongs are real packets: they take their turn before the clock goes on.
      lasting.client.ping();
      await new Promise((resolve) => lasting.client.once("pong", resolve));
      if (brief.client.readyState === WebSocket.OPEN) brief.client.ping();
    }
    expect(await brief.closed).toEqual({ code: 1001, reason: "credential_ended" });
    expect(lasting.client.readyState).toBe(WebSocket.OPEN);
  });

  it("are limited, by key and in all", async () => {
    const limits = { stream: { ofKeyMax: 1, max: 2 }, worker: { ofKeyMax: 1, max: 1 } };
    await using server = await openEcho({ held: { limits } });
    const first = await opened(`${server.ws}/api/v1/echo`);
    const again = { headers: { "x-api-key": "admin-key" } };
    expect(await dial(`${server.ws}/api/v1/echo`, again)).toBe(429);
    await opened(`${server.ws}/api/v1/echo`, { headers: { "x-api-key": "YWJjZA" } });
    expect(await dial(`${server.ws}/api/v1/echo`, { headers: { "x-api-key": "brief-key" } })).toBe(429);
    first.client.close();
    await server.accepted[0]?.gone;
    await opened(`${server.ws}/api/v1/echo`);
  });

  it("are told and ended by a drain, and no new ones come (N3)", async () => {
    await using server = await openEcho();
    const kind = await opened(`${server.ws}/api/v1/echo`);
    const deaf = await opened(`${server.ws}/api/v1/echo`);
    deaf.client.pause();
    const draining = server.held.endAll("draining", never);
    expect(await kind.closed).toEqual({ code: 1001, reason: "draining" });
    await server.clock.advance(2_000);
    await draining;
    expect(server.held.count("stream")).toBe(0);
    expect(await dial(`${server.ws}/api/v1/echo`, { headers: { "x-api-key": "admin-key" } })).toBe(503);
  });
});
