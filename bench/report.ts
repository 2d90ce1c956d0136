// What a run of the bench says in the end.
// Owns:          tables in Markdown, how numbers are rounded, whether goals are met.
// Must not know: how anything was measured.

import { type Middle, middleOf, type Row, ratioOf } from "./campaign.ts";
import { percentile } from "./load.ts";
import type { Round } from "./round.ts";
import type { Goal, Table } from "./scenario.ts";

export const rateOf = (round: Round): number => round.jobsPerSecond;
export const cpuOf = (round: Round): number => round.cpuMicros.all ?? Number.NaN;

/** The columns that every load has; ratios are taken to those referees that took part. */
export function tableOf(rows: readonly Row[]): Table {
  const beside = (row: Row, name: string, measured: (round: Round) => number): string => {
    const other = rows.find((one) => one.name === name);
    return other === undefined ? "" : spread(ratioOf(row, other, measured));
  };
  const all = rows.map((row) => ({
    "": row.name,
    "jobs/s": spread(of(row, rateOf), whole),
    "× BullMQ HTTP": beside(row, "BullMQ HTTP", rateOf),
    "× BullMQ": beside(row, "BullMQ alone", rateOf),
    "× floor": beside(row, "floor", rateOf),
    "CPU µs/job": Object.keys(row.rounds[0]?.cpuMicros ?? {})
      .map((name) => cpu(row, name))
      .join(" "),
    "CPU × BullMQ HTTP": beside(row, "BullMQ HTTP", cpuOf),
    "CPU × floor": beside(row, "floor", cpuOf),
    "answer p50/p99 ms": pair(
      of(row, (round) => round.answerMsP50).median,
      of(row, (round) => round.answerMsP99).median,
    ),
    "serial p50/p99 ms": pair(percentile(row.serialMs, 0.5), percentile(row.serialMs, 0.99)),
    scripts: fine(of(row, (round) => round.redisScripts).median),
    publishes: fine(of(row, (round) => round.published).median),
    MiB: whole(of(row, (round) => round.rssMiB).median),
  }));
  const isEmpty = (column: string): boolean => all.every((row) => row[column as keyof typeof row] === "");
  const columns = Object.keys(all[0] ?? {}).filter((column) => column === "" || !isEmpty(column));
  return all.map((row) => Object.fromEntries(columns.map((c) => [c, row[c as keyof typeof row]])));
}

export function dataOf(rows: readonly Row[]) {
  return rows.map(({ name, rounds, serialMs, versions }) => ({
    name,
    versions,
    serialMs: { p50: percentile(serialMs, 0.5), p99: percentile(serialMs, 0.99), jobs: serialMs.length },
    rounds,
  }));
}

export function markdownOf(table: Table): string {
  const columns = Object.keys(table[0] ?? {});
  const line = (cells: readonly (string | number | undefined)[]): string => `| ${cells.join(" | ")} |`;
  return [line(columns), line(columns.map(() => "---")), ...table.map((row) => line(columns.map((c) => row[c])))].join(
    "\n",
  );
}

export function goalTable(goals: readonly Goal[]): Table {
  return goals.map(({ goal, measured, atLeast, atMost }) => ({
    goal,
    wanted: atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`,
    measured: fine(measured),
    met:
      measured >= (atLeast ?? Number.NEGATIVE_INFINITY) && measured <= (atMost ?? Number.POSITIVE_INFINITY)
        ? "yes"
        : "no",
  }));
}

function of(row: Row, measured: (round: Round) => number): Middle {
  return middleOf(row.rounds.map(measured));
}

function cpu(row: Row, name: string): string {
  return `${name} ${whole(of(row, (round) => round.cpuMicros[name] ?? Number.NaN).median)}`;
}

/** The median and, in brackets, the least and the greatest. */
export function spread({ median, min, max }: Middle, round: (value: number) => number | string = fine): string {
  return Number.isNaN(median) ? "" : `${round(median)} (${round(min)}–${round(max)})`;
}

function pair(p50: number, p99: number): string {
  return Number.isNaN(p50) ? "" : `${fine(p50)} / ${fine(p99)}`;
}

export function whole(value: number): number {
  return Math.round(value);
}

export function fine(value: number): number | string {
  return Number.isNaN(value) ? "" : Number(value.toPrecision(3));
}
