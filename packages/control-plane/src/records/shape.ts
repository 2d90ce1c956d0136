// The number of a record's shape, for records that are stored as they are.
// Owns:          refusing what this process cannot read.
// Must not know: what a record holds, which shapes are announced (processes.ts).

import type { Json } from "../ports/json.ts";

/** The stored value as the record that it is. `called`: what people call it. Throws on another shape. */
export function readShape<R extends { readonly shape: number }>(value: Json, shape: R["shape"], called: string): R {
  const found = value !== null && typeof value === "object" && "shape" in value ? value.shape : undefined;
  if (found !== shape) throw new Error(`${called} of shape ${String(found)}; this process reads shape ${shape}`);
  return value as unknown as R;
}
