// What a run measures, from the words of the command line.
// Owns:          scenarios and their presets, reading the arguments.
// Must not know: how anything is measured.

import { parseArgs } from "node:util";
import type { Effort, Group } from "./campaign.ts";
import type { Kind, Shape } from "./contender.ts";

export interface Plan {
  readonly groups: readonly Group[];
  readonly effort: Effort;
}

const ALL: readonly Kind[] = ["cordum dev", "cordum NATS", "cordum JetStream", "floor", "BullMQ HTTP", "BullMQ alone"];
const CONNECTIONS = 64;
const PRESET: Effort = { rounds: 5, roundSeconds: 1.2, warmUpJobs: 25_000, serialJobs: 40 };
const SMOKE: Effort = { rounds: 1, roundSeconds: 0.1, warmUpJobs: 100, serialJobs: 5 };

const shapeOf = (workers: number, slots: number, fsync: Shape["fsync"]): Shape => ({
  workers,
  slots,
  fsync,
  connections: CONNECTIONS,
});
const SOME: readonly Kind[] = ["cordum dev", "cordum NATS", "BullMQ HTTP"];
const GROUPS: readonly Group[] = [
  {
    name: "single",
    about: "single POST over NATS and Redis, everysec, 1 worker of 50 slots",
    kinds: ["cordum NATS", "floor", "BullMQ HTTP", "BullMQ alone"],
    shape: shapeOf(1, 50, "everysec"),
  },
  {
    name: "buses",
    about: "single POST on each store and bus, everysec, 1 worker of 50 slots",
    kinds: ["cordum dev", "cordum JetStream", "BullMQ HTTP"],
    shape: shapeOf(1, 50, "everysec"),
  },
  {
    name: "always",
    about: "single POST, appendfsync always, 1 worker of 50 slots",
    kinds: ["cordum NATS", "floor", "BullMQ HTTP", "BullMQ alone"],
    shape: shapeOf(1, 50, "always"),
  },
  {
    name: "one-slot",
    about: "single POST, 1 worker of 1 slot, everysec",
    kinds: SOME,
    shape: shapeOf(1, 1, "everysec"),
  },
  {
    name: "ten-workers",
    about: "single POST, 10 workers of 50 slots, everysec",
    kinds: SOME,
    shape: shapeOf(10, 50, "everysec"),
  },
];
const SMOKE_GROUPS: readonly Group[] = [
  { name: "smoke", about: "one short round", kinds: ["cordum dev"], shape: shapeOf(1, 50, "everysec") },
];

export const USAGE = `npm run bench [-- options]
  --scenario <name>     only this one:
${GROUPS.map(({ name, about }) => `                        ${name.padEnd(12)} ${about}`).join("\n")}
  --kinds <a,b>         only these: ${ALL.map((kind) => `"${kind}"`).join(", ")}
  --rounds <n>          ${PRESET.rounds}
  --round-seconds <s>   ${PRESET.roundSeconds}
  --warm-up <jobs>      ${PRESET.warmUpJobs}, before the first round: V8 compiles late
  --slots <n>           of each worker
  --connections <n>     callers at once, ${CONNECTIONS}
  --cpu-prof <folder>   writes a CPU profile of the rounds there, of every process; read one by
                        node scripts/on-node-26.mjs bench/top.ts <file>
  --smoke               one short round of cordum dev, to see that the bench works`;

/** Throws a sentence with the usage for words that mean nothing. */
export function planOf(words: readonly string[]): Plan {
  const { values } = read(words);
  const { smoke = false } = values;
  const preset = smoke ? SMOKE : PRESET;
  const effort: Effort = {
    ...preset,
    rounds: number(values.rounds, preset.rounds),
    roundSeconds: number(values["round-seconds"], preset.roundSeconds),
    warmUpJobs: number(values["warm-up"], preset.warmUpJobs),
    profileFolder: values["cpu-prof"],
  };
  const shape: Partial<Shape> = {
    connections: number(values.connections, CONNECTIONS),
    ...(values.slots === undefined ? {} : { slots: number(values.slots, 1) }),
  };
  const wanted = values.kinds?.split(",").map((kind) => kind.trim());
  const groups = (smoke ? SMOKE_GROUPS : GROUPS)
    .filter(({ name }) => values.scenario === undefined || values.scenario === name)
    .map((group) => ({ ...group, shape: { ...group.shape, ...shape } }))
    .map((group) => ({
      ...group,
      kinds: wanted === undefined ? group.kinds : ALL.filter((kind) => wanted.includes(kind)),
    }))
    .filter(({ kinds }) => kinds.length > 0);
  if (groups.length === 0) throw new Error(`there is nothing to measure\n${USAGE}`);
  return { groups, effort };
}

function read(words: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...words],
      options: {
        scenario: text,
        kinds: text,
        rounds: text,
        "round-seconds": text,
        "warm-up": text,
        slots: text,
        connections: text,
        "cpu-prof": text,
        smoke: { type: "boolean" },
      },
    });
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`, { cause: error });
  }
}

function number(text: string | undefined, preset: number): number {
  if (text === undefined) return preset;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`expected a number above 0, got "${text}"\n${USAGE}`);
  return value;
}
