// One WebSocket to a gateway, from its opening to its end.
// Owns:          the global WebSocket: the key in its subprotocol, frames in and out, why it closed.
// Must not know: requests, reconnects.
// K1. Nothing is heard of it after `ended` was called, and that is called once. K2. The key is in no URL and in no message.

import { type GatewayFrame, readGatewayFrame, type WorkerFrame, writeWorkerFrame } from "@cordum/protocol";
import type { GatewayPlace } from "./gateway-target.ts";

export interface SocketEvents {
  opened(): void;
  frame(frame: GatewayFrame): void;
  ended(code: number, reason: string): void;
}

/** Where a close comes without a code: RFC 6455, 7.1.5. */
const ABNORMAL = 1_006;
const SUBPROTOCOL = "cordum-api-key";

export class GatewayConnectionSocket {
  readonly #ws: WebSocket;
  readonly #events: SocketEvents;
  #isOver = false;

  constructor({ url, apiKey }: GatewayPlace, events: SocketEvents) {
    this.#events = events;
    this.#ws = new WebSocket(url, [SUBPROTOCOL, base64url(apiKey)]);
    this.#ws.binaryType = "arraybuffer";
    this.#ws.addEventListener("open", () => {
      if (!this.#isOver) events.opened();
    });
    this.#ws.addEventListener("message", ({ data }) => this.#hear(data));
    this.#ws.addEventListener("close", ({ code, reason }) => this.#end(code, reason));
    // A close follows it; some runtimes leave that out when the connection was never there.
    this.#ws.addEventListener("error", () => this.#end(ABNORMAL, "the connection broke"));
  }

  send(frame: WorkerFrame): void {
    if (!this.#isOver && this.#ws.readyState === WebSocket.OPEN) this.#ws.send(writeWorkerFrame(frame));
  }

  /** `ended` is called at once: a peer that is dead would never answer. */
  drop(reason: string): void {
    if (this.#isOver) return;
    this.#close();
    this.#end(ABNORMAL, reason);
  }

  #close(): void {
    try {
      this.#ws.close(1_000);
    } catch {
      // It is closed, or was never open: that is what is wanted.
    }
  }

  #hear(data: unknown): void {
    if (this.#isOver) return;
    const read =
      data instanceof ArrayBuffer
        ? readGatewayFrame(new Uint8Array(data))
        : ({ kind: "malformed", reason: "text" } as const);
    if (read.kind === "frame") this.#events.frame(read.frame);
    else this.drop(`the gateway sent what is no frame: ${read.reason}`);
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#close();
    this.#events.ended(code, reason);
  }
}

function base64url(text: string): string {
  // Keys are printable ASCII, see parseApiKey.
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
