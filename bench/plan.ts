// What a run measures, from the words of the command line.
// Owns:          groups and their presets, reading the arguments.
// Must not know: how anything is measured.

import { parseArgs } from "node:util";
import type { Effort, Group } from "./campaign.ts";
import type { Kind, Shape } from "./contender.ts";

export interface Plan {
  readonly groups: readonly Group[];
  readonly effort: Effort;
}

export const USAGE = `npm run bench [-- options]
  --only <text>         groups whose name contains this, e.g. "everysec"
  --kinds <a,b>         only these: "cordum dev", "cordum NATS", "cordum JetStream", "BullMQ HTTP", "BullMQ alone"
  --rounds <n>          5
  --round-seconds <s>   1.2
  --slots <n>           of each worker, in all groups
  --connections <n>     callers at once, 64
  --profile <folder>    writes a CPU profile of every process there
  --smoke               one short round of cordum dev, to see that the bench works`;

const ALL: readonly Kind[] = ["cordum dev", "cordum NATS", "cordum JetStream", "BullMQ HTTP", "BullMQ alone"];
const ON_REDIS = ALL.slice(1);
const SOME: readonly Kind[] = ["cordum dev", "cordum NATS", "BullMQ HTTP"];
const CONNECTIONS = 64;
const PRESET: Effort = { rounds: 5, roundSeconds: 1.2, warmUpSeconds: 4, serialJobs: 40 };
const SMOKE: Effort = { rounds: 1, roundSeconds: 0.2, warmUpSeconds: 0.2, serialJobs: 5 };

/** Throws a sentence with the usage for words that mean nothing. */
export function planOf(words: readonly string[]): Plan {
  const { values } = read(words);
  const { smoke = false } = values;
  const effort: Effort = smoke
    ? SMOKE
    : {
        ...PRESET,
        rounds: number(values.rounds, PRESET.rounds),
        roundSeconds: number(values["round-seconds"], PRESET.roundSeconds),
      };
  const shape: Partial<Shape> = {
    connections: number(values.connections, CONNECTIONS),
    ...(values.slots === undefined ? {} : { slots: number(values.slots, 1) }),
    ...(values.profile === undefined ? {} : { profileFolder: values.profile }),
  };
  const wanted = values.kinds?.split(",").map((kind) => kind.trim());
  const groups = (smoke ? SMOKE_GROUPS : GROUPS)
    .filter(({ name }) => name.includes(values.only ?? ""))
    .map((group) => ({ ...group, shape: { ...group.shape, ...shape } }))
    .map((group) => ({ ...group, kinds: group.kinds.filter((kind) => wanted?.includes(kind) ?? true) }))
    .filter(({ kinds }) => kinds.length > 0);
  if (groups.length === 0) throw new Error(`there is nothing to measure\n${USAGE}`);
  return { groups, effort };
}

const shapeOf = (workers: number, slots: number, fsync: Shape["fsync"]): Shape => ({
  workers,
  slots,
  fsync,
  connections: CONNECTIONS,
});

const GROUPS: readonly Group[] = [
  { name: "1 worker of 50 slots, everysec", kinds: ALL, shape: shapeOf(1, 50, "everysec") },
  { name: "1 worker of 50 slots, always", kinds: ON_REDIS, shape: shapeOf(1, 50, "always") },
  { name: "1 worker of 1 slot, everysec", kinds: SOME, shape: shapeOf(1, 1, "everysec") },
  { name: "10 workers of 50 slots, everysec", kinds: SOME, shape: shapeOf(10, 50, "everysec") },
];
const SMOKE_GROUPS: readonly Group[] = [{ name: "smoke", kinds: ["cordum dev"], shape: shapeOf(1, 50, "everysec") }];

function read(words: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...words],
      options: {
        only: text,
        kinds: text,
        rounds: text,
        "round-seconds": text,
        slots: text,
        connections: text,
        profile: text,
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
