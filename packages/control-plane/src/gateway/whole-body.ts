// Bodies of requests, read whole.
// Owns:          collecting a body up to a limit.
// Must not know: what is in it, routes.
// L1. No more than the limit is kept; what comes behind it is read and dropped. L2. A body that ends early is a failure, never a shorter body.
// L3. Nothing is called before the caller has returned, and nothing twice.
// Nearly all bodies lie behind their head in one read of the socket, and as a stream each costs several turns and listeners, a tenth of what the
// gateway takes for a request. So what node:http pushes into a request is taken from it there. What came before anybody asked, and
// requests that have no socket, are read as the streams they are.

import { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";

export type BodyFailure = "too large" | "ended early";
/** Hears of the body, or of why there is none. */
export type Taker = (failure: BodyFailure | undefined, body: Buffer) => void;

const NOTHING = Buffer.alloc(0);

export function readWhole(source: Readable, bytesMax: number, taker: Taker): void {
  const body = new Collected(bytesMax, taker);
  if (source instanceof WholeMessage && source.giveTo(body)) return;
  source.on("data", (chunk: Buffer) => body.add(chunk));
  source.on("end", () => body.end());
  source.on("error", () => body.fail("ended early"));
}

class Collected {
  readonly #bytesMax: number;
  #taker: Taker | undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number, taker: Taker) {
    this.#bytesMax = bytesMax;
    this.#taker = taker;
  }

  add(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytesMax) this.fail("too large");
    else this.#chunks.push(chunk);
  }

  end(): void {
    const [first = NOTHING, ...more] = this.#chunks;
    this.#settle(undefined, more.length === 0 ? first : Buffer.concat(this.#chunks));
  }

  fail(failure: BodyFailure): void {
    this.#settle(failure, NOTHING);
  }

  #settle(failure: BodyFailure | undefined, body: Buffer): void {
    if (this.#taker !== undefined) process.nextTick(this.#taker, failure, body);
    this.#taker = undefined;
    this.#chunks = [];
  }
}

/** A request of node:http whose body does not have to be read as a stream. */
export class WholeMessage extends IncomingMessage {
  #body: Collected | undefined;
  #isTaken = false;

  static {
    // An accessor of streams, which their types call a property: node:http asks it whether a request has been read.
    Object.defineProperty(WholeMessage.prototype, "readableEnded", {
      get(this: WholeMessage): boolean {
        return this.#isTaken || Reflect.get(IncomingMessage.prototype, "readableEnded", this) === true;
      },
    });
  }

  /** False: some of it is in the stream already. */
  giveTo(body: Collected): boolean {
    if (this.readableLength > 0 || this.complete || this.destroyed) return false;
    this.#body = body;
    this._read(0);
    return true;
  }

  override push(chunk: Buffer | null): boolean {
    if (this.#body === undefined) return super.push(chunk);
    if (chunk !== null) {
      this.#body.add(chunk);
      return true;
    }
    this.#isTaken = true;
    this.#body.end();
    this.destroy(); // as a stream does that has been read to its end
    return false;
  }

  /** Also when the connection has gone. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#isTaken) this.#body?.fail("ended early");
    super._destroy(error, done);
  }
}
