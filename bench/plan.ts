// What a run measures, from the words of the command line.
// Owns:          presets of each scale, reading the arguments.
// Must not know: how anything is measured.

import { parseArgs } from "node:util";
import type { Effort } from "./campaign.ts";
import type { Context, Scale, Scenario } from "./scenario.ts";
import { SCENARIOS } from "./scenarios.ts";

export interface Plan {
  readonly scenarios: readonly Scenario[];
  readonly context: Omit<Context, "say">;
}

const EFFORTS: { readonly [scale in Scale]: Effort } = {
  full: { rounds: 5, roundSeconds: 1.2, warmUpJobs: 25_000, serialJobs: 200 },
  quick: { rounds: 3, roundSeconds: 0.5, warmUpJobs: 2_000, serialJobs: 50 },
  tiny: { rounds: 1, roundSeconds: 0.1, warmUpJobs: 100, serialJobs: 5 },
};

const list = SCENARIOS.map(({ name, about, isUsual }) => `    ${isUsual ? "*" : " "} ${name.padEnd(12)} ${about}`);
export const USAGE = `npm run bench [-- options]
  --scenario <a,b>      only these; without it those with a star:
${list.join("\n")}
  --quick               less of everything: to see where numbers lie, not to believe them
  --tiny                some hundred jobs: to see that the bench works
  --only <a,b>          only these entrants of a scenario, as its table names them
  --rounds <n>          ${EFFORTS.full.rounds}
  --round-seconds <s>   ${EFFORTS.full.roundSeconds}
  --warm-up <jobs>      ${EFFORTS.full.warmUpJobs}, before the first round: V8 compiles late
  --slots <n>           of each worker
  --connections <n>     callers at once
  --cpu-prof <folder>   writes a CPU profile of the rounds there, of every process; read one by
                        node scripts/on-node-26.mjs bench/top.ts <file>`;

/** Throws a sentence with the usage for words that mean nothing. */
export function planOf(words: readonly string[]): Plan {
  const { values } = read(words);
  const scale: Scale = values.tiny === true ? "tiny" : values.quick === true ? "quick" : "full";
  const preset = EFFORTS[scale];
  const effort: Effort = {
    rounds: number(values.rounds) ?? preset.rounds,
    roundSeconds: number(values["round-seconds"]) ?? preset.roundSeconds,
    warmUpJobs: number(values["warm-up"]) ?? preset.warmUpJobs,
    serialJobs: preset.serialJobs,
    profileFolder: values["cpu-prof"],
  };
  const wanted = names(values.scenario);
  for (const name of wanted)
    if (!SCENARIOS.some((scenario) => scenario.name === name))
      throw new Error(`there is no scenario ${name}\n${USAGE}`);
  const scenarios = SCENARIOS.filter(({ name, isUsual }) => (wanted.length === 0 ? isUsual : wanted.includes(name)));
  const { slots, connections } = values;
  return {
    scenarios,
    context: { scale, effort, only: names(values.only), slots: number(slots), connections: number(connections) },
  };
}

function read(words: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: [...words],
      options: {
        scenario: text,
        quick: flag,
        tiny: flag,
        only: text,
        rounds: text,
        "round-seconds": text,
        "warm-up": text,
        slots: text,
        connections: text,
        "cpu-prof": text,
      },
    });
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`, { cause: error });
  }
}

function names(text: string | undefined): readonly string[] {
  return text === undefined ? [] : text.split(",").map((name) => name.trim());
}

function number(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`expected a number above 0, got "${text}"\n${USAGE}`);
  return value;
}
