// What happened, in order.
// Owns:          the rolling hash over all steps, and the last of them in words.
// Must not know: what a step does.
// T1. The hash covers what decides the future: step, process, port, method, key, fate, time. Two runs of one seed have the same.
// T2. Nothing that differs between two machines goes in: no addresses, stacks, real times, order of hash tables.

import type { EpochMs } from "../ports/time.ts";

export interface TraceEntry {
  readonly step: number;
  readonly at: EpochMs;
  /** name#incarnation */
  readonly who: string;
  /** port.method, or what the world did. */
  readonly what: string;
  readonly key: string;
  readonly fate: string;
}

export class Trace {
  readonly #kept: TraceEntry[] = [];
  readonly #keptMax: number;
  readonly #startAt: EpochMs;
  readonly #print: ((line: string) => void) | undefined;
  #high = 0x811c9dc5;
  #low = 0x9e3779b9;

  constructor(options: {
    readonly startAt: EpochMs;
    readonly keptMax: number;
    readonly print?: (line: string) => void;
  }) {
    this.#startAt = options.startAt;
    this.#keptMax = options.keptMax;
    this.#print = options.print;
  }

  add(entry: TraceEntry): void {
    this.#mix(entry.step);
    this.#mix(entry.at - this.#startAt);
    this.#mixText(entry.who);
    this.#mixText(entry.what);
    this.#mixText(entry.key);
    this.#mixText(entry.fate);
    this.note(entry);
  }

  /** Kept to be read, not hashed: what a process logged. */
  note(entry: TraceEntry): void {
    if (this.#kept.length >= 2 * this.#keptMax) this.#kept.splice(0, this.#keptMax);
    this.#kept.push(entry);
    this.#print?.(this.#line(entry));
  }

  /** 16 hexadecimal digits. */
  hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }

  lastLines(count: number): readonly string[] {
    return this.#kept.slice(-count).map((entry) => this.#line(entry));
  }

  #line({ step, at, who, what, key, fate }: TraceEntry): string {
    return `${String(step).padStart(7)} ${String(at - this.#startAt).padStart(9)}ms ${who.padEnd(14)} ${what} ${key} → ${fate}`;
  }

  #mix(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0x01000193);
    this.#low = Math.imul(this.#low ^ (value + 0x7f4a7c15), 0x85ebca6b);
    this.#low ^= this.#low >>> 13;
  }

  #mixText(text: string): void {
    for (let at = 0; at < text.length; at++) this.#mix(text.charCodeAt(at));
    this.#mix(-1);
  }
}
