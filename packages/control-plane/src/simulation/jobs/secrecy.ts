// What nobody but those for whom it is meant may see.
// Owns:          the words that clients send in confidence, and looking for them and for secrets of keys where they must not be.
// Must not know: who writes what. A prompt and a context belong into the payload, a key's secret into one answer.
// G18.

import type { Dump } from "../../adapters/memory/memory-state.ts";
import { JOB_KIND } from "../../jobs/job-store.ts";

/** In each prompt and context. */
export const WHISPER = "whispered-7f3c";
const KEY_SECRET = /cordum_[0-9A-Za-z]{60}/;
const WHISPER_BYTES = Buffer.from(WHISPER);
const KEY_BYTES = Buffer.from("cordum_");

export function leakInText(where: string, text: string): string | undefined {
  if (text.includes(WHISPER)) return `G18: ${where} holds what a client sent in confidence: ${text.slice(0, 300)}`;
  if (text.includes("cordum_") && KEY_SECRET.test(text)) return `G18: ${where} holds the secret of a key`;
  return undefined;
}

export function leakInPacket(subject: string, bytes: Uint8Array): string | undefined {
  const packet = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (packet.includes(WHISPER_BYTES) || packet.includes(KEY_BYTES))
    return leakInText(subject, packet.toString("latin1"));
  return undefined;
}

/** The whole store; a job's request lies there encoded. */
export function leakInStore(dump: Dump): string | undefined {
  for (const { stored } of dump.records) {
    const text = JSON.stringify(stored.value);
    const says =
      leakInText(`record ${stored.key.kind} ${stored.key.id}`, text) ??
      (stored.key.kind === JOB_KIND ? leakInRequest(stored.key.id, stored.value) : undefined);
    if (says !== undefined) return says;
  }
  return leakInText("a log", JSON.stringify(dump.logs));
}

function leakInRequest(jobId: string, value: unknown): string | undefined {
  const request = value !== null && typeof value === "object" && "q" in value ? value.q : undefined;
  return typeof request === "string" ? leakInPacket(`request of ${jobId}`, Buffer.from(request, "base64")) : undefined;
}
