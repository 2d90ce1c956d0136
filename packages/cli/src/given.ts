// What stood on the command line, typed.
// Owns:          reading options out of commander's bag.
// Must not know: which options exist.

import { CommandFailure } from "./failure.ts";

export class Given {
  readonly #options: { readonly [option: string]: unknown };

  constructor(options: { readonly [option: string]: unknown }) {
    this.#options = options;
  }

  text(option: string): string | undefined {
    const value = this.#options[option];
    return typeof value === "string" && value !== "" ? value : undefined;
  }

  flag(option: string): boolean {
    return this.#options[option] === true;
  }

  /** Separated by commas, or the option given several times. */
  list(option: string): readonly string[] {
    const value = this.#options[option];
    const texts = Array.isArray(value) ? value.map(String) : typeof value === "string" ? [value] : [];
    return texts
      .flatMap((text) => text.split(","))
      .map((text) => text.trim())
      .filter((text) => text !== "");
  }

  /** The option given several times, each taken whole. */
  each(option: string): readonly string[] {
    const value = this.#options[option];
    return Array.isArray(value) ? value.map(String) : [];
  }

  whole(option: string, range: { readonly min: number; readonly max: number }): number | undefined {
    const given = this.text(option);
    if (given === undefined) return undefined;
    const value = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN;
    if (value >= range.min && value <= range.max) return value;
    throw new CommandFailure(
      "USAGE",
      `--${kebab(option)} expects a number from ${range.min} to ${range.max}, got "${given}"`,
    );
  }

  /** A moment, in epoch ms: how long before `now` (`30s`, `2h`, `7d`), RFC 3339 or a part of it, or a Unix time in seconds or ms. */
  moment(option: string, now: number): number | undefined {
    const given = this.text(option);
    if (given === undefined) return undefined;
    const at = momentMs(given, now);
    if (at !== undefined && at > 0) return at;
    throw new CommandFailure(
      "USAGE",
      `--${kebab(option)} expects a time such as 2h (ago), 2026-01-31 or 2026-01-31T12:00Z, got "${given}"`,
    );
  }

  /** Seconds, or a number with ms, s, m or h: `90`, `90s`, `1m30s`. In ms. */
  span(option: string): number | undefined {
    const given = this.text(option);
    if (given === undefined) return undefined;
    const ms = spanMs(given);
    if (ms !== undefined && ms > 0) return ms;
    throw new CommandFailure("USAGE", `--${kebab(option)} expects a time such as 30s or 5m, got "${given}"`);
  }
}

const UNITS_MS: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function spanMs(text: string): number | undefined {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  if (!/^(\d{1,9}(ms|s|m|h)){1,4}$/.test(text)) return undefined;
  let ms = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h)/g)) ms += Number(count) * (UNITS_MS[unit ?? ""] ?? 0);
  return ms;
}

const DATE = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/;

function momentMs(text: string, now: number): number | undefined {
  if (/^\d{9,10}$/.test(text)) return Number(text) * 1_000;
  if (/^\d{12,13}$/.test(text)) return Number(text);
  const days = /^(\d{1,5})d$/.exec(text)?.[1];
  const ago = days === undefined ? (/^\d+$/.test(text) ? undefined : spanMs(text)) : Number(days) * 86_400_000;
  if (ago !== undefined) return Math.floor(now - ago);
  const at = DATE.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isFinite(at) ? at : undefined;
}

function kebab(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
