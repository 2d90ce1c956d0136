// One schema, compiled by Ajv; and one check against it.
// Owns:          dialects, Ajv's options, how its errors read.
// Must not know: threads, time: what a stranger's schema costs is bounded outside. Imports only relative files, node:* and Ajv, for it runs
//                in a thread that is loaded by path.
// C1. Each schema has an Ajv of its own: nobody's $ref reaches a schema of somebody else, and there is nothing else that it could load.
// C2. Formats count up to draft 7; from 2019-09 on they are annotations. C3. The payload's member `context` is checked where it has one.
// C4. Of a large payload the first fault is told, not all: a million of them would be larger than the payload.

import { createHash } from "node:crypto";
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from "ajv";
import { Ajv2019 } from "ajv/dist/2019.js";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import type { SchemaVerdict, Violation } from "../../ports/schema-judge.ts";

const COMPILED_MAX = 64;
const VIOLATIONS_MAX = 50;
const MESSAGE_CHARS_MAX = 200;
const EXPLAINED_BYTES_MAX = 65_536;

type Dialect = "draft-07" | "2019-09" | "2020-12";
const DIALECTS: ReadonlyMap<string, Dialect> = new Map([
  ["", "2020-12"],
  ["json-schema.org/draft-06/schema", "draft-07"], // which only adds to it
  ["json-schema.org/draft-07/schema", "draft-07"],
  ["json-schema.org/draft/2019-09/schema", "2019-09"],
  ["json-schema.org/draft/2020-12/schema", "2020-12"],
]);

const OPTIONS: Options = {
  // Unknown words are annotations, as JSON Schema has it.
  strict: false,
  // A payload's `constructor` is the one that it has, not the one that every object has.
  ownProperties: true,
  // Inlining would multiply a small schema into a large function.
  inlineRefs: false,
  validateSchema: false,
  addUsedSchema: false,
  logger: false,
  code: { regExp: Object.assign(patternOf, { code: "patternOf" }) },
};

type Compiled =
  | {
      readonly kind: "compiled";
      readonly validate: ValidateFunction;
      /** The same, which goes on after the first fault. */
      readonly explain: () => ValidateFunction;
    }
  | { readonly kind: "unusable"; readonly reason: string };

export class SchemaChecks {
  readonly #compiled = new Map<string, Compiled>();
  readonly #metas = new Map<Dialect, Ajv>();

  judge(schema: string, json: Uint8Array | undefined): SchemaVerdict {
    const compiled = this.#compile(schema);
    if (compiled.kind === "unusable") return compiled;
    if (json === undefined) return { kind: "valid" };
    let value: unknown;
    try {
      value = json.byteLength === 0 ? null : JSON.parse(Buffer.from(json).toString("utf8"));
    } catch {
      return { kind: "violated", violations: [{ path: "$", message: "invalid JSON payload" }] };
    }
    try {
      return check(compiled, contextOf(value), json.byteLength <= EXPLAINED_BYTES_MAX);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return { kind: "violated", violations: [{ path: "$", message: "nested too deep for its schema" }] };
    }
  }

  #compile(text: string): Compiled {
    const hash = createHash("sha256").update(text).digest("base64");
    const known = this.#compiled.get(hash);
    if (known !== undefined) return known;
    const compiled = this.#compileNow(text);
    const [oldest] = this.#compiled.keys();
    if (this.#compiled.size >= COMPILED_MAX && oldest !== undefined) this.#compiled.delete(oldest);
    this.#compiled.set(hash, compiled);
    return compiled;
  }

