// Frames: what a worker and a gateway say to each other over a WebSocket.
// Owns:          the form of a frame, its limits, and why a connection is closed.
// Must not know: sockets; what a packet means; who may do what.
// A1. One binary message is one frame: kind (1 byte), id (4 bytes), length of the name (2 bytes), name (UTF-8), body (the rest). Numbers are
//     big-endian and unsigned. What is no frame is told by a reason; reading never throws, whatever the bytes.
// A2. An id joins an answer with what it answers. Each side counts its own from 1: requests those of the worker, deliveries those of the
//     gateway. Frames that are not answered have the id 0.
// A3. A body is not copied when a frame is read: it is a view of the message.
// A4. Numbers of kinds are never given to another kind. Whoever meets one that it does not know closes the connection: both sides say in the
//     first frame which version they speak.

/** Of the frames below. */
export const WORKER_FRAMES_VERSION = 1;

/** The largest header, and the largest name: the key of a payload. */
export const FRAME_NAME_BYTES_MAX = 1_024;
const HEADER_BYTES = 7;
const TTL_BYTES = 4;
/** What a frame has beside the payload that it carries, at most. */
export const FRAME_ROOM_BYTES = HEADER_BYTES + FRAME_NAME_BYTES_MAX + TTL_BYTES;
export const FRAME_ID_MAX = 0xffff_ffff;
const REASON_BYTES_MAX = 1_024;
const JSON_BYTES_MAX = 4_096;

/** Of a worker. */
export type WorkerFrame =
  /** The first: who it is. `window`: deliveries that it takes before it has answered any. */
  | { readonly kind: "hello"; readonly workerId: string; readonly version: number; readonly window: number }
  /** It wants what comes on the subject: its own, its cancels, or a topic. */
  | { readonly kind: "subscribe" | "unsubscribe"; readonly id: number; readonly subject: string }
  | { readonly kind: "publish"; readonly id: number; readonly subject: string; readonly packet: Uint8Array }
  | { readonly kind: "load"; readonly id: number; readonly key: string }
  | {
      readonly kind: "store";
      readonly id: number;
      readonly key: string;
      readonly ttlMs: number;
      readonly bytes: Uint8Array;
    }
  /** The delivery with this id has reached the worker: there is room for another. */
  | { readonly kind: "took"; readonly id: number };

export interface SessionLimits {
  /** Deliveries without `took` at once. */
  readonly window: number;
  /** Requests of the worker without an answer at once, and the bytes in them. */
  readonly requestsMax: number;
  readonly requestBytesMax: number;
  readonly packetBytesMax: number;
  readonly payloadBytesMax: number;
}

/** Of a gateway. */
export type GatewayFrame =
  /** The first: by which id the worker is known on the bus, for which tenant it works, and what it may ask for. */
  | {
      readonly kind: "welcome";
      readonly workerId: string;
      readonly version: number;
      readonly tenant: string;
      readonly session: string;
      readonly limits: SessionLimits;
    }
  | { readonly kind: "deliver"; readonly id: number; readonly subject: string; readonly packet: Uint8Array }
  /** The request with this id is done; the body of a `load` is what was loaded. */
  | { readonly kind: "done"; readonly id: number; readonly bytes: Uint8Array }
  /** Nothing lies behind the key of the `load` with this id. */
  | { readonly kind: "missing"; readonly id: number }
  /** `isFinal`: to ask again would be of no use. */
  | {
      readonly kind: "refused";
      readonly id: number;
      readonly code: string;
      readonly isFinal: boolean;
      readonly reason: string;
    }
  /** The gateway is about to end: no jobs come any more; connect again, elsewhere. Answers still come. */
  | { readonly kind: "goodbye"; readonly reason: string };

/** Why a gateway closes. Codes from 4000 are ours; 1008, 1009, 1011 and 1012 are the protocol's own (RFC 6455, IANA registry). */
export const SESSION_CLOSE = {
  /** A frame that is none, or at a moment where it has no place. */
  BAD_FRAME: 4_400,
  /** The first frame was no hello that could be accepted. */
  BAD_HELLO: 4_401,
  /** No hello within the time for one. */
  SILENT: 4_408,
  /** The same worker has connected anew. */
  REPLACED: 4_409,
  /** More at once than the welcome allowed. */
  TOO_MUCH: 4_429,
  /** The worker does not read what it asked for. */
  TOO_SLOW: 4_430,
  /** The credential does not count any more, or an operator has ended the session. */
  REVOKED: 1_008,
  TOO_LARGE: 1_009,
  FAILED: 1_011,
  /** After a goodbye. */
  RESTARTING: 1_012,
  /** No room for another session. */
  FULL: 1_013,
} as const;

export type FrameReading<F> =
  | { readonly kind: "frame"; readonly frame: F }
  | { readonly kind: "malformed"; readonly reason: string };

