// The story: what happens, as it happens, one line each; and the tables at the end.
// Owns:          layout, colour, relative times, the order of lines.
// Must not know: how news arrive.

import { isTerminal, type JobState } from "@cordum/sdk";
import type { Survey } from "./survey.ts";

export interface Paper {
  readonly isColoured: boolean;
  write(text: string): void;
  /** Milliseconds since 1970, as the control plane's own times are. */
  now(): number;
}

const NAME_WIDTH = 8;
const TINTS = { good: 32, bad: 31, waits: 33, quiet: 90, loud: 1 } as const;
type Tint = keyof typeof TINTS;

interface Line {
  readonly at: number;
  /** In the order in which lines of the same millisecond are told. */
  readonly rank: "cause" | "effect";
  readonly name: string;
  /** Undefined when there turns out to be nothing to say. */
  text(): string | undefined;
}

export class Story {
  readonly #paper: Paper;
  readonly #startedAt: number;
  readonly #states = new Map<string, JobState>();
  #held: Line[] | undefined;

  constructor(paper: Paper) {
    this.#paper = paper;
    this.#startedAt = paper.now();
  }

  /** A heading. */
  title(text: string): void {
    this.#paper.write(`\n${this.#tint("loud", text)}`);
  }

  /** A line that belongs to no job. */
  say(text: string): void {
    this.tell("", text);
  }

  /** A line about a job: something that people or policy did. */
  tell(name: string, text: string, at: number = this.#paper.now()): void {
    this.#line({ at, rank: "cause", name, text: () => text });
  }

  /** Lines are kept back until `release`, which tells them in the order of their times, causes before what follows from them. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const lines = this.#held ?? [];
    this.#held = undefined;
    for (const line of lines.sort((a, b) => a.at - b.at || a.rank.localeCompare(b.rank))) this.#print(line);
  }

  /** Something that a worker did. */
  did(name: string, text: string): void {
    this.#line({ at: this.#paper.now(), rank: "effect", name, text: () => text });
  }

  /** A job is in a new state since `at`; `why` is said behind it. The same state again says nothing. */
  moved(name: string, state: JobState, why: string, at: number = this.#paper.now()): void {
    this.#line({ at, rank: "effect", name, text: () => this.#move(name, state, why) });
  }

  hasEnded(name: string): boolean {
    const state = this.#states.get(name);
    return state !== undefined && isTerminal(state);
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

  #move(name: string, state: JobState, why: string): string | undefined {
    const before = this.#states.get(name);
    if (before === state || (before !== undefined && isTerminal(before))) return undefined;
    this.#states.set(name, state);
    const change = `${before === undefined ? "" : `${before} → `}${this.#tint(tintOf(state), state)}`;
    return why === "" ? change : `${change} ${this.#tint("quiet", words(state, why))}`;
  }

  #line(line: Line): void {
    if (this.#held === undefined) this.#print(line);
    else this.#held.push(line);
  }

  #print({ at, name, text }: Line): void {
    const said = text();
    if (said === undefined) return;
    const since = `+${(Math.max(0, at - this.#startedAt) / 1_000).toFixed(2)}s`.padStart(7);
    this.#paper.write(`${this.#tint("quiet", since)} ${name.padEnd(NAME_WIDTH)} ${said}`);
  }

  #tint(tint: Tint, text: string): string {
    return this.#paper.isColoured ? `\u001b[${TINTS[tint]}m${text}\u001b[0m` : text;
  }
}

function words(state: JobState, why: string): string {
  if (state === "DISPATCHED") return `to ${why}`;
  if (state === "RUNNING") return `at ${why}`;
  return state === "APPROVAL_REQUIRED" ? `by rule ${why}` : `(${why})`;
}

function tintOf(state: JobState): Tint {
  if (state === "SUCCEEDED") return "good";
  if (isTerminal(state)) return "bad";
  return state === "APPROVAL_REQUIRED" || state === "PENDING" ? "waits" : "loud";
}

function isNumber(cell: string): boolean {
  return /^\d+$/.test(cell);
}

export function surveyRows(survey: Survey): readonly (readonly string[])[] {
  const rows = survey.folders.map(({ folder, files, lines }) => [folder, String(files), String(lines)]);
  return [["folder", "files", "lines"], ...rows, ["all", String(survey.files), String(survey.lines)]];
}

export function longestRows(survey: Survey): readonly (readonly string[])[] {
  return [["longest files", "lines"], ...survey.longest.map(({ path, lines }) => [path, String(lines)])];
}
