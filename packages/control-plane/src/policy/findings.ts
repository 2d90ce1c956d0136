// What is wrong or doubtful in a policy file.
// Owns:          faults and warnings with their place, and the one Fault that reports all of them.
// Must not know: YAML, the policy format.

import { Fault } from "../ports/fault.ts";

/** Both count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export type WarningCode =
  | "allow_topics_never_restrict"
  | "decision_missing"
  | "extra_documents"
  | "no_effect"
  | "not_enforced"
  | "rule_id_repeated"
  | "rule_only_mcp"
  | "tenant_repeated"
  | "topic_unreachable"
  | "unknown_key";

export interface PolicyWarning extends Place {
  readonly code: WarningCode;
  /** Path in the document, e.g. `rules[2].match.topics[0]`; "" is the document itself. */
  readonly path: string;
  readonly reason: string;
}

interface Finding extends Place {
  readonly path: string;
  readonly reason: string;
}

/** More than this are counted, not listed: a file that is no policy at all would answer with thousands. */
const FAULTS_LISTED_MAX = 100;
const WARNINGS_LISTED_MAX = 200;
/** Keys and values of the file appear in paths and reasons, and may be as long as the file. */
const SHOWN_CHARACTERS_MAX = 400;

export class Findings {
  readonly #faults: Finding[] = [];
  readonly #warnings: PolicyWarning[] = [];
  #faultCount = 0;

  fault(place: Place, path: string, reason: string): void {
    this.#faultCount++;
    if (this.#faults.length < FAULTS_LISTED_MAX) this.#faults.push(shown(place, path, reason));
  }

  warn(code: WarningCode, place: Place, path: string, reason: string): void {
    if (this.#warnings.length < WARNINGS_LISTED_MAX) this.#warnings.push({ code, ...shown(place, path, reason) });
  }

  get warnings(): readonly PolicyWarning[] {
    return this.#warnings.toSorted(byPlace);
  }

  /** Throws POLICY_INVALID with every fault, in the order of the file, if there is one. */
  throwIfAny(): void {
    const faults = this.#faults.toSorted(byPlace);
    const first = faults[0];
    if (first === undefined) return;
    const more = this.#faultCount === 1 ? "" : ` (and ${this.#faultCount - 1} more)`;
    throw new Fault("POLICY_INVALID", `policy is invalid at ${describe(first)}${more}`, {
      fields: faults.map((fault) => ({
        field: fault.path,
        reason: `${fault.line}:${fault.column}: ${fault.reason}`,
      })),
    });
  }
}

function shown({ line, column }: Place, path: string, reason: string): Finding {
  return { line, column, path: path.slice(0, SHOWN_CHARACTERS_MAX), reason: reason.slice(0, SHOWN_CHARACTERS_MAX) };
}

function byPlace(a: Place, b: Place): number {
  return a.line - b.line || a.column - b.column;
}

function describe({ line, column, path, reason }: Finding): string {
  return path === "" ? `${line}:${column}: ${reason}` : `${line}:${column}: ${path}: ${reason}`;
}
