// The forms of constraints: for workers, for the REST API, and merged.
// Owns:          spelling of constraints outside the house, the env of a job that carries them, and how two of them become one.
// Must not know: which rule gave them, who enforces them.
// C1. Zero and empty are "not set" and are left out. C2. Merging only tightens: what either forbids is forbidden.

import type { JsonObject } from "../ports/json.ts";
import type { Constraints } from "./decision.ts";

type Budgets = NonNullable<Constraints["budgets"]>;
type Sandbox = NonNullable<Constraints["sandbox"]>;
type Toolchain = NonNullable<Constraints["toolchain"]>;
type Diff = NonNullable<Constraints["diff"]>;

/** An entry that names no host, tool or path. An empty list would mean "any", so this stands where nothing is allowed. */
export const ALLOWS_NOTHING = "<none>";

/** Whether nothing is set. Asked several times a job, hence without making any of the forms. */
export function isUnconstrained({ redactionLevel = "", ...parts }: Constraints): boolean {
  return redactionLevel === "" && Object.values(parts).every((part) => Object.values(part).every(isUnset));
}

/** Protobuf JSON without unpopulated fields, 64-bit integers as texts, all four parts present; null when nothing is set. */
export function constraintsToProtoJson(constraints: Constraints): JsonObject | null {
  const { budgets = {}, sandbox = {}, toolchain = {}, diff = {}, redactionLevel } = constraints;
  const parts = {
    budgets: settings({
      maxRuntimeMs: int64(budgets.maxRuntimeMs),
      maxRetries: budgets.maxRetries,
      maxArtifactBytes: int64(budgets.maxArtifactBytes),
      maxConcurrentJobs: budgets.maxConcurrentJobs,
    }),
    sandbox: settings({ ...sandbox }),
    toolchain: settings({ ...toolchain }),
    diff: settings({ ...diff }),
  };
  const level = settings({ redactionLevel });
  return [level, ...Object.values(parts)].every(isUnset) ? null : { ...parts, ...level };
}

/** The form of job details and decision lists: snake case, 64-bit integers as numbers. */
export function constraintsToRest(constraints: Constraints): JsonObject {
  const { budgets = {}, sandbox = {}, toolchain = {}, diff = {}, redactionLevel } = constraints;
  return settings({
    budgets: settings({
      max_runtime_ms: budgets.maxRuntimeMs,
      max_retries: budgets.maxRetries,
      max_artifact_bytes: budgets.maxArtifactBytes,
      max_concurrent_jobs: budgets.maxConcurrentJobs,
    }),
    sandbox: settings({
      isolated: sandbox.isolated,
      network_allowlist: sandbox.networkAllowlist,
      fs_read_only: sandbox.fsReadOnly,
      fs_read_write: sandbox.fsReadWrite,
    }),
    toolchain: settings({ allowed_tools: toolchain.allowedTools, allowed_commands: toolchain.allowedCommands }),
    diff: settings({ max_files: diff.maxFiles, max_lines: diff.maxLines, deny_path_globs: diff.denyPathGlobs }),
    redaction_level: redactionLevel,
  });
}

/** Env variables that a dispatched job gets; empty when nothing is set. */
export function constraintsEnv(constraints: Constraints): ConstraintsEnv {
  const known = envs.get(constraints);
  if (known !== undefined) return known;
  const env = envOf(constraints);
  envs.set(constraints, env);
  return env;
}

type ConstraintsEnv = { readonly [variable: string]: string };
/** By the rule's own constraints, which all of its jobs share: writing them anew made a tenth of a job's garbage (11 of 114 KB). */
const envs = new WeakMap<Constraints, ConstraintsEnv>();

function envOf(constraints: Constraints): ConstraintsEnv {
  const form = constraintsToProtoJson(constraints);
  if (form === null) return {};
  const { budgets = {}, redactionLevel = "" } = constraints;
  return {
    CORDUM_POLICY_CONSTRAINTS: JSON.stringify(form),
    ...(redactionLevel.trim() !== "" && { CORDUM_REDACTION_LEVEL: redactionLevel }),
    ...decimal("CORDUM_MAX_ARTIFACT_BYTES", budgets.maxArtifactBytes),
    ...decimal("CORDUM_MAX_CONCURRENT_JOBS", budgets.maxConcurrentJobs),
    ...decimal("CORDUM_MAX_RETRIES", budgets.maxRetries),
  };
}

/**
 * Both hold: the smaller number, what both allow, what either denies, isolated when either is. Of two redaction levels the first stands,
 * because levels are free texts without an order.
 */
