// WebSockets: from a request that asks for one to a socket.
// Owns:          the way of an upgrade through the router, the handshake, which subprotocol is selected.
// Must not know: what flows, which routes there are.
// U1. An upgrade goes the way of every request: origin, limits, credential, permission, handler. Until a handler accepts it, it is answered
//     like one, with the problem that it deserves. U2. Where no handler accepts, there is no socket: a route that knows nothing of sockets
//     answers as without the wish. U3. No compression: it costs memory for every socket, and packets are small.

import { type IncomingMessage, type Server, ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type WebSocket, WebSocketServer } from "ws";
import { Fault } from "../ports/fault.ts";
import { KEY_SUBPROTOCOL } from "./credentials.ts";
import { GatewaySocket, type SocketParts, type SocketSettings } from "./gateway-socket.ts";

export interface AcceptOptions {
  /** Larger messages of the peer close the socket with 1009. */
  readonly frameBytesMax: number;
  /** Selected when the peer offers one of them; else the protocol by which a key is presented is. */
  readonly subprotocols?: readonly string[];
}

/** What Fastify offers of itself. */
export interface Router {
  readonly server: Server;
  routing(request: IncomingMessage, response: ServerResponse): void;
}

interface Upgrade {
  readonly socket: Socket;
  readonly head: Buffer;
}

const KEY_FORM = /^[+/0-9A-Za-z]{22}==$/;

/** For the HTTP server: only these requests leave the ordinary way. */
export function asksForSocket(request: IncomingMessage): boolean {
  return request.method === "GET" && (request.headers.upgrade ?? "").toLowerCase() === "websocket";
}

export class Sockets {
  readonly #parts: SocketParts;
  readonly #settings: SocketSettings;
  readonly #upgrades = new WeakMap<IncomingMessage, Upgrade>();
  readonly #servers = new Map<number, WebSocketServer>();
  readonly #open = new Set<GatewaySocket>();

  constructor(router: Router, parts: SocketParts, settings: SocketSettings) {
    this.#parts = parts;
    this.#settings = settings;
    router.server.on("upgrade", (raw: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (socket instanceof Socket) this.#route(router, raw, { socket, head });
      else socket.destroy();
    });
  }

  /** Whether the request asks for a socket. */
  isAskedBy(request: FastifyRequest): boolean {
    return this.#upgrades.has(request.raw);
  }

  /** Answers the request with a socket. Say what to do with its messages before anything else is awaited.
   *  Fault INVALID_REQUEST when the request is no proper handshake; then nothing has happened. */
  accept(request: FastifyRequest, reply: FastifyReply, options: AcceptOptions): GatewaySocket {
    const { raw } = request;
    const upgrade = this.#upgrades.get(raw);
    if (upgrade === undefined || !isHandshake(raw)) throw notASocket(reply);
    this.#upgrades.delete(raw);
    reply.hijack();
    reply.raw.detachSocket(upgrade.socket);
    select(raw, options.subprotocols ?? []);
    let accepted: GatewaySocket | undefined;
    this.#serverFor(options.frameBytesMax).handleUpgrade(raw, upgrade.socket, upgrade.head, (ws: WebSocket) => {
      accepted = this.#keep(ws);
    });
    if (accepted === undefined) throw new Error("a handshake that was checked was refused");
    return accepted;
  }

  /** Cuts all of them. */
  close(): void {
    for (const socket of this.#open) socket.terminate();
  }

  #keep(ws: WebSocket): GatewaySocket {
    const socket = new GatewaySocket(ws, this.#parts, this.#settings);
    this.#open.add(socket);
    this.#tellSize();
    void socket.gone.then(() => {
      this.#open.delete(socket);
      this.#tellSize();
    });
    return socket;
  }

  #tellSize(): void {
    this.#parts.meter.gauge("cordum_gateway_ws_clients_active", this.#open.size);
  }

  /** One for each size of frames, of which there are as many as there are routes. */
  #serverFor(frameBytesMax: number): WebSocketServer {
    const known = this.#servers.get(frameBytesMax);
    if (known !== undefined) return known;
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: frameBytesMax,
      handleProtocols: (offered) => [...offered][0] ?? false,
    });
    this.#servers.set(frameBytesMax, server);
    return server;
  }

  #route(router: Router, raw: IncomingMessage, upgrade: Upgrade): void {
    const { socket } = upgrade;
    // Node has taken its own listener away; an error while the router works must not end the process.
    socket.on("error", () => socket.destroy());
    this.#upgrades.set(raw, upgrade);
    const response = new ServerResponse(raw);
    // Behind an upgrade nobody reads further requests of this connection.
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once("finish", () => socket.destroySoon());
    router.routing(raw, response);
  }
}

function isHandshake({ headers }: IncomingMessage): boolean {
  const key = headers["sec-websocket-key"];
  return headers["sec-websocket-version"] === "13" && typeof key === "string" && KEY_FORM.test(key);
}

/** The answer of a route of sockets to a request that asks for none. */
export function notASocket(reply: FastifyReply): Fault {
  reply.header("sec-websocket-version", "13");
  return new Fault("INVALID_REQUEST", "Bad Request", {
    fields: [{ field: "Upgrade", reason: "this path is a WebSocket of version 13" }],
  });
}

/** `ws` takes an answer from the list that the peer has sent: it is made to hold what we select, and nothing else. */
function select({ headers }: IncomingMessage, preferred: readonly string[]): void {
  const text = headers["sec-websocket-protocol"];
  if (text === undefined) return;
  const offered = text.split(",").map((protocol) => protocol.trim());
  const isKey = (protocol: string): boolean => protocol.toLowerCase().split(".")[0] === KEY_SUBPROTOCOL;
  const own = preferred.find((protocol) => offered.includes(protocol));
  // With the dotted form too: its name holds the key, which an answer must not repeat.
  const selected = own ?? (offered.some(isKey) ? KEY_SUBPROTOCOL : undefined);
  if (selected === undefined) delete headers["sec-websocket-protocol"];
  else headers["sec-websocket-protocol"] = selected;
}
