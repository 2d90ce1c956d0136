// What happened in a run, while it happens.
// Owns:          the folder of a run, its files of JSON lines, the lines on the screen.
// Must not know: what is worth writing down.

import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Journal {
  /** Logs of processes, effects of workers, faults, jobs; kept where something went wrong. */
  readonly folder: string;
  readonly #print: (line: string) => void;
  readonly #startedAt = Date.now();

  constructor(seed: number, print: (line: string) => void) {
    this.folder = mkdtempSync(join(tmpdir(), `cordum-chaos-${seed}-`));
    this.#print = print;
  }

  /** A folder for one round. */
  roundFolder(name: string): string {
    const folder = join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  note(file: string, entry: object): void {
    appendFileSync(join(this.folder, `${file}.jsonl`), `${JSON.stringify({ at: Date.now(), ...entry })}\n`);
  }

  write(file: string, lines: Iterable<object>): void {
    writeFileSync(join(this.folder, `${file}.jsonl`), [...lines].map((line) => `${JSON.stringify(line)}\n`).join(""));
  }

  say(line: string): void {
    const seconds = Math.round((Date.now() - this.#startedAt) / 1_000);
    this.#print(`[${String(seconds).padStart(4)} s] ${line}`);
  }

  forget(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