export function mergeConstraints(a: Constraints, b: Constraints): Constraints {
  const redactionLevel = a.redactionLevel || b.redactionLevel;
  return {
    ...part("budgets", mergeBudgets(a.budgets ?? {}, b.budgets ?? {})),
    ...part("sandbox", mergeSandbox(a.sandbox ?? {}, b.sandbox ?? {})),
    ...part("toolchain", mergeToolchain(a.toolchain ?? {}, b.toolchain ?? {})),
    ...part("diff", mergeDiff(a.diff ?? {}, b.diff ?? {})),
    ...(redactionLevel && { redactionLevel }),
  };
}

type Setting = string | number | boolean | readonly string[] | JsonObject | undefined;

function settings(all: { readonly [name: string]: Setting }): JsonObject {
  const set: { [name: string]: string | number | boolean | readonly string[] | JsonObject } = {};
  for (const [name, value] of Object.entries(all)) if (value !== undefined && !isUnset(value)) set[name] = value;
  return set;
}

function isUnset(value: Setting): boolean {
  if (typeof value === "object") return Object.keys(value).length === 0;
  return value === undefined || value === 0 || value === "" || value === false;
}

function int64(value: number | undefined): string | undefined {
  return value === undefined || value === 0 ? undefined : String(value);
}

function decimal(variable: string, value: number | undefined): { readonly [variable: string]: string } {
  return value === undefined || value === 0 ? {} : { [variable]: String(value) };
}

function part<K extends string, T extends object>(name: K, value: T): { readonly [name in K]?: T } {
  const named: { [name in K]?: T } = {};
  if (Object.keys(value).length > 0) named[name] = value;
  return named;
}

function mergeBudgets(a: Budgets, b: Budgets): Budgets {
  const maxRuntimeMs = smaller(a.maxRuntimeMs, b.maxRuntimeMs);
  const maxRetries = smaller(a.maxRetries, b.maxRetries);
  const maxArtifactBytes = smaller(a.maxArtifactBytes, b.maxArtifactBytes);
  const maxConcurrentJobs = smaller(a.maxConcurrentJobs, b.maxConcurrentJobs);
  return {
    ...(maxRuntimeMs > 0 && { maxRuntimeMs }),
    ...(maxRetries > 0 && { maxRetries }),
    ...(maxArtifactBytes > 0 && { maxArtifactBytes }),
    ...(maxConcurrentJobs > 0 && { maxConcurrentJobs }),
  };
}

function mergeSandbox(a: Sandbox, b: Sandbox): Sandbox {
  const isolated = a.isolated === true || b.isolated === true;
  const networkAllowlist = allowedByBoth(a.networkAllowlist, b.networkAllowlist, hostCovers);
  const fsReadOnly = allowedByBoth(a.fsReadOnly, b.fsReadOnly, isSame);
  const fsReadWrite = allowedByBoth(a.fsReadWrite, b.fsReadWrite, isSame);
  return {
    ...(isolated && { isolated }),
    ...(networkAllowlist.length > 0 && { networkAllowlist }),
    ...(fsReadOnly.length > 0 && { fsReadOnly }),
    ...(fsReadWrite.length > 0 && { fsReadWrite }),
  };
}

function mergeToolchain(a: Toolchain, b: Toolchain): Toolchain {
  const allowedTools = allowedByBoth(a.allowedTools, b.allowedTools, isSame);
  const allowedCommands = allowedByBoth(a.allowedCommands, b.allowedCommands, isSame);
  return { ...(allowedTools.length > 0 && { allowedTools }), ...(allowedCommands.length > 0 && { allowedCommands }) };
}

function mergeDiff(a: Diff, b: Diff): Diff {
  const maxFiles = smaller(a.maxFiles, b.maxFiles);
  const maxLines = smaller(a.maxLines, b.maxLines);
  const denyPathGlobs = [...new Set([...(a.denyPathGlobs ?? []), ...(b.denyPathGlobs ?? [])])];
  return {
    ...(maxFiles > 0 && { maxFiles }),
    ...(maxLines > 0 && { maxLines }),
    ...(denyPathGlobs.length > 0 && { denyPathGlobs }),
  };
}

/** 0 when neither is set. */
function smaller(a = 0, b = 0): number {
  if (a === 0 || b === 0) return a + b;
  return Math.min(a, b);
}

function allowedByBoth(
  a: readonly string[] = [],
  b: readonly string[] = [],
  covers: (wide: string, narrow: string) => boolean,
): readonly string[] {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
  const fromA = a.filter((entry) => b.some((wide) => covers(wide, entry)));
  const fromB = b.filter((entry) => a.some((wide) => covers(wide, entry)));
  const both = [...new Set([...fromA, ...fromB])];
  return both.length === 0 ? [ALLOWS_NOTHING] : both;
}

function isSame(a: string, b: string): boolean {
  return a === b;
}

/** Entries are an exact host, `*`, or `*.suffix`. */
function hostCovers(wide: string, narrow: string): boolean {
  if (wide === narrow || wide === "*") return true;
  return wide.startsWith("*.") && narrow.endsWith(wide.slice(1));
}
