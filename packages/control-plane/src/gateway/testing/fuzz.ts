// Requests drawn from the API's own description: right, nearly right, and hostile.
// Owns:          how a request is drawn for an operation; what an answer must keep to.
// Must not know: single operations. Source of the idea: property-based testing of OpenAPI, as in Schemathesis.
// Z1. One seed, one sequence of draws, so that a finding can be repeated. Z2. Ids that answers named are used again: most faults stand
//     behind a 404. Z3. Any answer that the description does not foresee is a finding, and so is every 5xx.

import fc from "fast-check";
import { Type } from "typebox";
import { Compile } from "typebox/compile";
import type { RouteRow } from "./route-table.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: { readonly [name: string]: Schema };
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly Json[];
  readonly const?: Json;
  readonly examples?: readonly Json[];
  readonly anyOf?: readonly Schema[];
  readonly additionalProperties?: boolean | Schema;
  readonly patternProperties?: { readonly [pattern: string]: Schema };
}
interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly schema?: Schema;
}
export interface FuzzedOperation {
  readonly method: RouteRow["method"];
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly body: Schema | undefined;
  readonly responses: {
    readonly [status: string]: { readonly content?: { readonly [type: string]: { readonly schema: object } } };
  };
}
export interface DrawnRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const HOSTILE = [
  "",
  " ",
  ".",
  "..",
  "../../etc/passwd",
  "*",
  ">",
  "a.b",
  "a:b",
  "a/b",
  "%",
  "%00",
  "\u0000",
  "\u202e",
  "é",
  "😀",
  "__proto__",
  "constructor",
  "toString",
  "null",
  "-1",
  "0",
  "1e999",
  "9007199254740993",
  "-9223372036854775808",
  "true",
  "{}",
  "x".repeat(600),
  "x".repeat(20_000),
  "secret://vault/x",
  "2026-01-01T00:00:00Z",
  "redis://ctx:other",
];
const NUMBERS = [0, 1, -1, 0.5, 1e21, -1e21, 2 ** 31, 2 ** 53 + 2, 1e-9, 1_800_000_000, 1_800_000_000_000];
const DEPTH_MAX = 4;

const oneOf = <T>(values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const anything: fc.Arbitrary<Json> = fc.oneof(
  oneOf<Json>(HOSTILE),
  oneOf<Json>(NUMBERS),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
);

/** A value that the schema allows, as a rule; one time in eight something else, at any depth. */
function valueFor(schema: Schema | undefined, ids: readonly string[], depth = 0): fc.Arbitrary<Json> {
  const right = rightFor(schema, ids, depth);
  return fc.oneof({ weight: 7, arbitrary: right }, { weight: 1, arbitrary: anything });
}

function rightFor(schema: Schema | undefined, ids: readonly string[], depth: number): fc.Arbitrary<Json> {
  if (schema === undefined || depth > DEPTH_MAX) return anything;
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined && schema.enum.length > 0) return oneOf(schema.enum);
  if (schema.anyOf !== undefined && schema.anyOf.length > 0)
    return fc.oneof(...schema.anyOf.map((each) => valueFor(each, ids, depth + 1)));
  const [type] = typeof schema.type === "string" ? [schema.type] : (schema.type ?? []);
  switch (type) {
    case "string":
      return fc.oneof(oneOf(["x", "job.echo", "job.ask", "acme", "acme.thing", ...ids]), fc.string({ maxLength: 40 }));
    case "integer":
      return fc.integer({ min: -2, max: 2_000 });
    case "number":
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(valueFor(schema.items, ids, depth + 1), { maxLength: 4 });
    case "object":
      return objectFor(schema, ids, depth);
    default:
      return anything;
  }
}

function objectFor(schema: Schema, ids: readonly string[], depth: number): fc.Arbitrary<Json> {
  const known = Object.entries(schema.properties ?? {}).map(
    ([name, each]) => [name, valueFor(each, ids, depth + 1)] as const,
  );
  const record = fc.record(Object.fromEntries(known), {
    requiredKeys: (schema.required ?? []).filter((name) => known.some(([each]) => each === name)),
  });
  const [values] = Object.values(schema.patternProperties ?? {});
  const extra = values ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
  const more = fc.dictionary(
    fc.oneof(fc.string({ maxLength: 10 }), oneOf(HOSTILE.slice(0, 18))),
    valueFor(extra, ids, depth + 1),
    {
      maxKeys: known.length === 0 || extra !== undefined ? 3 : 1,
    },
  );
  return fc.tuple(record, more).map(([right, strange]) => ({ ...strange, ...right }) as Json);
}

function leastFor(schema: Schema | undefined, ids: readonly string[]): fc.Arbitrary<Json> {
  const { properties = {}, required = [], examples = [] } = schema ?? {};
  if (examples.length > 0) return oneOf(examples);
  const least = required.map((name) => {
    const right = rightFor(properties[name], ids, 1);
    return [name, name === "topic" ? fc.oneof(fc.constant("job.echo"), right) : right] as const;
  });
  return fc.record(Object.fromEntries(least)) as fc.Arbitrary<Json>;
}

