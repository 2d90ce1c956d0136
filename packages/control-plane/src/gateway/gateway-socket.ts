// A WebSocket as the rest of the gateway sees it.
// Owns:          sending with the peer's pace known, closing with a reason and an end, pings, what a peer's pings may cost.
// Must not know: which route it belongs to, what frames mean, who is allowed what.
// K1. A peer from which nothing was heard for `pingMs` is asked; one that does not answer within `pongMs` is gone.
// K2. A closing handshake that the peer does not finish within CLOSE_MS is cut. K3. A peer that
//     sends pings and does not read the answers is cut (`ws` does that). K4. Nothing here throws at its caller because of what a peer does.

import type { WebSocket } from "ws";
import type { Clock } from "../ports/clock.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";

export interface SocketSettings {
  readonly pingMs: Ms;
  readonly pongMs: Ms;
}

export const DEFAULT_SOCKET_SETTINGS: SocketSettings = { pingMs: 30_000, pongMs: 10_000 };

export interface SocketParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** Why a socket closed: RFC 6455, section 7.4. */
export const CLOSE = {
  NORMAL: 1000,
  GOING_AWAY: 1001,
  POLICY: 1008,
  TOO_LARGE: 1009,
  INTERNAL: 1011,
  TRY_AGAIN: 1013,
} as const;

const CLOSE_MS = 2_000;
/** What a close frame can carry. */
const REASON_BYTES_MAX = 123;

export class GatewaySocket {
  readonly #ws: WebSocket;
  readonly #parts: SocketParts;
  readonly #closed = new AbortController();
  readonly #gone = Promise.withResolvers<void>();
  readonly #openedAt: Ms;
  #isAlive = true;
  #onMessage: ((bytes: Uint8Array, isText: boolean) => void) | undefined;

  constructor(ws: WebSocket, parts: SocketParts, settings: SocketSettings) {
    this.#ws = ws;
    this.#parts = parts;
    this.#openedAt = parts.clock.mono();
    this.#follow();
    void this.#watch(settings);
  }

  /** Fires as soon as nothing can be sent or heard any more, whoever closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Resolves when the connection itself is gone. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** What was handed in and the peer has not taken yet. */
  get waitingBytes(): number {
    return this.#ws.bufferedAmount;
  }

  /** Who hears messages; set it before the turn of the event loop ends in which the socket was accepted. */
  listen(onMessage: (bytes: Uint8Array, isText: boolean) => void): void {
    this.#onMessage = onMessage;
  }

  /** A binary frame. Resolves when it was handed to the network, or when the socket has closed. Never rejects. */
  send(frame: Uint8Array): Promise<void> {
    return this.#send(frame, true);
  }

  /** A text frame, from text or its UTF-8. As `send`. */
  sendText(text: string | Uint8Array): Promise<void> {
    return this.#send(text, false);
  }

  /** Nothing is sent or heard any more; the peer is told why. A second call does nothing. */
  close(code: number, reason: string): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    this.#ws.close(code, cut(reason));
    void this.#cutLater();
  }

  /** Without a word. */
  terminate(): void {
    this.#closed.abort();
    this.#ws.terminate();
  }

  /** Closes, and waits until the connection is gone or `deadline` fires; then it is cut. */
  async end(code: number, reason: string, deadline: AbortSignal): Promise<void> {
    if (deadline.aborted) this.terminate();
    else this.close(code, reason);
    const onAbort = (): void => this.terminate();
    deadline.addEventListener("abort", onAbort, { once: true });
    await this.gone;
    deadline.removeEventListener("abort", onAbort);
  }

  #send(frame: string | Uint8Array, binary: boolean): Promise<void> {
    if (this.#closed.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => this.#ws.send(frame, { binary, compress: false }, () => resolve()));
  }

  #follow(): void {
    const ws = this.#ws;
    const { meter, log, clock } = this.#parts;
    ws.on("message", (data, isBinary) => {
      this.#isAlive = true;
      if (this.#closed.signal.aborted || !(data instanceof Uint8Array)) return;
      this.#onMessage?.(data, !isBinary);
    });
    ws.on("pong", () => {
      this.#isAlive = true;
      meter.count("cordum_gateway_ws_pongs_received_total");
    });
    ws.on("ping", () => {
      this.#isAlive = true;
    });
    // A frame too large, broken frames, a reset: `ws` closes by itself.
    ws.on("error", (error) => log.debug("socket.failed", { reason: error.message }));
    ws.on("close", () => {
      this.#closed.abort();
      this.#gone.resolve();
      meter.observe("cordum_gateway_ws_connection_duration_seconds", (clock.mono() - this.#openedAt) / 1000);
    });
  }

  async #watch({ pingMs, pongMs }: SocketSettings): Promise<void> {
    const { clock, meter } = this.#parts;
    const over = this.#closed.signal;
    for (;;) {
      this.#isAlive = false;
      if (!(await clock.sleep(pingMs, over))) return;
      if (this.#isAlive) continue;
      if (this.#ws.readyState === this.#ws.OPEN) this.#ws.ping();
      meter.count("cordum_gateway_ws_pings_sent_total");
      if (!(await clock.sleep(pongMs, over))) return;
      if (this.#isAlive) continue;
      meter.count("cordum_gateway_ws_pong_timeouts_total");
      this.terminate();
    }
  }

  async #cutLater(): Promise<void> {
    const gone = new AbortController();
    void this.gone.then(() => gone.abort());
    if (await this.#parts.clock.sleep(CLOSE_MS, gone.signal)) this.#ws.terminate();
  }
}

function cut(reason: string): string {
  if (Buffer.byteLength(reason) <= REASON_BYTES_MAX) return reason;
  const bytes = Buffer.from(reason).subarray(0, REASON_BYTES_MAX);
  // A character that was cut in two would be no UTF-8.
  return bytes.toString("utf8").replace(/\uFFFD+$/, "");
}
