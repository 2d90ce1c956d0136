// Text files that a process reads while it runs.
// Owns:          reading one whole, with a bound.
// Must not know: what is in it.

import { open } from "node:fs/promises";
import { messageOf } from "../../ports/fault.ts";

export type TextFile =
  | { readonly kind: "read"; readonly text: string }
  | { readonly kind: "unreadable"; readonly reason: string };

/** Reads UTF-8 text of at most `bytesMax` bytes. Never rejects: what went wrong is a sentence for an operator. */
export async function readTextFile(path: string, bytesMax: number): Promise<TextFile> {
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    if (size > bytesMax) return { kind: "unreadable", reason: `${path} has ${size} bytes; the limit is ${bytesMax}` };
    const bytes = await file.readFile();
    return { kind: "read", text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (error) {
    return { kind: "unreadable", reason: `${path}: ${messageOf(error)}` };
  }
}
