// A TCP proxy that fails on demand.
// Owns:          the failures of a network: an answer that never arrives, silence, refusal, delay.
// Must not know: the protocol that goes through it.

import { connect, createServer, type Server, type Socket } from "node:net";

export interface CuttingProxy extends AsyncDisposable {
  readonly port: number;
  /** The next request goes through and is carried out; its answer is dropped and the connection cut. Resolves when that has happened. */
  cutNextAnswer(): Promise<void>;
  /** The next request is dropped and its connection cut. Resolves when that has happened. */
  cutNextRequest(): Promise<void>;
  /** Takes back a cut that was ordered and has not happened. */
  cutNothing(): void;
  /** Nothing goes through in either direction, connections stay open; until `resume`. */
  pause(): void;
  resume(): void;
  /** Connections are cut, new ones closed at once; until `accept`. */
  refuse(): void;
  accept(): void;
  /** Each piece of an answer arrives this much later; 0 ends it. Order is kept. */
  delayAnswers(ms: number): void;
  /** New connections lead to another port of 127.0.0.1; those that are open stay where they are. */
  retarget(targetPort: number): void;
  /** Every `from` in an answer becomes `to`, which has as many bytes: a server that says something else about itself. */
  rewriteAnswers(from: string, to: string): void;
  /** Connections accepted so far. */
  accepted(): number;
  close(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1 and forwards to `targetPort` there. */
export async function cuttingProxy(targetPort: number): Promise<CuttingProxy> {
  const proxy = new TcpProxy(targetPort);
  await proxy.listen();
  return proxy;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}
type Cut = { readonly what: "answer" | "request"; readonly done: () => void };

class TcpProxy implements CuttingProxy {
  readonly #listener: Server;
  #targetPort: number;
  readonly #pairs = new Set<Pair>();
  #cut: Cut | undefined;
  #paused = false;
  #refuses = false;
  #delayMs = 0;
  #rewrite = { from: "", to: "" };
  #accepted = 0;

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#listener = createServer((client) => this.#accept(client));
  }

  async listen(): Promise<void> {
    const listening = Promise.withResolvers<void>();
    this.#listener.once("error", listening.reject);
    this.#listener.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
  }

  get port(): number {
    const address = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
    return address.port;
  }

  cutNextAnswer(): Promise<void> {
    return this.#cutNext("answer");
  }

  cutNextRequest(): Promise<void> {
    return this.#cutNext("request");
  }

  cutNothing(): void {
    this.#cut = undefined;
  }

  pause(): void {
    this.#paused = true;
    for (const socket of this.#sockets()) socket.pause();
  }

  resume(): void {
    this.#paused = false;
    for (const socket of this.#sockets()) socket.resume();
  }

  refuse(): void {
    this.#refuses = true;
    for (const pair of this.#pairs) destroy(pair);
  }

  accept(): void {
    this.#refuses = false;
  }

  delayAnswers(ms: number): void {
    this.#delayMs = ms;
  }

  retarget(targetPort: number): void {
    this.#targetPort = targetPort;
  }

  rewriteAnswers(from: string, to: string): void {
    if (Buffer.byteLength(from) !== Buffer.byteLength(to)) throw new Error("lengths are part of what goes through");
    this.#rewrite = { from, to };
  }

  accepted(): number {
    return this.#accepted;
  }

  async close(): Promise<void> {
    this.refuse();
    const closed = Promise.withResolvers<void>();
    this.#listener.close(() => closed.resolve());
    await closed.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #cutNext(what: "answer" | "request"): Promise<void> {
    if (this.#cut !== undefined) throw new Error("a cut is already ordered");
    const done = Promise.withResolvers<void>();
    this.#cut = { what, done: done.resolve };
    return done.promise;
  }

  #accept(client: Socket): void {
    this.#accepted++;
    if (this.#refuses) {
      client.destroy();
      return;
    }
    const pair = { client, server: connect(this.#targetPort, "127.0.0.1") };
    this.#pairs.add(pair);
    const late = new LateAnswers(client);
    client.on("data", (bytes) => {
      if (!this.#cuts("request", pair)) pair.server.write(bytes);
    });
    pair.server.on("data", (bytes) => {
      if (this.#cuts("answer", pair)) return;
      this.#rewriteIn(bytes);
      late.write(bytes, this.#delayMs);
    });
    for (const socket of [client, pair.server]) {
      socket.setNoDelay(true);
      if (this.#paused) socket.pause();
      // A reset is one of the ways in which the other side ends a connection; "close" follows.
      socket.on("error", () => destroy(pair));
      socket.on("close", () => {
        destroy(pair);
        this.#pairs.delete(pair);
      });
    }
  }

  #rewriteIn(bytes: Buffer | string): void {
    const { from, to } = this.#rewrite;
    if (typeof bytes === "string" || from === "") return;
    const at = bytes.indexOf(from);
    if (at !== -1) bytes.write(to, at);
  }

  #cuts(what: "answer" | "request", pair: Pair): boolean {
    const cut = this.#cut;
    if (cut?.what !== what) return false;
    this.#cut = undefined;
    destroy(pair);
    cut.done();
    return true;
  }

  #sockets(): Socket[] {
    return [...this.#pairs].flatMap((pair) => [pair.client, pair.server]);
  }
}

function destroy(pair: Pair): void {
  pair.client.destroy();
  pair.server.destroy();
}

/** Pieces of answers on their way, in order, whatever becomes of the delay meanwhile. */
class LateAnswers {
  readonly #client: Socket;
  #under = 0;
  #last = Promise.resolve();

  constructor(client: Socket) {
    this.#client = client;
  }

  write(bytes: Buffer | string, delayMs: number): void {
    if (delayMs === 0 && this.#under === 0) {
      this.#client.write(bytes);
      return;
    }
    this.#under++;
    const arrived = after(delayMs);
    this.#last = this.#last
      .then(() => arrived)
      .then(() => {
        this.#under--;
        this.#client.write(bytes);
      });
  }
}

function after(ms: number): Promise<void> {
  const passed = Promise.withResolvers<void>();
  AbortSignal.timeout(ms).addEventListener("abort", () => passed.resolve());
  return passed.promise;
}