const WORKER_KINDS = { hello: 1, subscribe: 2, unsubscribe: 3, publish: 4, load: 5, store: 6, took: 7 } as const;
const GATEWAY_KINDS = { welcome: 16, deliver: 17, done: 18, missing: 19, refused: 20, goodbye: 21 } as const;

const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();
/** Of one lonely surrogate it makes nothing that another reader would take for something else: it throws. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Precondition: what a frame says fits its limits. */
export function writeWorkerFrame(frame: WorkerFrame): Uint8Array<ArrayBuffer> {
  const kind = WORKER_KINDS[frame.kind];
  switch (frame.kind) {
    case "hello":
      return write({ kind, id: 0, name: frame.workerId }, json({ version: frame.version, window: frame.window }));
    case "subscribe":
    case "unsubscribe":
      return write({ kind, id: frame.id, name: frame.subject });
    case "publish":
      return write({ kind, id: frame.id, name: frame.subject }, frame.packet);
    case "load":
      return write({ kind, id: frame.id, name: frame.key });
    case "store":
      return writeStore(frame);
    case "took":
      return write({ kind, id: frame.id, name: "" });
  }
}

/** Precondition: what a frame says fits its limits. A reason that is too long is cut. */
export function writeGatewayFrame(frame: GatewayFrame): Uint8Array<ArrayBuffer> {
  const kind = GATEWAY_KINDS[frame.kind];
  switch (frame.kind) {
    case "welcome": {
      const { version, tenant, session, limits } = frame;
      return write({ kind, id: 0, name: frame.workerId }, json({ version, tenant, session, ...limits }));
    }
    case "deliver":
      return write({ kind, id: frame.id, name: frame.subject }, frame.packet);
    case "done":
      return write({ kind, id: frame.id, name: "" }, frame.bytes);
    case "missing":
      return write({ kind, id: frame.id, name: "" });
    case "refused":
      return write({ kind, id: frame.id, name: `${frame.isFinal ? "!" : "?"}${frame.code}` }, text(frame.reason));
    case "goodbye":
      return write({ kind, id: 0, name: "" }, text(frame.reason));
  }
}

/** See A1. */
export function readWorkerFrame(message: Uint8Array): FrameReading<WorkerFrame> {
  const head = readHead(message);
  if (typeof head === "string") return malformed(head);
  const { kind, id, name, body } = head;
  switch (kind) {
    case WORKER_KINDS.hello:
      return readHello(head);
    case WORKER_KINDS.subscribe:
    case WORKER_KINDS.unsubscribe: {
      const which = kind === WORKER_KINDS.subscribe ? "subscribe" : "unsubscribe";
      if (body.length > 0) return malformed(`${which} has no body`);
      return asking(head) ?? { kind: "frame", frame: { kind: which, id, subject: name } };
    }
    case WORKER_KINDS.publish:
      return asking(head) ?? { kind: "frame", frame: { kind: "publish", id, subject: name, packet: body } };
    case WORKER_KINDS.load:
      if (body.length > 0) return malformed("load has no body");
      return asking(head) ?? { kind: "frame", frame: { kind: "load", id, key: name } };
    case WORKER_KINDS.store:
      if (body.length < TTL_BYTES) return malformed("store has no time to live");
      return asking(head) ?? { kind: "frame", frame: storeOf(id, name, body) };
    case WORKER_KINDS.took:
      return id === 0 || name !== "" || body.length > 0
        ? malformed("took has an id and nothing else")
        : { kind: "frame", frame: { kind: "took", id } };
    default:
      return malformed(`kind ${kind} is none of a worker's`);
  }
}

/** See A1. */
export function readGatewayFrame(message: Uint8Array): FrameReading<GatewayFrame> {
  const head = readHead(message);
  if (typeof head === "string") return malformed(head);
  const { kind, id, name, body } = head;
  switch (kind) {
    case GATEWAY_KINDS.welcome:
      return readWelcome(name, body);
    case GATEWAY_KINDS.deliver:
      return asking(head) ?? { kind: "frame", frame: { kind: "deliver", id, subject: name, packet: body } };
    case GATEWAY_KINDS.done:
      return { kind: "frame", frame: { kind: "done", id, bytes: body } };
    case GATEWAY_KINDS.missing:
      return { kind: "frame", frame: { kind: "missing", id } };
    case GATEWAY_KINDS.refused: {
      const reason = textOf(body);
      if (reason === undefined || !/^[!?]/.test(name)) return malformed("a refusal without code or reason");
      const isFinal = name.startsWith("!");
      return { kind: "frame", frame: { kind: "refused", id, code: name.slice(1), isFinal, reason } };
    }
    case GATEWAY_KINDS.goodbye: {
      const reason = textOf(body);
      return reason === undefined
        ? malformed("a goodbye without reason")
        : { kind: "frame", frame: { kind: "goodbye", reason } };
    }
    default:
      return malformed(`kind ${kind} is none of a gateway's`);
  }
}

