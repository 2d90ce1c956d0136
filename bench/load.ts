// Load by raw sockets: a heavy HTTP client would eat a third of a small machine.
// Owns:          connections that each send one request after the other.
// Must not know: what the requests mean.

import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Jobs of a batch, and callers who send one after the other. */
export const BATCH_JOBS = 100;
export const BATCH_CALLERS = 8;

export interface Target {
  readonly url: URL;
  readonly apiKey: string;
}
export interface Load {
  /** Connections are shared out among them. */
  readonly targets: readonly [Target, ...Target[]];
  readonly body: string;
  readonly requests: number;
  readonly connections: number;
}
export interface LoadResult {
  readonly accepted: number;
  readonly refused: number;
  /** Milliseconds, ascending. */
  readonly latenciesMs: readonly number[];
}

/** Sends `requests` POSTs over `connections` sockets, each waiting for its answer before the next. */
export async function send(load: Load, path: string): Promise<LoadResult> {
  let left = load.requests;
  let refused = 0;
  const latenciesMs: number[] = [];
  const one = async (target: Target): Promise<void> => {
    const request = requestOf(target, "POST", path, load.body);
    using client = await LoadClient.connect(target);
    while (left > 0) {
      left--;
      const sentAt = performance.now();
      const answer = await client.exchange(request);
      latenciesMs.push(performance.now() - sentAt);
      if (!answer.startsWith("HTTP/1.1 200")) refused++;
    }
  };
  const { targets, connections } = load;
  await Promise.all(Array.from({ length: connections }, (_, n) => one(targets[n % targets.length] ?? targets[0])));
  return { accepted: load.requests - refused, refused, latenciesMs: latenciesMs.sort((a, b) => a - b) };
}

/** One kept connection; one exchange at a time. */
export class LoadClient {
  readonly #target: Target;
  readonly #socket: Socket;
  #text = "";
  #waiting: { resolve(answer: string): void; reject(error: Error): void } | undefined;

  private constructor(target: Target, socket: Socket) {
    this.#target = target;
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => this.#receive(chunk));
    const fail = (error: Error): void => this.#waiting?.reject(error);
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("the server closed the connection")));
  }

  static async connect(target: Target): Promise<LoadClient> {
    const socket = connect({ port: Number(target.url.port), host: target.url.hostname, noDelay: true });
    await once(socket, "connect");
    return new LoadClient(target, socket);
  }

  /** The body of the answer. Rejects when it is not 200. */
  async ask(method: "GET" | "POST", path: string, body = ""): Promise<string> {
    const answer = await this.exchange(requestOf(this.#target, method, path, body));
    if (!answer.startsWith("HTTP/1.1 200")) throw new Error(`${method} ${path}: ${answer.slice(0, 500)}`);
    return answer.slice(answer.indexOf("\r\n\r\n") + 4);
  }

  /** The answer as it came. */
  exchange(request: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  [Symbol.dispose](): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #receive(chunk: string): void {
    this.#text += chunk;
    if (!isComplete(this.#text)) return;
    const answer = this.#text;
    this.#text = "";
    this.#waiting?.resolve(answer);
  }
}

/** SETs in one write, for a caller who waits for all of them. */
export class RedisPipe {
  readonly #socket: Socket;
  #left = 0;
  #settle: { resolve(): void; reject(error: Error): void } | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => this.#receive(chunk));
    socket.on("error", (error) => this.#settle?.reject(error));
  }

  static async connect(url: URL): Promise<RedisPipe> {
    const socket = connect({ port: Number(url.port), host: url.hostname, noDelay: true });
    await once(socket, "connect");
    return new RedisPipe(socket);
  }

  set(entries: readonly (readonly [key: string, value: string])[]): Promise<void> {
    this.#left = entries.length;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(entries.map(([key, value]) => bulkOf("SET", key, value)).join(""));
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #receive(chunk: string): void {
    if (chunk.includes("-")) this.#settle?.reject(new Error(`Redis: ${chunk}`));
    this.#left -= chunk.split("\n").length - 1;
    if (this.#left === 0) this.#settle?.resolve();
  }
}

function bulkOf(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}

function requestOf(target: Target, method: string, path: string, body: string): Buffer {
  const head = `${method} ${path} HTTP/1.1\r\nhost: ${target.url.host}\r\nx-api-key: ${target.apiKey}\r\n`;
  const about = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
  return Buffer.from(`${head}${body === "" ? "" : about}\r\n${body}`);
}

function isComplete(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const length = /content-length: (\d+)/i.exec(text.slice(0, end))?.[1];
  return length !== undefined && text.length >= end + 4 + Number(length);
}

export function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN;
}
