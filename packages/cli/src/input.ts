// Values that may stand on the command line, in a file or on standard input.
// Owns:          telling them apart; reading with a limit; JSON.
// Must not know: which option they belong to beyond its name.

import { readFileSync, statSync } from "node:fs";
import { CommandFailure } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

const BYTES_MAX = 8 * 1024 * 1024;

/** `-` is standard input; what begins like JSON is JSON; everything else is a path. Throws CommandFailure USAGE. */
export async function readJson(option: string, given: string, terminal: Terminal): Promise<unknown> {
  const text = await readText(option, given, terminal);
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure("USAGE", `--${option}: invalid json: ${reason}`);
  }
}

/** An object whose values are all texts. */
export async function readTexts(
  option: string,
  given: string,
  terminal: Terminal,
): Promise<{ readonly [name: string]: string }> {
  const value = await readJson(option, given, terminal);
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  const entries = isObject ? Object.entries(value) : [];
  if (!isObject || entries.some(([, each]) => typeof each !== "string")) {
    throw new CommandFailure("USAGE", `--${option} values must be strings, e.g. '{"team":"web"}'`);
  }
  return Object.fromEntries(entries);
}

async function readText(option: string, given: string, terminal: Terminal): Promise<string> {
  if (given === "-") {
    const text = await terminal.readInput(BYTES_MAX);
    if (text !== undefined) return text;
    throw new CommandFailure("USAGE", `--${option}: standard input has more than ${BYTES_MAX} bytes`);
  }
  if (/^\s*(?:[[{"\d-]|true\b|false\b|null\b)/.test(given) && isJson(given)) return given;
  if (/^\s*[[{"]/.test(given)) return given; // JSON was meant: its own error says more than "no such file"
  return readFile(option, given);
}

function readFile(option: string, path: string): string {
  try {
    const { size } = statSync(path);
    if (size > BYTES_MAX) throw new Error(`${path} has more than ${BYTES_MAX} bytes`);
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(
      "USAGE",
      `--${option}: ${reason}`,
      "It takes JSON, a file with JSON, or - for standard input.",
    );
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
