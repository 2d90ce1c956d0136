// Scenarios in which jobs go all the way from a caller to their end.
// Owns:          who takes part in each, on what, and the goals that are set for it.
// Must not know: how a round is measured.

import { type Entrant, measure, type Row, ratioOf } from "../campaign.ts";
import type { Kind, Shape } from "../contender.ts";
import { percentile } from "../load.ts";
import { cpuOf, dataOf, rateOf, tableOf } from "../report.ts";
import type { Context, Goal, Scenario } from "../scenario.ts";

const USUAL: Shape = { load: "single", workers: 1, slots: 50, connections: 64, fsync: "everysec" };
const alike = (kinds: readonly Kind[], shape: Partial<Shape> = {}): readonly Entrant[] =>
  kinds.map((kind) => ({ name: kind, kind, shape: { ...USUAL, ...shape } }));
const entrant = (name: string, kind: Kind, shape: Partial<Shape>): Entrant => ({
  name,
  kind,
  shape: { ...USUAL, ...shape },
});

interface JobScenario {
  readonly name: string;
  readonly about: string;
  readonly isUsual: boolean;
  readonly entrants: readonly Entrant[];
  readonly goals?: (rows: Rows) => readonly Goal[];
}

/** Goals whose parties did not take part are left out. */
class Rows {
  readonly #rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
  }

  row(name: string): Row | undefined {
    return this.#rows.find((row) => row.name === name);
  }

  rate(ours: string, theirs: string): number {
    return this.#ratio(ours, theirs, rateOf);
  }

  cpu(ours: string, theirs: string): number {
    return this.#ratio(ours, theirs, cpuOf);
  }

  serial(name: string, share: number): number {
    return percentile(this.row(name)?.serialMs ?? [], share);
  }

  #ratio(ours: string, theirs: string, of: typeof rateOf): number {
    const [a, b] = [this.row(ours), this.row(theirs)];
    return a === undefined || b === undefined ? Number.NaN : ratioOf(a, b, of).median;
  }
}

const singleGoals = (rows: Rows): readonly Goal[] => [
  { goal: "single POST, jobs/s × BullMQ HTTP", measured: rows.rate("cordum NATS", "BullMQ HTTP"), atLeast: 1 },
  { goal: "single POST, jobs/s × BullMQ alone", measured: rows.rate("cordum NATS", "BullMQ alone"), atLeast: 0.76 },
  { goal: "single POST, jobs/s × floor", measured: rows.rate("cordum NATS", "floor"), atLeast: 0.6 },
  {
    goal: "single POST, CPU without the client × BullMQ HTTP",
    measured: rows.cpu("cordum NATS", "BullMQ HTTP"),
    atMost: 1.2,
  },
  ...serialGoals(rows),
];
const serialGoals = (rows: Rows): readonly Goal[] => [
  { goal: "serial p50 in ms", measured: rows.serial("cordum NATS", 0.5), atMost: 1.5 },
  { goal: "serial p99 in ms", measured: rows.serial("cordum NATS", 0.99), atMost: 8 },
];

const NODES = [1, 2, 4].map((nodes) => entrant(`${nodes} node${nodes === 1 ? "" : "s"}`, "cordum nodes", { nodes }));
const FLEETS = [1, 2, 4].map((schedulers) =>
  entrant(`${schedulers} scheduler${schedulers === 1 ? "" : "s"}`, "cordum fleet", { schedulers }),
);

