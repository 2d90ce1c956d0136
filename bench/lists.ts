// What a list costs when many jobs are kept: every combination of filters, first page and the pages behind it.
// Owns:          the jobs that are kept, the requests, the table.
// Must not know: how lists are read. Run: node scripts/on-node-26.mjs --conditions=source bench/lists.ts [memory|sqlite|redis] [jobs] [requests of each list in each of three rounds] [ask only every nth list] [http]

import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { memoryPayloads } from "@cordum/control-plane/adapters/memory/memory-payloads";
import { memoryState } from "@cordum/control-plane/adapters/memory/memory-state";
import { openRedis } from "@cordum/control-plane/adapters/redis/open-redis";
import { openSqlite } from "@cordum/control-plane/adapters/sqlite/open-sqlite";
import { systemClock } from "@cordum/control-plane/adapters/system/clock";
import { seededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { openScene, type Scene } from "@cordum/control-plane/gateway/testing/gateway-scene";
import { DEFAULT_RETENTION, stateLayout } from "@cordum/control-plane/services/core";
import { silentLog } from "@cordum/control-plane/telemetry/log";
import { drawJobs, everyFilter, type KeptFilter, keepJobs } from "@cordum/control-plane/testing/many-jobs";
import { startRedis } from "@cordum/control-plane/testing/servers";

const [engine = "sqlite", jobs = "100000", requests = "100", step = "1", way = "in process"] = process.argv.slice(2);
const LIMIT = 50;
const SHOWN = 12;
const BOUND_MS = 20;
/** Of a list's rounds the middle one counts: neighbours on the machine spoil one, seldom two. */
const ROUNDS = 3;
const never = new AbortController().signal;
const clock = systemClock();
const layout = stateLayout(DEFAULT_RETENTION);

type Stores = NonNullable<Parameters<typeof openScene>[4]>;
interface Opened extends Stores {
  close(): Promise<void>;
}

async function open(): Promise<Opened> {
  if (engine === "memory") {
    const state = memoryState({ partitions: 16, layout, clock });
    return { state, payloads: memoryPayloads({ clock, bytesMax: 8_388_608 }), close: () => state.close() };
  }
  if (engine === "redis") {
    const server = await startRedis(); // a million jobs would be gigabytes on disk, and only reads are measured
    const { state, payloads, close } = await openRedis({ url: server.url, layout, clock }, silentLog());
    return { state, payloads, close: () => close().then(() => server.stop()) };
  }
  const folder = await mkdtemp(join(tmpdir(), "cordum-lists-"));
  const { state, payloads } = await openSqlite({ path: join(folder, "state.db"), partitions: 1, layout, clock });
  return { state, payloads, close: () => state.close().then(() => rm(folder, { recursive: true })) };
}

interface Row {
  readonly name: string;
  readonly p50: number;
  readonly p99: number;
  readonly items: number;
  readonly times: readonly number[];
  /** What this process spent on a request, all threads of it, sorted: neighbours on the machine do not count. */
  readonly cpu: readonly number[];
}

type Ask = (url: string) => Promise<{ readonly status: number; readonly body: string; readonly link: string }>;

/** Through the router without a socket, or over one: then the CPU is that of the caller, too. */
async function askOf(scene: Scene): Promise<Ask> {
  const headers = { "x-api-key": "viewer-key" };
  if (way !== "http")
    return async (url) => {
      const answer = await scene.call("viewer-key", "GET", url);
      return { status: answer.statusCode, body: answer.body, link: String(answer.headers.link ?? "") };
    };
  const base = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
  return async (url) => {
    const answer = await fetch(base + url, { headers });
    return { status: answer.status, body: await answer.text(), link: answer.headers.get("link") ?? "" };
  };
}

/** One caller after another: what is measured is a request, not a queue. */
async function measure(ask: Ask, { name, query }: KeptFilter, count: number): Promise<Row> {
  const times: number[] = [];
  const cpu: number[] = [];
  let items = 0;
  let url = "";
  for (let n = 0; n < count; n++) {
    if (url === "") url = `/api/v1/jobs?${new URLSearchParams({ ...query, limit: String(LIMIT) })}`;
    const [before, spent] = [clock.mono(), process.cpuUsage()];
    const { status, body, link } = await ask(url);
    times.push(clock.mono() - before);
    const { user, system } = process.cpuUsage(spent);
    cpu.push((user + system) / 1_000);
    if (status !== 200) throw new Error(`${url}: ${body}`);
    items += JSON.parse(body).items.length;
    url = /^<([^>]*)>/.exec(link)?.[1] ?? "";
  }
  for (const all of [times, cpu]) all.sort((a, b) => a - b);
  return {
    name: name === "" ? "(none)" : name,
    p50: shareOf(times, 0.5),
    p99: shareOf(times, 0.99),
    items,
    times,
    cpu,
  };
}

function shareOf(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

const stores = await open();
const scene = await openScene({}, clock, undefined, undefined, stores);
const until = clock.now();
const filledFrom = clock.mono();
await keepJobs(drawJobs({ count: Number(jobs), until, random: seededRandom(7).next }), scene.core.parts.jobs, never);
console.log(`${engine}: ${jobs} jobs kept in ${Math.round((clock.mono() - filledFrom) / 1_000)} s`);
const ask = await askOf(scene);
const filters = everyFilter(until).filter((_, at) => at % Number(step) === 0);
for (const filter of filters) await measure(ask, filter, 4); // until it is compiled
const rounds: Row[][] = [];
for (let round = 0; round < ROUNDS; round++) {
  const rows: Row[] = [];
  for (const filter of filters) rows.push(await measure(ask, filter, Number(requests)));
  rounds.push(rows);
}
const rows = filters.map((_, at): Row => {
  const [, middle] = rounds.flatMap((round) => round[at] ?? []).sort((a, b) => a.p99 - b.p99);
  if (middle === undefined) throw new Error("a list was not measured");
  return middle;
});
rows.sort((a, b) => b.p99 - a.p99);
console.log(`\n${way}; load of the machine: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores`);
console.log(
  `\n| slowest of ${rows.length} lists | p50 ms | p99 ms | CPU p50 ms | CPU p99 ms | items |\n|---|---|---|---|---|---|`,
);
for (const { name, p50, p99, cpu, items } of rows.slice(0, SHOWN)) {
  const shown = [p50, p99, shareOf(cpu, 0.5), shareOf(cpu, 0.99)].map((ms) => ms.toFixed(1));
  console.log(`| ${name} | ${shown.join(" | ")} | ${items} |`);
}
const all = rows.map(({ p50 }) => p50).sort((a, b) => a - b);
console.log(`\nmedian of all medians: ${(all[Math.floor(all.length / 2)] ?? 0).toFixed(1)} ms`);
const single = rounds
  .flat()
  .flatMap(({ times }) => times)
  .sort((a, b) => a - b);
console.log(`p99 of all ${single.length} requests: ${(single[Math.floor(single.length * 0.99)] ?? 0).toFixed(1)} ms`);
console.log(`slowest median: ${(all.at(-1) ?? 0).toFixed(1)} ms`);
console.log(`lists above ${BOUND_MS} ms at p99: ${rows.filter(({ p99 }) => p99 > BOUND_MS).length}`);
console.log(`of CPU: ${rows.filter(({ cpu }) => shareOf(cpu, 0.99) > BOUND_MS).length}`);
await scene[Symbol.asyncDispose]();
await stores.close();