/** A request for the operation; `ids` are those that earlier answers named. One in four is as small as it may be. */
export function requestFor(operation: FuzzedOperation, ids: readonly string[]): fc.Arbitrary<DrawnRequest> {
  return fc.oneof(
    { weight: 3, arbitrary: anyRequestFor(operation, ids) },
    { weight: 1, arbitrary: leastRequestFor(operation, ids) },
  );
}

/** Only what must be there, and right: the larger a request may be, the rarer are those that are right by chance. */
function leastRequestFor(operation: FuzzedOperation, ids: readonly string[]): fc.Arbitrary<DrawnRequest> {
  const { parameters, body, method } = operation;
  const drawn = parameters
    .filter((parameter) => parameter.in === "path")
    .map((parameter) => fc.tuple(fc.constant(parameter), oneOf(["x", ...ids])));
  const least = method === "GET" || body === undefined ? fc.constant(undefined) : leastFor(body, ids);
  return fc
    .tuple(fc.tuple(...drawn), least)
    .map(([right, value]) => build(operation, right, null, value === undefined ? undefined : JSON.stringify(value)));
}

function anyRequestFor(operation: FuzzedOperation, ids: readonly string[]): fc.Arbitrary<DrawnRequest> {
  const text = (parameter: Parameter): fc.Arbitrary<string> =>
    fc.oneof(
      { weight: 6, arbitrary: oneOf(["x", ...ids]) },
      { weight: 2, arbitrary: textFor(parameter, ids) },
      {
        weight: 1,
        arbitrary: oneOf(HOSTILE),
      },
    );
  const drawn = operation.parameters.map((parameter) =>
    fc.tuple(fc.constant(parameter), parameter.in === "path" ? text(parameter) : fc.option(textFor(parameter, ids))),
  );
  const strayQuery = fc.option(fc.tuple(oneOf(["limit", "cursor", "state", "__proto__", "x"]), oneOf(HOSTILE)), {
    freq: 8,
  });
  return fc
    .tuple(fc.tuple(...drawn), strayQuery, bodyFor(operation, ids))
    .map(([parameters, stray, body]) => build(operation, parameters, stray, body));
}

function textFor({ schema }: Parameter, ids: readonly string[]): fc.Arbitrary<string> {
  return valueFor(schema ?? { type: "string" }, ids).map((value) =>
    typeof value === "string" ? value : JSON.stringify(value),
  );
}

function bodyFor({ body, method }: FuzzedOperation, ids: readonly string[]): fc.Arbitrary<string | undefined> {
  if (method === "GET") return fc.constant(undefined);
  const json = (value: Json): string => JSON.stringify(value);
  return fc.oneof(
    { weight: 16, arbitrary: (body === undefined ? anything : valueFor(body, ids)).map(json) },
    {
      weight: 1,
      arbitrary: oneOf<string | undefined>([undefined, "", "{", "[]", "null", '{"__proto__":{"a":1}}', "\u0000"]),
    },
  );
}

function build(
  { path }: FuzzedOperation,
  parameters: readonly (readonly [Parameter, string | null])[],
  stray: readonly [string, string] | null,
  body: string | undefined,
): DrawnRequest {
  const query = new URLSearchParams();
  const headers: Record<string, string> = {};
  let url = path;
  for (const [{ name, in: place }, value] of parameters) {
    if (value === null) continue;
    if (place === "path") url = url.replace(`{${name}}`, () => encodeURIComponent(value.toWellFormed()) || "x");
    else if (place === "query") query.append(name, value.toWellFormed());
    else headers[name] = value.replace(/[^\x20-\x7e]/g, "?").trim();
  }
  if (stray !== null) query.append(...stray);
  const asked = query.size === 0 ? url : `${url}?${query}`;
  return {
    url: asked,
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    body,
  };
}

/** What the description does not foresee about this answer; undefined: nothing. */
export function findingIn(operation: FuzzedOperation, answer: Answer): string | undefined {
  if (answer.status >= 500) return `answers ${answer.status}`;
  const told =
    operation.responses[String(answer.status)] ?? operation.responses[`${Math.floor(answer.status / 100)}XX`];
  if (told === undefined) return `does not describe status ${answer.status}`;
  if (told.content === undefined || Object.keys(told.content).length === 0) return undefined;
  const [type = ""] = answer.type.split(";");
  const content = told.content[type];
  if (content === undefined) return `does not describe ${answer.status} of type ${type}`;
  if (!type.endsWith("json")) return undefined;
  const errors = checkerOf(content.schema)(JSON.parse(answer.body));
  return errors.length === 0 ? undefined : `${answer.status} breaks its schema: ${JSON.stringify(errors.slice(0, 3))}`;
}

const checkers = new WeakMap<object, (body: unknown) => readonly unknown[]>();
function checkerOf(schema: object): (body: unknown) => readonly unknown[] {
  const known = checkers.get(schema);
  if (known !== undefined) return known;
  const compiled = Compile(Type.Unsafe(schema));
  const check = (body: unknown) => compiled.Errors(body);
  checkers.set(schema, check);
  return check;
}

/** Ids that an answer names: the values of members called id, …_id, …Id. */
export function idsIn(body: string): readonly string[] {
  return [...body.matchAll(/"(?:id|\w+_id|\w+Id|artifact_ptr|next_cursor)":\s*"?([^",}\s]{1,200})"?/g)].map(
    ([, id = ""]) => id,
  );
}
