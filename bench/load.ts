// Load by raw sockets: a heavy HTTP client would eat a third of a small machine.
// Owns:          connections that each send one request after the other.
// Must not know: what the requests mean.

import { connect } from "node:net";

export interface Load {
  readonly url: URL;
  readonly apiKey: string;
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
  const head = `POST ${path} HTTP/1.1\r\nhost: ${load.url.host}\r\nx-api-key: ${load.apiKey}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(load.body)}\r\n\r\n`;
  const request = Buffer.from(head + load.body);
  let left = load.requests;
  let accepted = 0;
  let refused = 0;
  const latenciesMs: number[] = [];
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: Number(load.url.port), host: load.url.hostname, noDelay: true });
      let sentAt = 0;
      let text = "";
      const next = (): void => {
        if (left === 0) {
          socket.end();
          resolve();
          return;
        }
        left--;
        sentAt = performance.now();
        socket.write(request);
      };
      socket.on("connect", next);
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
        if (!isComplete(text)) return;
        latenciesMs.push(performance.now() - sentAt);
        if (text.startsWith("HTTP/1.1 200")) accepted++;
        else refused++;
        text = "";
        next();
      });
    });
  await Promise.all(Array.from({ length: load.connections }, one));
  return { accepted, refused, latenciesMs: latenciesMs.sort((a, b) => a - b) };
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
