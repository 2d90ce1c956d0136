// Imports follow the floors.
// Owns:          which floor a file is on; which floors it may import.
// Must not know: how imports are found.
// F1. protocol → nothing of ours; sdk → protocol; ports → protocol; records → ports, protocol; domain folders → domains, records,
//     ports, protocol; telemetry → ports, protocol; gateway → domains, records, telemetry, ports, protocol; adapters → ports,
//     protocol, their own folder and what adapters share (SHARED_ADAPTERS); services → all of these; cli → sdk, control plane.
// F2. Another domain's `*-store.ts` is nobody's business but its domain's.
// F3. Test floors (conformance, testing, simulation) import what they like; only tests, test floors and bench import them.
// F4. One package names another by its name, never by a path. F5. Domains and ports import no transport, no file system, no timers.
// F6. No file imports itself in a circle.

import { importsOf } from "./imports.ts";
import { isCode, isTest, type Problem, type SourceFile, type Tree } from "./source.ts";

type Floor =
  | "protocol"
  | "sdk"
  | "ports"
  | "records"
  | "domain"
  | "telemetry"
  | "gateway"
  | "adapters"
  | "services"
  | "door"
  | "cli"
  | "dashboard"
  | "test"
  | "program";

interface Place {
  readonly floor: Floor;
  readonly package: string;
  /** Folder below src of the control plane, with the technology for adapters. */
  readonly folder: string;
}

const CONTROL_PLANE = "packages/control-plane/src/";
const TEST_FOLDERS = new Set(["conformance", "testing", "simulation"]);
const FOLDER_FLOORS = new Map<string, Floor>([
  ["ports", "ports"],
  ["records", "records"],
  ["adapters", "adapters"],
  ["telemetry", "telemetry"],
  ["gateway", "gateway"],
  ["services", "services"],
]);
/** Adapter folders that other adapters build on. */
const SHARED_ADAPTERS = new Set(["adapters/system", "adapters/state", "adapters/bus"]);
const ALLOWED: { readonly [floor in Floor]: readonly Floor[] | "everything" } = {
  protocol: ["protocol"],
  sdk: ["sdk", "protocol"],
  ports: ["ports", "protocol"],
  records: ["records", "ports", "protocol"],
  domain: ["domain", "records", "ports", "protocol"],
  telemetry: ["telemetry", "ports", "protocol"],
  gateway: ["gateway", "domain", "records", "telemetry", "ports", "protocol"],
  adapters: ["adapters", "ports", "protocol"],
  services: ["services", "gateway", "domain", "records", "telemetry", "adapters", "ports", "protocol"],
  door: ["services", "gateway", "domain", "records", "telemetry", "adapters", "ports", "protocol"],
  cli: ["cli", "sdk", "door", "protocol"],
  dashboard: ["dashboard", "sdk", "protocol"],
  test: "everything",
  program: "everything",
};
const NOT_BELOW_GATEWAY =
  /^(node:(http|https|http2|net|tls|dgram|fs|fs\/promises|child_process|cluster|worker_threads|sqlite|timers|timers\/promises|os|dns|process|perf_hooks)|fastify|@fastify\/.*|ioredis|@nats-io\/.*|@grpc\/.*|pino|prom-client|ws|undici)$/;

export function checkFloors(tree: Tree): readonly Problem[] {
  const code = tree.filter((file) => isCode(file.path));
  return [...code.flatMap(checkFile), ...checkCycles(code)];
}

function checkFile(file: SourceFile): readonly Problem[] {
  const from = placeOf(file.path);
  const problems: Problem[] = [];
  for (const { target, specifier, line } of importsOf(file)) {
    const refused =
      target === undefined
        ? refuseOutside(from, specifier)
        : refuse(from, placeOf(target), { file, target, specifier });
    if (refused !== undefined) problems.push({ rule: "floors", path: file.path, line, ...refused });
  }
  return problems;
}

type Refusal = { readonly says: string; readonly fix: string };

