// A record as Redis holds it: "<version> <JSON>".
// Owns:          taking such a text apart. Part of the data format.

import { Fault } from "../../ports/fault.ts";
import type { Json } from "../../ports/json.ts";
import type { RecordKey, Stored } from "../../ports/state.ts";

/** Throws STATE_MISCONFIGURED for a text that is none of ours: another program writes under our keys. */
export function parseStored(key: RecordKey, text: string): Stored {
  const space = text.indexOf(" ");
  if (space < 1) throw foreign(key);
  return { key, version: text.slice(0, space), value: parseJson(key, text.slice(space + 1)) };
}

/** Throws as `parseStored` does. */
export function parseJson(key: object, text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw foreign(key, cause);
  }
}

function foreign(key: object, cause?: unknown): Fault {
  const detail = `Redis holds something that Cordum did not write at ${JSON.stringify(key)}`;
  return new Fault("STATE_MISCONFIGURED", detail, cause === undefined ? {} : { cause });
}
