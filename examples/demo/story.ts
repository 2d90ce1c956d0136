// The story: what happens, as it happens, one line each; and the tables at the end.
// Owns:          layout, colour, relative times.
// Must not know: how news arrive.

import { isTerminal, type JobState } from "@cordum/sdk";
import type { Survey } from "./survey.ts";

export interface Paper {
  readonly isColoured: boolean;
  write(text: string): void;
  /** Milliseconds from an arbitrary start. */
  mono(): number;
}

const NAME_WIDTH = 8;
const TINTS = { good: 32, bad: 31, waits: 33, quiet: 90, loud: 1 } as const;
type Tint = keyof typeof TINTS;

export class Story {
  readonly #paper: Paper;
  readonly #startedAt: number;
  readonly #states = new Map<string, JobState>();

  constructor(paper: Paper) {
    this.#paper = paper;
    this.#startedAt = paper.mono();
  }

  /** A heading. */
  title(text: string): void {
    this.#paper.write(`\n${this.#tint("loud", text)}`);
  }

  /** A line that belongs to no job. */
  say(text: string): void {
    this.#line("", text);
  }

  /** A line about a job. */
  tell(name: string, text: string): void {
    this.#line(name, text);
  }

  /** A job is in a new state; `why` is said behind it. The same state again says nothing. */
  moved(name: string, state: JobState, why: string): void {
    const before = this.#states.get(name);
    if (before === state) return;
    this.#states.set(name, state);
    const change = before === undefined ? state : `${before} → ${this.#tint(tintOf(state), state)}`;
    this.#line(name, why === "" ? change : `${change}  ${this.#tint("quiet", why)}`);
  }

  plain(text: string): void {
    this.#paper.write(text);
  }

  /** First row is the head; columns of numbers are aligned to the right. */
  table(rows: readonly (readonly string[])[]): void {
    const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? "").length)));
    for (const [index, row] of rows.entries()) {
      const cells = row.map((cell, at) =>
        isNumber(cell) ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0),
      );
      const line = `  ${cells.join("  ").trimEnd()}`;
      this.#paper.write(index === 0 ? this.#tint("quiet", line) : line);
    }
  }

  verdict(isGood: boolean, text: string): void {
    this.#paper.write(`\n${this.#tint(isGood ? "good" : "bad", text)}`);
  }

  #line(name: string, text: string): void {
    const seconds = ((this.#paper.mono() - this.#startedAt) / 1_000).toFixed(2);
    this.#paper.write(`${this.#tint("quiet", `+${seconds}s`)} ${name.padEnd(NAME_WIDTH)} ${text}`);
  }

  #tint(tint: Tint, text: string): string {
    return this.#paper.isColoured ? `\u001b[${TINTS[tint]}m${text}\u001b[0m` : text;
  }
}

function tintOf(state: JobState): Tint {
  if (state === "SUCCEEDED") return "good";
  if (isTerminal(state)) return "bad";
  return state === "APPROVAL_REQUIRED" || state === "PENDING" ? "waits" : "loud";
}

function isNumber(cell: string): boolean {
  return /^[\d,.]+$/.test(cell);
}

export function surveyRows(survey: Survey): readonly (readonly string[])[] {
  const rows = survey.folders.map(({ folder, files, lines }) => [folder, String(files), String(lines)]);
  return [["folder", "files", "lines"], ...rows, ["all", String(survey.files), String(survey.lines)]];
}

export function longestRows(survey: Survey): readonly (readonly string[])[] {
  return [["longest files", "lines"], ...survey.longest.map(({ path, lines }) => [path, String(lines)])];
}
