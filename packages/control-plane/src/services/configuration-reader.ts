// Reading one setting after the other, and remembering what does not fit.
// Owns:          what counts as given; how a wrong value is shown.
// Must not know: which settings there are, what they mean together.

import type { Setting } from "./configuration-settings.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigProblem {
  readonly name: string;
  readonly expected: string;
  /** What was found, as it is shown: quoted, shortened, masked when secret. */
  readonly got: string;
}

export class Reader {
  readonly problems: ConfigProblem[] = [];
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  has(setting: Setting<unknown>): boolean {
    return this.#given(setting) !== "";
  }

  read<T>(setting: Setting<T>): T {
    const given = this.#given(setting);
    if (given === "") return setting.otherwise;
    const value = setting.parse(given);
    if (value !== undefined) return value;
    this.problems.push({
      name: setting.name,
      expected: setting.expected,
      got: setting.isSecret ? "a value that is not shown" : quoted(given),
    });
    return setting.otherwise;
  }

  #given(setting: Setting<unknown>): string {
    return (Object.hasOwn(this.#env, setting.name) ? (this.#env[setting.name] ?? "") : "").trim();
  }
}

const SHOWN_CHARS_MAX = 80;

function quoted(given: string): string {
  return JSON.stringify(given.length <= SHOWN_CHARS_MAX ? given : `${given.slice(0, SHOWN_CHARS_MAX)}…`);
}
