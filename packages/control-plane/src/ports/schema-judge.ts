// Schema judge: whether JSON keeps to a JSON Schema that somebody has written.
// Owns:          the interface. Both the schema and the JSON come from strangers.
// Must not know: where schemas are kept, what they are for.
// J1. A question is answered within a bounded time, whatever it asks; where that is too short the answer is "unchecked", never "valid".
// J2. Nothing outside of the schema is read: no network, no file, no other schema.

export interface Violation {
  /** `$` for the whole, else a JSON pointer into it. */
  readonly path: string;
  readonly message: string;
}

export type SchemaVerdict =
  | { readonly kind: "valid" }
  /** Not empty; each place once, in order. */
  | { readonly kind: "violated"; readonly violations: readonly Violation[] }
  /** The schema is none, or asks for what is not offered. */
  | { readonly kind: "unusable"; readonly reason: string }
  | { readonly kind: "unchecked"; readonly reason: string };

export interface SchemaJudge {
  /** `schema`: JSON text. `json`: what is checked; undefined: whether the schema can be used at all. `owner`: who pays when it takes too long. */
  judge(question: SchemaQuestion, signal: AbortSignal): Promise<SchemaVerdict>;
  close(): Promise<void>;
}

export interface SchemaQuestion {
  readonly schema: string;
  readonly json?: Uint8Array;
  readonly owner: string;
}

/** Where nobody registers schemas. */
export const NO_JUDGE: SchemaJudge = {
  judge: () => Promise.resolve({ kind: "unchecked", reason: "nothing is checked here" }),
  close: () => Promise.resolve(),
};
