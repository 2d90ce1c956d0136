// The report of a run, as a page of the documentation.
// Owns:          its words and tables.
// Must not know: how anything was found out. No path, name or address of the machine stands in it.

import { KINDS } from "./kinds.ts";
import type { RoundResult } from "./round.ts";

export interface About {
  readonly minutes: number;
  readonly seed: number;
  readonly machine: string;
  readonly versions: readonly string[];
}

export function reportOf(results: readonly RoundResult[], about: About): string {
  return `# Chaos

Real processes (two gateways, two schedulers, three workers, one of them with an API key alone), a real Redis and a real NATS with JetStream,
under a steady load of all kinds of jobs, while faults come one after the other. Each way between two processes leads through a proxy, so
that it can be cut, slowed down or made silent by itself. Afterwards everything that is stored, every execution that workers wrote down, and
every answer that somebody got is held against the invariants below.

This page is written by \`npm run chaos -- --minutes ${about.minutes} --seed ${about.seed} --report docs/chaos.md\`; a run of three minutes is
part of \`npm test\`. Who wants to see each fault with its time, and the logs of all processes: \`--keep\` leaves them in a folder; after a
failure they are left in any case. The same seed draws the same faults and the same jobs; what meets what is up to the machine.

${about.machine}, ${about.versions.join(", ")}.

## Rounds

${roundsTable(results)}

In the first round Redis writes to its disk before it answers: **nothing may be missing.** In the second it writes each second and has a
replica, which takes its place in failovers: what the primary had not replicated is [lost](guarantees.md), and each failover is
made so that something is. There, jobs of which something happened in these seconds may be missing, be done again, or fail for want of
their context, where JetStream brings back a job that Redis has forgotten; they are counted below, and all others must be whole.

## What was injected, how often

${faultsTable(results)}

## What became of the jobs

${jobsTable(results)}

${countsTable(results)}

## What was held against it

${invariantsTable(results)}

## What this does not prove

- Power loss: processes and servers are killed, the machine is not. What the kernel has, the disk gets.
- Several faults at once, beyond those that hit all processes of a kind or cut all ways to a server.
- A Redis Cluster: its failovers are tested in the suite of the Redis adapter.
- After a crash the announcements of ends and of dead letters on the bus may be missing: they are news, the records are the truth.
`;
}

function roundsTable(results: readonly RoundResult[]): string {
  const rows = results.map(({ plan, faults, outcome, losses }) => {
    const style = `appendfsync ${plan.style.appendfsync}${plan.style.replicated ? ", a replica" : ""}`;
    return [
      plan.name,
      style,
      sum(faults.values()),
      sum([...outcome.values()].flatMap((ends) => [...ends.values()])),
      losses,
    ];
  });
  return table(["round", "Redis", "faults", "accepted jobs", "times at which Redis may have lost writes"], rows);
}

function faultsTable(results: readonly RoundResult[]): string {
  const names = [...new Set(results.flatMap(({ faults }) => [...faults.keys()]))].sort();
  // Each name is two cells already.
  const rows = names.map((name) => [name, ...results.map(({ faults }) => faults.get(name) ?? 0)]);
  return table(["fault", "on", ...results.map(({ plan }) => plan.name)], rows);
}

const STATES = ["SUCCEEDED", "FAILED", "TIMEOUT", "CANCELLED", "DENIED", "lost"];

function jobsTable(results: readonly RoundResult[]): string {
  const kinds = [...KINDS.map(({ name }) => name), "a retried dead letter"];
  const rows = results.flatMap(({ plan, outcome }) =>
    kinds.map((kind) => [plan.name, kind, ...STATES.map((state) => outcome.get(kind)?.get(state) ?? 0)]),
  );
  return table(["round", "kind", ...STATES], rows);
}

function countsTable(results: readonly RoundResult[]): string {
  const names = [...new Set(results.flatMap(({ counts }) => [...counts.keys()]))].sort();
  const rows = names.map((name) => [name, ...results.map(({ counts }) => counts.get(name) ?? 0)]);
  const statuses = [...new Set(results.flatMap(({ refusals }) => [...refusals.keys()]))].sort();
  const refused = statuses.map((status) => [
    status === 0 ? "submits without an answer" : `submits answered ${status}`,
    ...results.map(({ refusals }) => refusals.get(status) ?? 0),
  ]);
  return table(["", ...results.map(({ plan }) => plan.name)], [...refused, ...rows]);
}

function invariantsTable(results: readonly RoundResult[]): string {
  const [first] = results;
  const rows = (first?.checked ?? []).map(({ name, says }) => {
    const looked = results.map(({ checked }) => checked.find((one) => one.name === name)?.looked ?? 0);
    const broken = results.map(({ checked }) => checked.find((one) => one.name === name)?.faults.length ?? 0);
    return [name, says, ...looked, sum(broken)];
  });
  return table(
    ["invariant", "what must hold", ...results.map(({ plan }) => `looked at, ${plan.name}`), "broken"],
    rows,
  );
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  return lines.join("\n");
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const each of numbers) total += each;
  return total;
}
