// The policy that decides now.
// Owns:          the one compiled policy in force, its replacement, and the last snapshots.
// Must not know: files, timers, who asks.
// S1. One immutable object is swapped at once; decision and snapshot always come from the same one.
// S2. A text that is no valid policy changes nothing, and says so. S3. An empty text takes the policy away: everything waits.

import { Fault } from "../ports/fault.ts";
import { type CompiledPolicy, compilePolicy } from "./compile.ts";
import type { Decision, Policy, PolicyInput } from "./decision.ts";
import { evaluate, topicDenial } from "./evaluate.ts";
import { type Explanation, explain } from "./explain.ts";
import type { PolicyWarning } from "./findings.ts";
import { fold } from "./fold.ts";
import { parsePolicy } from "./language.ts";

export const SNAPSHOTS_KEPT = 10;

export type Replacement =
  | { readonly kind: "loaded"; readonly snapshot: string; readonly warnings: readonly PolicyWarning[] }
  | { readonly kind: "unchanged"; readonly snapshot: string; readonly warnings: readonly PolicyWarning[] }
  | { readonly kind: "unloaded" }
  /** The policy before stays in force. */
  | { readonly kind: "refused"; readonly fault: Fault };

export class PolicySource implements Policy {
  #current: CompiledPolicy | undefined;
  #snapshots: readonly string[] = [];

  /** Puts the policy of this text in force. Does not throw on any text. */
  replace(text: string): Replacement {
    try {
      return this.#swap(text);
    } catch (error) {
      if (error instanceof Fault) return { kind: "refused", fault: error };
      throw error;
    }
  }

  decide(input: PolicyInput): Decision | "unavailable" {
    const policy = this.#current;
    if (policy === undefined) return topicDenial(input.topic) ?? "unavailable";
    return evaluate(policy, input);
  }

  /** The decision with the rules that were considered; "unavailable" while nothing is loaded. */
  explain(input: PolicyInput): Explanation | "unavailable" {
    return this.#current === undefined ? "unavailable" : explain(this.#current, input);
  }

  snapshot(): string {
    return this.#current?.snapshot ?? "";
  }

  concurrentJobsMax(tenant: string): number {
    return this.#current?.tenants.get(fold(tenant))?.concurrentJobsMax ?? 0;
  }

  /** The last ten, newest first; the first is in force. Empty while nothing is loaded. */
  snapshots(): readonly string[] {
    return this.#current === undefined ? [] : this.#snapshots;
  }

  /** For listing rules. */
  current(): CompiledPolicy | undefined {
    return this.#current;
  }

  #swap(text: string): Replacement {
    const { policy, warnings } = parsePolicy(text);
    if (policy === "none") {
      this.#current = undefined;
      return { kind: "unloaded" };
    }
    const compiled = compilePolicy(policy);
    const { snapshot } = compiled;
    if (snapshot === this.#current?.snapshot) return { kind: "unchanged", snapshot, warnings };
    this.#current = compiled;
    this.#snapshots = [snapshot, ...this.#snapshots].slice(0, SNAPSHOTS_KEPT);
    return { kind: "loaded", snapshot, warnings };
  }
}
