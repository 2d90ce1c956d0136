// A row of the contract: one call, and what the specification says of its answer.
// Owns:          the shape of rows; making the call of one over real HTTP; comparing the answer.
// Must not know: single routes.

import { expect } from "vitest";
import { keyOf, type Person, type Town } from "./town.ts";

export interface Row {
  /** What is demanded, with the section of the specification. */
  readonly says: string;
  /** admin when absent. */
  readonly as?: Person;
  /** Method and path with query; `{name}` stands for what an earlier row has kept. */
  readonly call: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON; a string is sent as it is. `{name}` as in `call`. */
  readonly body?: unknown;
  readonly status: number;
  /** Members that must be there, others may be too; lists are as long as they are here. A string is the whole text. */
  readonly answer?: unknown;
  /** The text that clients of the original display. */
  readonly error?: string | RegExp;
  readonly code?: string;
  readonly answerHeaders?: Readonly<Record<string, string | RegExp>>;
  /** Members that must not be there. */
  readonly without?: readonly string[];
  /** Names of what later rows use, each from a path like `items.0.id`. */
  readonly keep?: Readonly<Record<string, string>>;
  /** Before the call: the job of that name reaches this state. */
  readonly after?: readonly [name: string, state: string];
}

export interface Answer {
  readonly method: string;
  /** As it was asked for, without the query. */
  readonly path: string;
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly headers: Headers;
  readonly json: unknown;
}

export type Kept = Map<string, string>;

const REACH_MS = 15_000;

export async function perform(row: Row, town: Town, kept: Kept): Promise<Answer> {
  if (row.after !== undefined) await reach(row.after, town, kept);
  const [method = "", target = ""] = filled(row.call, kept, true).split(" ", 2);
  const person = row.as ?? "admin";
  const body = typeof row.body === "string" || row.body === undefined ? row.body : JSON.stringify(row.body);
  const response = await fetch(town.url + target, {
    method,
    redirect: "manual",
    headers: { ...(person === "nobody" ? {} : { "x-api-key": keyOf(person) }), ...row.headers },
    ...(body === undefined ? {} : { body: filled(body, kept, false) }),
  });
  const text = await response.text();
  return {
    method,
    path: target.split("?", 1)[0] ?? "",
    status: response.status,
    type: (response.headers.get("content-type") ?? "").split(";", 1)[0] ?? "",
    headers: response.headers,
    text,
    json: parsed(text),
  };
}

export function compare(row: Row, answer: Answer, kept: Kept): void {
  expect([answer.status, answer.text.slice(0, 500)]).toEqual([row.status, expect.any(String)]);
  const wanted = filledValue(row.answer, kept);
  if (typeof wanted === "string") expect(answer.text).toBe(wanted);
  else if (wanted !== undefined) expect({ answer: answer.json }).toMatchObject({ answer: wanted });
  const problem = row.error === undefined && row.code === undefined ? {} : members(answer.json);
  if (typeof row.error === "string") expect(problem.error).toBe(row.error);
  else if (row.error !== undefined) expect(problem.error).toMatch(row.error);
  if (row.code !== undefined) expect(problem.code).toBe(row.code);
  for (const [name, value] of Object.entries(row.answerHeaders ?? {}))
    expect([name, answer.headers.get(name)]).toEqual([
      name,
      typeof value === "string" ? value : expect.stringMatching(value),
    ]);
  for (const name of row.without ?? [])
    expect([name, Object.hasOwn(members(answer.json), name)]).toEqual([name, false]);
  for (const [name, path] of Object.entries(row.keep ?? {})) kept.set(name, String(valueAt(answer.json, path)));
}

async function reach([name, state]: readonly [string, string], town: Town, kept: Kept): Promise<void> {
  const seen: string[] = [];
  const signal = AbortSignal.timeout(REACH_MS);
  for await (const { job } of town.client("admin").jobs.watch(kept.get(name) ?? "", { signal })) {
    seen.push(job.state);
    if (job.state === state) return;
  }
  throw new Error(`${name} ended without ${state}: ${seen.join(", ")}`);
}

function filled(text: string, kept: Kept, isUrl: boolean): string {
  return text.replace(/\{([a-zA-Z]\w*)\}/g, (whole, name: string) => {
    const value = kept.get(name);
    if (value === undefined) return whole;
    return isUrl ? encodeURIComponent(value) : value;
  });
}

/** Matchers are no plain objects and stay as they are. */
function filledValue(value: unknown, kept: Kept): unknown {
  if (typeof value === "string") return filled(value, kept, false);
  if (Array.isArray(value)) return value.map((item) => filledValue(item, kept));
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, filledValue(member, kept)]));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function members(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function valueAt(value: unknown, path: string): unknown {
  const found = path.split(".").reduce<unknown>((at, name) => members(at)[name], value);
  if (found === undefined || found === null) throw new Error(`the answer has no ${path}`);
  return found;
}
