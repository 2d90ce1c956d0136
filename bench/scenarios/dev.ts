// How soon `cordum dev` is ready, and what it takes.
// Owns:          starting it as a person does, for the first time and again.
// Must not know: what it does meanwhile.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDev } from "../../packages/cli/src/testing/dev-process.ts";
import { middleOf } from "../campaign.ts";
import { spread, whole } from "../report.ts";
import type { Scale, Scenario } from "../scenario.ts";

const STARTS: { readonly [scale in Scale]: number } = { full: 7, quick: 3, tiny: 0 };

interface Start {
  readonly readyMs: number;
  readonly cpuMs: number;
  /** NaN where there is no /proc. */
  readonly rssMiB: number;
}

async function start(cwd: string): Promise<Start> {
  const from = performance.now();
  const { child, ended } = await startDev(cwd, [], {
    XDG_CACHE_HOME: join(cwd, "cache"),
    NODE_COMPILE_CACHE: undefined,
  });
  const readyMs = performance.now() - from;
  try {
    return { readyMs, ...(await spentBy(child.pid ?? 0)) };
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}

/** Source: proc_pid_stat(5), proc_pid_status(5). */
async function spentBy(pid: number): Promise<Omit<Start, "readyMs">> {
  const read = (file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
  const [stat, status] = [await read("stat"), await read("status")];
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const kiB = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN);
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, rssMiB: kiB / 1024 };
}

export const devScenario: Scenario = {
  name: "dev",
  about: "how soon `cordum dev` is ready, and its memory",
  isUsual: true,
  needsServers: false,
  async run(context) {
    const folder = await mkdtemp(join(tmpdir(), "cordum-bench-dev-"));
    const starts: Start[] = [];
    const first = await start(folder);
    if (context.scale === "tiny") starts.push(first);
    try {
      for (let n = 0; n < STARTS[context.scale]; n++) starts.push(await start(folder));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const [ready, rss] = [middleOf(starts.map(({ readyMs }) => readyMs)), middleOf(starts.map(({ rssMiB }) => rssMiB))];
    return {
      title: `${starts.length} starts of cordum dev, run from its sources`,
      table: [
        {
          "ready after ms": spread(ready, whole),
          "CPU ms until then": spread(middleOf(starts.map(({ cpuMs }) => cpuMs)), whole),
          "MiB when ready": spread(rss, whole),
          "first start of all, ms": whole(first.readyMs),
        },
      ],
      notes: ["The first start of all strips types and compiles; what it compiled is kept for those behind it."],
      goals: [
        { goal: "cordum dev ready, ms", measured: ready.median, atMost: 1_000 },
        { goal: "cordum dev, MiB", measured: rss.median, atMost: 150 },
      ],
      data: { first, starts },
    };
  },
};