function refuse(
  from: Place,
  to: Place,
  about: { file: SourceFile; target: string; specifier: string },
): Refusal | undefined {
  if (from.floor === "test") return undefined;
  if (to.floor === "test" && from.floor !== "program") {
    return {
      says: `${about.specifier} is for tests only (F3)`,
      fix: "move what production code needs out of the test folder",
    };
  }
  const byPath = about.specifier.startsWith(".") && from.package !== to.package && from.floor !== "program";
  if (byPath)
    return { says: `reaches into another package: ${about.specifier} (F4)`, fix: "import the package by its name" };
  const allowed = ALLOWED[from.floor];
  if (allowed !== "everything" && !allowed.includes(to.floor)) {
    return {
      says: `${from.floor} imports ${to.floor}: ${about.specifier} (F1)`,
      fix: "take it as an argument, or turn the arrow with a port",
    };
  }
  if (
    from.floor === "adapters" &&
    to.floor === "adapters" &&
    to.folder !== from.folder &&
    !SHARED_ADAPTERS.has(to.folder)
  ) {
    return {
      says: `one adapter imports another: ${about.specifier} (F1)`,
      fix: "share through ports, or a folder that adapters share",
    };
  }
  const isStranger =
    from.folder !== to.folder && from.floor !== "services" && from.floor !== "door" && from.floor !== "program";
  if (to.floor === "domain" && about.target.endsWith("-store.ts") && isStranger) {
    return {
      says: `reads another domain's storage: ${about.specifier} (F2)`,
      fix: "ask a function that the domain exports",
    };
  }
  return undefined;
}

function refuseOutside(from: Place, specifier: string): Refusal | undefined {
  const isLow = from.floor === "domain" || from.floor === "records" || from.floor === "ports";
  if (!isLow || !NOT_BELOW_GATEWAY.test(specifier)) return undefined;
  return { says: `${from.floor} imports ${specifier} (F5)`, fix: "ask for it through a port" };
}

export function placeOf(path: string): Place {
  const owner = /^packages\/([^/]+)\//.exec(path)?.[1] ?? "";
  if (isTest(path)) return { floor: "test", package: owner, folder: "" };
  if (path.startsWith(CONTROL_PLANE)) return placeInControlPlane(path.slice(CONTROL_PLANE.length));
  const isFloor = owner === "protocol" || owner === "sdk" || owner === "cli" || owner === "dashboard";
  const isTestFolder = path.split("/").some((folder) => TEST_FOLDERS.has(folder));
  if (isFloor) return { floor: isTestFolder ? "test" : owner, package: owner, folder: "" };
  return { floor: "program", package: owner, folder: "" };
}

function placeInControlPlane(path: string): Place {
  const [folder = "", inner = ""] = path.split("/");
  const at = { package: "control-plane" };
  if (!path.includes("/")) return { ...at, floor: "door", folder: "" };
  if (path.split("/").some((name) => TEST_FOLDERS.has(name))) return { ...at, floor: "test", folder };
  const floor = FOLDER_FLOORS.get(folder) ?? "domain";
  return { ...at, floor, folder: floor === "adapters" ? `adapters/${inner}` : folder };
}

function checkCycles(code: Tree): readonly Problem[] {
  const graph = new Map<string, readonly string[]>();
  const paths = new Set(code.map((file) => file.path));
  for (const file of code) {
    const targets = importsOf(file).flatMap(({ target }) =>
      target !== undefined && paths.has(target) ? [target] : [],
    );
    graph.set(file.path, targets);
  }
  return cyclesOf(graph).map((cycle) => ({
    rule: "floors",
    path: cycle[0] ?? "",
    says: `imports itself in a circle: ${[...cycle, cycle[0]].join(" → ")} (F6)`,
    fix: "move what both need into a file of its own",
  }));
}

/** One cycle for each group of files that reach each other (Tarjan, 1972). */
function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const groups: string[][] = [];
  const visit = (path: string): number => {
    const own = order.size;
    order.set(path, own);
    stack.push(path);
    let lowest = own;
    for (const next of graph.get(path) ?? []) {
      if (!order.has(next)) lowest = Math.min(lowest, visit(next));
      else if (stack.includes(next)) lowest = Math.min(lowest, order.get(next) ?? own);
    }
    low.set(path, lowest);
    if (lowest === own) groups.push(stack.splice(stack.indexOf(path)));
    return lowest;
  };
  for (const path of graph.keys()) if (!order.has(path)) visit(path);
  return groups.filter((group) => group.length > 1 || graph.get(group[0] ?? "")?.includes(group[0] ?? ""));
}
