// A command that is written as one flat text.
// Owns:          the bytes of a request. Format: RESP, "Requests", in the Redis documentation.
// Must not know: what is asked.
// Why not ioredis' own: it appends piece by piece, and the tree of some 7,000 concatenations that a full call makes costs more to
// flatten and to collect than everything else the client does for it. Measured: a fifth of the client's time.

import { Command } from "ioredis";

const HEADS_MAX = 2_048;
const heads: string[] = Array.from({ length: HEADS_MAX }, (_, length) => `$${length}\r\n`);

export class FlatCommand extends Command {
  override toWritable(socket: object): string | Buffer {
    const parts: string[] = [`*${this.args.length + 1}\r\n`];
    addPart(parts, this.name);
    for (const arg of this.args) {
      if (typeof arg !== "string") return super.toWritable(socket);
      addPart(parts, arg);
    }
    return parts.join("");
  }
}

function addPart(parts: string[], text: string): void {
  const bytes = Buffer.byteLength(text);
  parts.push(heads[bytes] ?? `$${bytes}\r\n`, text, "\r\n");
}
