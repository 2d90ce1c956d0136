// Commands of Redis that are written in one piece.
// Owns:          the bytes of a request. Format: RESP, "Requests", in the Redis documentation.
// Must not know: what is stored.
// Why not the client's own methods: to hand arguments through them and write each by itself took a third of the time that a worker's two
// commands a job cost it.

import type { Command } from "ioredis";

type Package = Pick<typeof import("ioredis"), "Command">;
/** `written`: the whole request, whose first argument is `key`. Replies are numbers and byte strings. */
export type CommandMaker = (name: string, key: string, written: string | Buffer) => Command;

export function commandMaker({ Command }: Package): CommandMaker {
  class WrittenCommand extends Command {
    readonly #key: string;
    readonly #written: string | Buffer;

    constructor(name: string, key: string, written: string | Buffer) {
      super(name, [], { replyEncoding: null });
      this.#key = key;
      this.#written = written;
    }

    /** A cluster's client asks which node it is for. */
    override getKeys(): string[] {
      return [this.#key];
    }

    override toWritable(): string | Buffer {
      return this.#written;
    }
  }
  return (name, key, written) => new WrittenCommand(name, key, written);
}

export const request = (...parts: readonly string[]): string => head(parts.length) + parts.map(textPart).join("");

export const head = (parts: number): string => `*${parts}\r\n`;

export const textPart = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

/** A request with `bytes` between its texts. */
export function requestWithBytes(before: string, bytes: Uint8Array, after: string): Buffer {
  const start = `${before}$${bytes.length}\r\n`;
  const end = `\r\n${after}`;
  const startBytes = Buffer.byteLength(start);
  const written = Buffer.allocUnsafe(startBytes + bytes.length + Buffer.byteLength(end));
  written.write(start, 0);
  written.set(bytes, startBytes);
  written.write(end, startBytes + bytes.length);
  return written;
}
