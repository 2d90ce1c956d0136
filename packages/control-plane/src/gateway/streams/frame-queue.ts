// Frames on their way to one socket.
// Owns:          their order and bound: one is with the network, the others wait here.
// Must not know: what frames mean, why a socket is slow.

import type { GatewaySocket } from "../gateway-socket.ts";

const BYTES_MAX = 4_194_304;

export class FrameQueue {
  readonly #socket: Pick<GatewaySocket, "sendText">;
  readonly #framesMax: number;
  readonly #waiting: Uint8Array[] = [];
  #bytes = 0;
  #sending: Promise<void> | undefined;

  constructor(socket: Pick<GatewaySocket, "sendText">, framesMax: number) {
    this.#socket = socket;
    this.#framesMax = framesMax;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** False when there is no room. */
  add(frame: Uint8Array): boolean {
    if (this.#waiting.length >= this.#framesMax || this.#bytes + frame.length > BYTES_MAX) return false;
    this.#waiting.push(frame);
    this.#bytes += frame.length;
    this.#sending ??= this.#send();
    return true;
  }

  async #send(): Promise<void> {
    for (let frame = this.#waiting.shift(); frame !== undefined; frame = this.#waiting.shift()) {
      this.#bytes -= frame.length;
      await this.#socket.sendText(frame);
    }
    this.#sending = undefined;
  }
}
