// Constraints: the limits under which policy let a job through.
// Owns:          reading them from the job's env CORDUM_POLICY_CONSTRAINTS (protobuf JSON: camelCase, 64-bit numbers as text).
// Must not know: who enforces them. The worker itself keeps to maxRuntimeMs; the rest is for the handler.
// K1. Constraints that are there but cannot be read fail the job: to run it without them would be to ignore the policy.
// K2. They are a rule's, and come word for word with each job that it lets through: what was read last is handed out again, frozen.

import { FailureError } from "./failure.ts";

export interface JobConstraints {
  readonly budgets?: {
    readonly maxRuntimeMs?: number;
    readonly maxRetries?: number;
    readonly maxArtifactBytes?: number;
    readonly maxConcurrentJobs?: number;
  };
  readonly sandbox?: {
    readonly isolated?: boolean;
    readonly networkAllowlist?: readonly string[];
    readonly fsReadOnly?: readonly string[];
    readonly fsReadWrite?: readonly string[];
  };
  readonly toolchain?: { readonly allowedTools?: readonly string[]; readonly allowedCommands?: readonly string[] };
  readonly diff?: {
    readonly maxFiles?: number;
    readonly maxLines?: number;
    readonly denyPathGlobs?: readonly string[];
  };
  readonly redactionLevel?: string;
}

export const NO_CONSTRAINTS: JobConstraints = Object.freeze({});

/** Throws FailureError INVALID_INPUT when `text` is not what the protocol says. Unknown members are ignored. */
export function parseConstraints(text: string | undefined): JobConstraints {
  if (text === undefined || text.trim() === "") return NO_CONSTRAINTS;
  const all = objectOf("constraints", parseJson(text));
  const constraints: { -readonly [K in keyof JobConstraints]: JobConstraints[K] } = {};
  const budgets = section(all, "budgets", {
    maxRuntimeMs: number,
    maxRetries: number,
    maxArtifactBytes: number,
    maxConcurrentJobs: number,
  });
  const sandbox = section(all, "sandbox", {
    isolated: flag,
    networkAllowlist: texts,
    fsReadOnly: texts,
    fsReadWrite: texts,
  });
  const toolchain = section(all, "toolchain", { allowedTools: texts, allowedCommands: texts });
  const diff = section(all, "diff", { maxFiles: number, maxLines: number, denyPathGlobs: texts });
  if (budgets !== undefined) constraints.budgets = budgets;
  if (sandbox !== undefined) constraints.sandbox = sandbox;
  if (toolchain !== undefined) constraints.toolchain = toolchain;
  if (diff !== undefined) constraints.diff = diff;
  if (isPresent(all, "redactionLevel")) constraints.redactionLevel = plainText("redactionLevel", all.redactionLevel);
  return constraints;
}

/** Reads the constraints of one worker's jobs, see K2. */
export class ConstraintsReader {
  #text = "";
  #constraints = NO_CONSTRAINTS;

  /** As parseConstraints. */
  read(text: string | undefined): JobConstraints {
    if (text === undefined) return NO_CONSTRAINTS;
    if (text === this.#text) return this.#constraints;
    const constraints = parseConstraints(text);
    freeze(constraints);
    this.#text = text;
    this.#constraints = constraints;
    return constraints;
  }
}

/** A handler that changed them would change them for the jobs after it. */
function freeze(value: object): void {
  for (const member of Object.values(Object.freeze(value))) if (typeof member === "object") freeze(member);
}

type Members = { readonly [member: string]: unknown };
type Parse<T> = (name: string, value: unknown) => T;
type Parsers = { readonly [member: string]: Parse<unknown> };
type Parsed<P extends Parsers> = { readonly [K in keyof P]?: ReturnType<P[K]> };

function section<P extends Parsers>(all: Members, name: string, parsers: P): Parsed<P> | undefined {
  if (!isPresent(all, name)) return undefined;
  const members = objectOf(name, all[name]);
  const entries = Object.entries(parsers).filter(([member]) => isPresent(members, member));
  return Object.fromEntries(
    entries.map(([member, parse]) => [member, parse(`${name}.${member}`, members[member])]),
  ) as Parsed<P>;
}

function isPresent(members: Members, name: string): boolean {
  return Object.hasOwn(members, name) && members[name] !== null;
}

/** A whole number from 0; protobuf JSON writes 64-bit ones as text. */
function number(name: string, value: unknown): number {
  const read = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof read === "number" && Number.isSafeInteger(read) && read >= 0) return read;
  throw unreadable(`${name} is not a whole number from 0`);
}

function flag(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw unreadable(`${name} is not true or false`);
  return value;
}

function plainText(name: string, value: unknown): string {
  if (typeof value !== "string") throw unreadable(`${name} is not a text`);
  return value;
}

function texts(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw unreadable(`${name} is not a list`);
  return value.map((entry: unknown) => plainText(name, entry));
}

function objectOf(name: string, value: unknown): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw unreadable(`${name} is not an object`);
  return value as Members;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unreadable("constraints are not JSON", cause);
  }
}

function unreadable(what: string, cause?: unknown): FailureError {
  return new FailureError("INVALID_INPUT", `policy constraints cannot be read: ${what}`, cause);
}
