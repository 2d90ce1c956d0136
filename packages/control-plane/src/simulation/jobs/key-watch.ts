// What must hold of who is let in with which key.
// Owns:          since when a secret lets in, and since when not any more, by what was committed.
// Must not know: who holds keys; how keys are kept and remembered.
// G20: What counts is in force everywhere BOUND_MS after it was committed, where State answers: a secret that is valid lets in, one that was
//      replaced or revoked does not. Nobody is refused on the ground that State does not answer.

import { FRESH_MS } from "../../keys/known-keys.ts";
import { KEY_KIND, type ManagedKey, parseManagedKey } from "../../keys/managed-key.ts";
import type { Batch } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";

/** A read takes two seconds at most, a call under way is slow, clocks differ. */
export const BOUND_MS = FRESH_MS + 8_000;

interface Known {
  readonly secret: string;
  readonly hash: string;
}

export class KeyWatch {
  /** By hash of a secret: since when it lets in, and since when not any more. */
  readonly #valid = new Map<string, { from: EpochMs; until: EpochMs | undefined }>();
  readonly #latest = new Map<string, ManagedKey>();
  /** What holders were given. */
  readonly secrets: Known[] = [];

  forget(): void {
    this.#valid.clear();
    this.#latest.clear();
  }

  observe({ changes }: Batch, now: EpochMs): void {
    for (const change of changes)
      if (change.do === "put" && change.key.kind === KEY_KIND) this.#see(parseManagedKey(change.value), now);
  }

  #see(key: ManagedKey, now: EpochMs): void {
    const secrets = key.revokedAt === "never" ? key.secrets : [];
    const hashes = secrets.map(({ hash }) => hash);
    for (const { hash } of this.#latest.get(key.id)?.secrets ?? []) if (!hashes.includes(hash)) this.#end(hash, now);
    for (const { hash, validUntil } of secrets) {
      if (!this.#valid.has(hash)) this.#valid.set(hash, { from: now, until: undefined });
      if (validUntil !== "never") this.#end(hash, validUntil);
    }
    this.#latest.set(key.id, key);
  }

  #end(hash: string, at: EpochMs): void {
    const valid = this.#valid.get(hash);
    if (valid !== undefined) valid.until = Math.min(valid.until ?? at, at);
  }

  /** "any": both answers are right at this moment. */
  expected(hash: string, now: EpochMs): "in" | "out" | "any" {
    const valid = this.#valid.get(hash);
    if (valid === undefined) return "any";
    if (valid.until !== undefined && now >= valid.until - BOUND_MS) return now > valid.until + BOUND_MS ? "out" : "any";
    return now > valid.from + BOUND_MS ? "in" : "any";
  }
}
