// What an answer may hold where its value differs from run to run.
// Owns:          matchers that several tables share.
// Must not know: rows.

import { expect } from "vitest";

export const text: unknown = expect.any(String);
export const number: unknown = expect.any(Number);
export const uuid: unknown = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
/** Unix microseconds of this age, not milliseconds, not seconds. */
export const micros: unknown = expect.closeTo(1.8e15, -15);
export const rfc3339: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
export const some: unknown = expect.anything();
