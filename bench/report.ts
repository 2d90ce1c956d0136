// What a run of the bench says in the end.
// Owns:          tables, sentences about targets, the shape of the JSON file.
// Must not know: how anything was measured.

import { type GroupResult, type Middle, middleOf, type Row, ratioOf } from "./campaign.ts";
import type { Kind } from "./contender.ts";
import { percentile } from "./load.ts";
import type { Round } from "./round.ts";

const PROCESSES = ["all", "system", "worker", "redis", "nats", "load"] as const;

export function tableOf({ rows }: GroupResult): readonly { readonly [column: string]: string | number }[] {
  const beside = (row: Row, kind: Kind, measure: (round: Round) => number): number | string => {
    const other = rows.find((one) => one.kind === kind);
    return other === undefined ? "" : fine(ratioOf(row, other, measure).median);
  };
  const rate = (round: Round): number => round.jobsPerSecond;
  return rows.map((row) => ({
    "": row.kind,
    "jobs/s": whole(of(row, (round) => round.jobsPerSecond).median),
    spread: spread(of(row, (round) => round.jobsPerSecond)),
    "× BullMQ HTTP": beside(row, "BullMQ HTTP", rate),
    "× BullMQ": beside(row, "BullMQ alone", rate),
    "× floor": beside(row, "floor", rate),
    "CPU × BullMQ HTTP": beside(row, "BullMQ HTTP", (round) => round.cpuMicros.all ?? Number.NaN),
    "CPU × floor": beside(row, "floor", (round) => round.cpuMicros.all ?? Number.NaN),
    "POST p50/p99 ms": `${fine(of(row, (round) => round.answerMsP50).median)} / ${fine(of(row, (round) => round.answerMsP99).median)}`,
    "serial p50/p99 ms": `${fine(percentile(row.serialMs, 0.5))} / ${fine(percentile(row.serialMs, 0.99))}`,
    "CPU µs/job": PROCESSES.flatMap((name) => cpu(row, name)).join(" "),
    "Redis reads": fine(of(row, (round) => round.redisReads).median),
    scripts: fine(of(row, (round) => round.redisScripts).median),
    publishes: fine(of(row, (round) => round.published).median),
    MiB: whole(of(row, (round) => round.rssMiB).median),
  }));
}

export function markdownOf(result: GroupResult): string {
  const rows = tableOf(result);
  const columns = Object.keys(rows[0] ?? {});
  const line = (cells: readonly (string | number | undefined)[]): string => `| ${cells.join(" | ")} |`;
  return [line(columns), line(columns.map(() => "---")), ...rows.map((row) => line(columns.map((c) => row[c])))].join(
    "\n",
  );
}

export function jsonOf({ group, rows }: GroupResult) {
  return {
    group: group.name,
    about: group.about,
    shape: group.shape,
    rows: rows.map(({ kind, rounds, serialMs, versions }) => ({
      kind,
      versions,
      serialMs: { p50: percentile(serialMs, 0.5), p99: percentile(serialMs, 0.99), jobs: serialMs.length },
      rounds,
    })),
  };
}

function of(row: Row, measure: (round: Round) => number): Middle {
  return middleOf(row.rounds.map(measure));
}

function cpu(row: Row, name: string): readonly string[] {
  const { median } = of(row, (round) => round.cpuMicros[name] ?? Number.NaN);
  return Number.isNaN(median) ? [] : [`${name} ${whole(median)}`];
}

function spread({ min, max }: Middle): string {
  return `${whole(min)}–${whole(max)}`;
}

function whole(value: number): number {
  return Math.round(value);
}

function fine(value: number): number | string {
  return Number.isNaN(value) ? "" : Number(value.toPrecision(3));
}