interface Head {
  readonly kind: number;
  readonly id: number;
  readonly name: string;
}
type ReadHead = Head & { readonly body: Uint8Array };

function write({ kind, id, name }: Head, body: Uint8Array = NOTHING, roomBytes = 0): Uint8Array<ArrayBuffer> {
  const named = encoder.encode(name);
  const frame = new Uint8Array(HEADER_BYTES + named.length + roomBytes + body.length);
  const view = new DataView(frame.buffer);
  view.setUint8(0, kind);
  view.setUint32(1, id);
  view.setUint16(5, named.length);
  frame.set(named, HEADER_BYTES);
  frame.set(body, HEADER_BYTES + named.length + roomBytes);
  return frame;
}

function writeStore(frame: WorkerFrame & { readonly kind: "store" }): Uint8Array<ArrayBuffer> {
  const { id, key, ttlMs, bytes } = frame;
  const written = write({ kind: WORKER_KINDS.store, id, name: key }, bytes, TTL_BYTES);
  const ttlAt = written.length - bytes.length - TTL_BYTES;
  new DataView(written.buffer).setUint32(ttlAt, Math.min(Math.max(0, Math.round(ttlMs)), FRAME_ID_MAX));
  return written;
}

function storeOf(id: number, key: string, body: Uint8Array): WorkerFrame {
  const ttlMs = new DataView(body.buffer, body.byteOffset, TTL_BYTES).getUint32(0);
  return { kind: "store", id, key, ttlMs, bytes: body.subarray(TTL_BYTES) };
}

/** The head, or what is wrong with it. */
function readHead(message: Uint8Array): ReadHead | string {
  if (message.length < HEADER_BYTES) return `a frame has at least ${HEADER_BYTES} bytes`;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const nameBytes = view.getUint16(5);
  if (nameBytes > FRAME_NAME_BYTES_MAX) return `a name has at most ${FRAME_NAME_BYTES_MAX} bytes`;
  const bodyAt = HEADER_BYTES + nameBytes;
  if (bodyAt > message.length) return "the name is longer than the frame";
  const name = textOf(message.subarray(HEADER_BYTES, bodyAt));
  if (name === undefined) return "the name is not UTF-8";
  return { kind: view.getUint8(0), id: view.getUint32(1), name, body: message.subarray(bodyAt) };
}

/** What is wrong with a frame that has an id and a name. */
function asking({ id, name }: Head): { readonly kind: "malformed"; readonly reason: string } | undefined {
  if (id === 0) return malformed("a frame that is answered has an id");
  return name === "" ? malformed("the name is empty") : undefined;
}

function readHello({ id, name: workerId, body }: ReadHead): FrameReading<WorkerFrame> {
  if (id !== 0) return malformed("a hello has no id");
  const said = jsonOf(body);
  const { version, window } = said ?? {};
  if (!isWhole(version) || !isWhole(window)) return malformed("a hello says version and window, whole numbers from 1");
  return { kind: "frame", frame: { kind: "hello", workerId, version, window } };
}

function readWelcome(workerId: string, body: Uint8Array): FrameReading<GatewayFrame> {
  const { version, tenant, session, ...rest } = jsonOf(body) ?? {};
  const { window, requestsMax, requestBytesMax, packetBytesMax, payloadBytesMax } = rest;
  if (!isWhole(version) || typeof tenant !== "string" || typeof session !== "string")
    return malformed("a welcome says version, tenant and session");
  if (!isWhole(window) || !isWhole(requestsMax) || !isWhole(requestBytesMax))
    return malformed("a welcome says its limits");
  if (!isWhole(packetBytesMax) || !isWhole(payloadBytesMax)) return malformed("a welcome says its limits");
  const limits = { window, requestsMax, requestBytesMax, packetBytesMax, payloadBytesMax };
  return { kind: "frame", frame: { kind: "welcome", workerId, version, tenant, session, limits } };
}

function json(value: object): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/** Own properties alone are read from it; undefined when it is no JSON object. */
function jsonOf(body: Uint8Array): { readonly [name: string]: unknown } | undefined {
  const written = body.length <= JSON_BYTES_MAX ? textOf(body) : undefined;
  if (written === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(written);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return Object.assign(Object.create(null), value);
  } catch {
    return undefined; // whoever sends such a thing hears which form is expected
  }
}

function text(reason: string): Uint8Array {
  const bytes = encoder.encode(reason);
  // A cut within a character would not be UTF-8 any more.
  return bytes.length <= REASON_BYTES_MAX ? bytes : encoder.encode(reason.slice(0, REASON_BYTES_MAX / 4));
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}

function malformed(reason: string): { readonly kind: "malformed"; readonly reason: string } {
  return { kind: "malformed", reason };
}
