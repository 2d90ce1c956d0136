// Where the CPU time of a profile went.
// Owns:          self time and time with callees by function, self time by file and by package.
// Must not know: who wrote the profile. Run: node scripts/on-node-26.mjs bench/top.ts <file.cpuprofile> [lines of each list] [jobs, to print µs a job]

import { readFileSync } from "node:fs";

interface Frame {
  readonly id: number;
  readonly children?: readonly number[];
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}
interface Profile {
  readonly nodes: readonly Frame[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}
type Sums = Map<string, number>;

/** Waiting, and the end of the profile itself. */
const LEFT_OUT = ["(idle)", "post node:inspector"];
const [path, lines = "30", jobs = "0"] = process.argv.slice(2);
if (path === undefined)
  throw new Error("node scripts/on-node-26.mjs bench/top.ts <file.cpuprofile> [lines of each list] [jobs]");
const profile = JSON.parse(readFileSync(path, "utf8")) as Profile;
const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
const selfMicros = new Map<number, number>();
profile.samples.forEach((id, at) => {
  selfMicros.set(id, (selfMicros.get(id) ?? 0) + (profile.timeDeltas[at] ?? 0));
});

const byFunction: Sums = new Map();
const byFile: Sums = new Map();
const byPackage: Sums = new Map();
const withCallees: Sums = new Map();
let busy = 0;
let idle = 0;
for (const [id, micros] of selfMicros) {
  const node = nodes.get(id);
  if (node === undefined) continue;
  if (isLeftOut(node)) {
    idle += micros;
    continue;
  }
  busy += micros;
  add(byFunction, nameOf(node), micros);
  add(byFile, fileOf(node), micros);
  add(byPackage, packageOf(node), micros);
}
const root = profile.nodes[0];
if (root !== undefined) sumUp(root, new Set());

console.log(`busy ${Math.round(busy / 1_000)} ms, idle ${Math.round(idle / 1_000)} ms`);
print("self, by function", byFunction);
print("with callees", withCallees);
print("self, by file", byFile);
print("self, by package", byPackage);

function add(sums: Sums, key: string, micros: number): void {
  sums.set(key, (sums.get(key) ?? 0) + micros);
}

function isLeftOut(node: Frame): boolean {
  return LEFT_OUT.some((name) => nameOf(node).startsWith(name));
}

/** A function that calls itself counts once. */
function sumUp(node: Frame, open: Set<string>): number {
  if (isLeftOut(node)) return 0;
  const name = nameOf(node);
  const isFirst = !open.has(name);
  open.add(name);
  let micros = selfMicros.get(node.id) ?? 0;
  for (const id of node.children ?? []) {
    const child = nodes.get(id);
    if (child !== undefined) micros += sumUp(child, open);
  }
  if (isFirst) {
    open.delete(name);
    add(withCallees, name, micros);
  }
  return micros;
}

function nameOf(node: Frame): string {
  const { functionName, url, lineNumber } = node.callFrame;
  const name = functionName === "" ? "(anonymous)" : functionName;
  return url === "" ? name : `${name} ${fileOf(node)}:${lineNumber + 1}`;
}

function fileOf({ callFrame: { url, functionName } }: Frame): string {
  if (url === "") return `(V8) ${functionName}`;
  const [, inPackage] = /.*\/node_modules\/(.*)$/.exec(url) ?? [];
  const [, ours] = /.*\/((?:packages|bench)\/.*)$/.exec(url) ?? [];
  return inPackage ?? ours?.replace("packages/control-plane/src/", "") ?? url;
}

/** A package of somebody else, or one of our folders. */
function packageOf(node: Frame): string {
  if (node.callFrame.url === "") return "V8: garbage collection, system calls";
  const parts = fileOf(node).split("/");
  if (parts[0]?.startsWith("node:")) return "node";
  return parts
    .slice(0, parts[0]?.startsWith("@") || parts[0] === "adapters" || parts[0] === "packages" ? 2 : 1)
    .join("/");
}

function print(title: string, sums: Sums): void {
  console.log(`\n${title}`);
  const largest = [...sums].sort((a, b) => b[1] - a[1]).slice(0, Number(lines));
  for (const [key, micros] of largest) {
    const perJob = Number(jobs) === 0 ? "" : ` ${(micros / Number(jobs)).toFixed(1).padStart(6)} µs`;
    console.log(`${((micros / busy) * 100).toFixed(1).padStart(5)} %${perJob}  ${key}`);
  }
}