const TABLE: readonly JobScenario[] = [
  {
    name: "single",
    about: "single POST over NATS and Redis, everysec, 1 worker of 50 slots; then one job at a time",
    isUsual: true,
    entrants: alike(["cordum NATS", "floor", "BullMQ HTTP", "BullMQ alone"]),
    goals: singleGoals,
  },
  {
    name: "bulk",
    about: "batches of 100 and raw packets on the bus, everysec, 1 worker of 50 slots",
    isUsual: true,
    entrants: [
      entrant("cordum batch", "cordum NATS", { load: "batch" }),
      entrant("cordum raw bus", "cordum NATS", { load: "bus" }),
      entrant("BullMQ HTTP addBulk", "BullMQ HTTP", { load: "batch" }),
      entrant("BullMQ alone addBulk", "BullMQ alone", { load: "batch" }),
      entrant("BullMQ alone", "BullMQ alone", {}),
    ],
    goals: (rows) => [
      { goal: "batch, jobs/s × BullMQ alone", measured: rows.rate("cordum batch", "BullMQ alone"), atLeast: 1.5 },
      { goal: "raw bus, jobs/s × BullMQ alone", measured: rows.rate("cordum raw bus", "BullMQ alone"), atLeast: 1.5 },
    ],
  },
  {
    name: "sqlite",
    about: "single POST to one process on SQLite, its worker inside, each commit on disk",
    isUsual: true,
    entrants: alike(["cordum dev", "BullMQ HTTP", "BullMQ alone"]),
    goals: (rows) => [
      {
        goal: "one process, durable, jobs/s × BullMQ alone",
        measured: rows.rate("cordum dev", "BullMQ alone"),
        atLeast: 1,
      },
    ],
  },
  {
    name: "schedulers",
    about: "single POST to one gateway beside 1, 2 and 4 schedulers, each a process, 4 workers of 50 slots",
    isUsual: true,
    entrants: FLEETS.map((each) => ({ ...each, shape: { ...each.shape, workers: 4 } })),
  },
  {
    name: "nodes",
    about: "single POST to 1, 2 and 4 nodes of both roles, which share the 64 callers and 1 worker of 50 slots",
    isUsual: false,
    entrants: NODES,
    goals: (rows) => [{ goal: "CPU of 2 nodes × CPU of one", measured: rows.cpu("2 nodes", "1 node"), atMost: 1.15 }],
  },
  {
    name: "serial",
    about: "one job at a time, more of them than in the other scenarios",
    isUsual: false,
    entrants: alike(["cordum NATS", "cordum dev", "floor", "BullMQ HTTP"]),
    goals: serialGoals,
  },
  {
    name: "always",
    about: "single POST, appendfsync always, 1 worker of 50 slots",
    isUsual: false,
    entrants: alike(["cordum NATS", "floor", "BullMQ HTTP", "BullMQ alone"], { fsync: "always" }),
  },
  {
    name: "jetstream",
    about: "single POST with JetStream beside core NATS",
    isUsual: false,
    entrants: alike(["cordum NATS", "cordum JetStream", "BullMQ HTTP"]),
  },
  {
    name: "one-slot",
    about: "single POST, 1 worker of 1 slot",
    isUsual: false,
    entrants: alike(["cordum dev", "cordum NATS", "BullMQ HTTP"], { slots: 1 }),
  },
  {
    name: "ten-workers",
    about: "single POST, 10 workers of 50 slots",
    isUsual: false,
    entrants: alike(["cordum dev", "cordum NATS", "BullMQ HTTP"], { workers: 10 }),
  },
];

const SERIAL_FACTOR = 3;

export const jobScenarios: readonly Scenario[] = TABLE.map(({ name, about, isUsual, entrants, goals }) => ({
  name,
  about,
  isUsual,
  needsServers: true,
  async run(context) {
    const serialJobs = context.effort.serialJobs * (name === "serial" ? SERIAL_FACTOR : 1);
    const chosen = entrants.filter((each) => context.only.length === 0 || context.only.includes(each.name));
    if (chosen.length === 0)
      throw new Error(`${name}: nobody takes part; there are ${entrants.map((e) => e.name).join(", ")}`);
    const shaped = chosen.map((each) => ({ ...each, shape: shapeOf(each.shape, context) }));
    const rows = await measure(shaped, { ...context.effort, serialJobs }, (line) => context.say(`${name}: ${line}`));
    return {
      title: about,
      table: tableOf(rows),
      goals: goals?.(new Rows(rows)).filter(({ measured }) => !Number.isNaN(measured)) ?? [],
      versions: Object.assign({}, ...rows.map((row) => row.versions)),
      data: { entrants: shaped, rows: dataOf(rows) },
    };
  },
}));

function shapeOf(shape: Shape, { slots, connections }: Context): Shape {
  return {
    ...shape,
    ...(slots === undefined ? {} : { slots }),
    ...(connections === undefined ? {} : { connections }),
  };
}
