// Lists and filters over many kept jobs.
// Owns:          running bench/lists.ts in a process of its own, and what of its words goes into the table.
// Must not know: how lists are read.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Scale, Scenario, Table } from "../scenario.ts";

const PROGRAM = fileURLToPath(new URL("../lists.ts", import.meta.url));
const SIZES: {
  readonly [scale in Scale]: { readonly jobs: number; readonly requests: number; readonly step: number };
} = {
  full: { jobs: 1_000_000, requests: 6, step: 1 },
  quick: { jobs: 30_000, requests: 4, step: 5 },
  tiny: { jobs: 300, requests: 1, step: 20 },
};
/** All jobs are drawn before they are kept. */
const HEAP_MIB = 10_000;

async function saidBy(args: readonly string[]): Promise<string> {
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning", `--max-old-space-size=${HEAP_MIB}`];
  const child = spawn(process.execPath, [...flags, PROGRAM, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk) => {
    said += String(chunk);
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`bench/lists.ts ended with ${code}: ${said}`);
  return said;
}

/** The Markdown table in what was said. */
function tableIn(said: string): Table {
  const [head = [], , ...rows] = said
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.slice(1, -1).split("|"))
    .map((cells) => cells.map((cell) => cell.trim()));
  return rows.map((cells) => Object.fromEntries(head.map((column, at) => [column, cells[at] ?? ""])));
}

export const listsScenario: Scenario = {
  name: "lists",
  about: "every combination of filters over 1,000,000 kept jobs in Redis, 50 of them a page",
  isUsual: true,
  needsServers: true,
  async run({ scale }) {
    const { jobs, requests, step } = SIZES[scale];
    const said = await saidBy(["redis", String(jobs), String(requests), String(step)]);
    const table = tableIn(said);
    const number = (pattern: RegExp): number => Number(pattern.exec(said)?.[1] ?? Number.NaN);
    const p99 = number(/p99 of all \d+ requests: ([\d.]+) ms/);
    return {
      title: `lists over ${jobs} kept jobs, a request through the whole gateway in the process`,
      table: table.slice(0, 5),
      notes: said.split("\n").filter((line) => /^(median|p99|slowest|lists|of CPU)/.test(line)),
      goals: [{ goal: `lists over ${jobs} jobs: p99 of all requests, ms`, measured: p99, atMost: 20 }],
      data: { jobs, requests, slowest: table, said },
    };
  },
};