  #compileNow(text: string): Compiled {
    const schema: unknown = JSON.parse(text);
    if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return unusable("it is no object");
    const named: unknown = Object.hasOwn(schema, "$schema") ? Reflect.get(schema, "$schema") : "";
    const dialect = typeof named === "string" ? DIALECTS.get(named.replace(/^https?:\/\/|#$/g, "")) : undefined;
    if (dialect === undefined)
      return unusable("$schema names no dialect that is known here: draft 6, draft 7, 2019-09 or 2020-12");
    const { $schema: _, ...plain } = schema as { readonly $schema?: unknown };
    try {
      const meta = this.#meta(dialect);
      if (meta.validateSchema(plain) !== true) {
        const faults = violationsOf(meta.errors ?? []).slice(0, REASONS_MAX);
        return unusable(faults.map(({ path, message }) => `${path} ${message}`).join("; "));
      }
      let explain: ValidateFunction | undefined;
      return {
        kind: "compiled",
        validate: open(dialect).compile(plain),
        explain: () => (explain ??= open(dialect, { allErrors: true }).compile(plain)),
      };
    } catch (error) {
      // Ajv throws plain errors for a schema that it does not understand.
      return unusable(error instanceof RangeError ? "it is nested too deep" : messageIn(error));
    }
  }

  /** Checks schemas against the schema of schemas: made once, for it is the slow part. */
  #meta(dialect: Dialect): Ajv {
    const known = this.#metas.get(dialect);
    if (known !== undefined) return known;
    const meta = open(dialect, { allErrors: true });
    this.#metas.set(dialect, meta);
    return meta;
  }
}

const REASONS_MAX = 3;

function check(
  { validate, explain }: Compiled & { kind: "compiled" },
  value: unknown,
  isSmall: boolean,
): SchemaVerdict {
  if (validate(value) === true) return { kind: "valid" };
  const teller = isSmall ? explain() : validate;
  if (isSmall) teller(value);
  return { kind: "violated", violations: violationsOf(teller.errors ?? []) };
}

function open(dialect: Dialect, more: Options = {}): Ajv {
  if (dialect === "2020-12") return new Ajv2020({ ...OPTIONS, ...more, validateFormats: false });
  if (dialect === "2019-09") return new Ajv2019({ ...OPTIONS, ...more, validateFormats: false });
  const ajv = new Ajv({ ...OPTIONS, ...more });
  formats.default(ajv);
  return ajv;
}

/** As RE2 and others write them, a pattern may begin with its flags. */
function patternOf(pattern: string, unicode: string): RegExp {
  const [all = "", flags = ""] = /^\(\?([ims]+)\)/.exec(pattern) ?? [];
  return new RegExp(pattern.slice(all.length), [...new Set(flags), unicode].join(""));
}

/** See C3. */
function contextOf(payload: unknown): unknown {
  const hasContext = typeof payload === "object" && payload !== null && !Array.isArray(payload);
  return hasContext && Object.hasOwn(payload, "context") ? Reflect.get(payload, "context") : payload;
}

/** Words that only sum up what others say. */
const SUMMARIES = new Set(["anyOf", "oneOf", "if", "allOf", "$ref"]);

function violationsOf(errors: readonly ErrorObject[]): readonly Violation[] {
  const causes = errors.filter(({ keyword }) => !SUMMARIES.has(keyword));
  const found = new Map<string, Violation>();
  for (const error of causes.length === 0 ? errors : causes) {
    const violation = { path: error.instancePath === "" ? "$" : error.instancePath, message: sentenceOf(error) };
    found.set(`${violation.path}\n${violation.message}`, violation);
    if (found.size === VIOLATIONS_MAX) break;
  }
  const order = (a: Violation, b: Violation): number =>
    a.path === b.path ? compare(a.message, b.message) : compare(a.path, b.path);
  return [...found.values()].sort(order);
}

function sentenceOf({ message = "is not as its schema says", params }: ErrorObject): string {
  const name: unknown = params.additionalProperty ?? params.unevaluatedProperty ?? params.propertyName;
  const text = typeof name === "string" ? `${message}: ${name}` : message;
  return text.length <= MESSAGE_CHARS_MAX ? text : `${text.slice(0, MESSAGE_CHARS_MAX)}…`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function unusable(reason: string): Compiled {
  return { kind: "unusable", reason };
}

function messageIn(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.length <= MESSAGE_CHARS_MAX ? message : `${message.slice(0, MESSAGE_CHARS_MAX)}…`;
}
