// What a decision costs, beside Cedar and OPA on equal rules.
// Owns:          the rules in three languages, the requests, the comparison of every answer.
// Must not know: how Cordum finds a rule.
// E1. Equal rules: before anything is timed, all engines must decide each request alike; no request matches two rules, since the
//     languages differ in which of them wins. E2. Each engine is used as its makers advise: parsed once, asked with objects.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { PolicySource } from "@cordum/control-plane/policy/policy-source";
import { POLICY_INPUT } from "@cordum/control-plane/testing/blanks";
import { middleOf } from "../campaign.ts";
import { fine, spread } from "../report.ts";
import type { Context, Goal, Scale, Scenario, Table } from "../scenario.ts";

interface Rule {
  readonly id: string;
  readonly tenant: string;
  readonly risk: string;
  readonly decision: "allow" | "deny";
  /** Exactly one of the three. */
  readonly topic?: string;
  readonly prefix?: string;
  readonly part?: string;
}
interface Request {
  readonly tenant: string;
  readonly topic: string;
  readonly risks: readonly string[];
}
type Family = "mixed" | "walked";
interface Engine {
  readonly name: string;
  readonly version: string;
  decide(request: Request): string;
}

const RULES: { readonly [scale in Scale]: readonly number[] } = {
  full: [1, 100, 1_000, 10_000],
  quick: [1, 100, 1_000],
  tiny: [1, 100],
};
const ROUND_MS: { readonly [scale in Scale]: number } = { full: 150, quick: 50, tiny: 5 };
const REQUESTS = 200;
const TENANTS = ["acme", "globex", "initech"];
const RISKS = ["read", "write", "network", "money"];
const CEDAR = "@cedar-policy/cedar-wasm/nodejs";
const OPA = "@open-policy-agent/opa-wasm";

/** mixed: topics by name and by prefix. walked: patterns that no index can file, so that each has to be tried. */
function rulesOf(family: Family, count: number): readonly Rule[] {
  return Array.from({ length: count }, (_, n): Rule => {
    const about = {
      id: `r${n}`,
      tenant: TENANTS[n % TENANTS.length] ?? "",
      risk: RISKS[n % RISKS.length] ?? "",
      decision: n % 5 === 0 ? "deny" : "allow",
    } as const;
    if (family === "walked") return { ...about, part: `-kind${n}-` };
    return n % 2 === 0 ? { ...about, topic: `job.area.task${n}` } : { ...about, prefix: `job.group${n}.` };
  });
}

/** Half of them match a rule. */
function requestsOf(rules: readonly Rule[]): readonly Request[] {
  const { next } = seededRandom(7);
  return Array.from({ length: REQUESTS }, (_, n) => {
    const rule = rules[Math.floor(next() * rules.length)];
    const { topic, prefix, part, tenant = "", risk = "" } = rule ?? {};
    const concerned = topic ?? (prefix === undefined ? `job.some${part}thing` : `${prefix}now`);
    return n % 2 === 0
      ? { tenant, topic: concerned, risks: ["other", risk] }
      : { tenant, topic: n % 4 === 1 ? "job.unheard.of" : concerned, risks: ["other"] };
  });
}

function cordum(rules: readonly Rule[]): Engine {
  const lines = rules.map(({ id, tenant, risk, decision, topic, prefix, part }) => {
    const pattern = topic ?? (prefix === undefined ? `job.*${part}*` : `${prefix}*`);
    return `- {id: ${id},match: {topics: ["${pattern}"],tenants: [${tenant}],risk_tags: [${risk}]},decision: ${decision}}`;
  });
  const policy = new PolicySource();
  const replaced = policy.replace(`version: v1\ndefault_decision: deny\nrules:\n${lines.join("\n")}\n`);
  if (replaced.kind !== "loaded") throw new Error(`Cordum: ${JSON.stringify(replaced)}`);
  return {
    name: "Cordum",
    version: "",
    decide({ tenant, topic, risks }) {
      const decision = policy.decide({ ...POLICY_INPUT, tenant, topic, riskTags: risks });
      return decision === "unavailable" ? decision : decision.kind;
    },
  };
}

/** Undefined where somebody has installed without the development packages. */
async function installed<M>(name: string): Promise<M | undefined> {
  try {
    return (await import(name)) as M;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

interface CedarModule {
  getCedarVersion(): string;
  preparsePolicySet(id: string, policies: { readonly staticPolicies: string }): { readonly type: string };
  statefulIsAuthorized(call: object): { readonly response?: { readonly decision: string } };
}

async function cedar(rules: readonly Rule[]): Promise<Engine | undefined> {
  const module = await installed<CedarModule>(CEDAR);
  if (module === undefined) return undefined;
  const policies = rules.map(({ tenant, risk, decision, topic, prefix, part }) => {
    const resource = topic === undefined ? "resource" : `resource == Topic::"${topic}"`;
    const pattern = prefix === undefined ? `*${part}*` : `${prefix}*`;
    const concerns = topic === undefined ? `context.topic like "${pattern}" && ` : "";
    const effect = decision === "allow" ? "permit" : "forbid";
    return `${effect}(principal == Tenant::"${tenant}", action, ${resource}) when { ${concerns}context.risks.contains("${risk}") };`;
  });
  const id = `bench-${rules.length}-${rules[0]?.part ?? ""}`;
  const parsed = module.preparsePolicySet(id, { staticPolicies: policies.join("\n") });
  if (parsed.type !== "success") throw new Error(`Cedar: ${JSON.stringify(parsed).slice(0, 500)}`);
  return {
    name: "Cedar (wasm)",
    version: module.getCedarVersion(),
    decide({ tenant, topic, risks }) {
      const answer = module.statefulIsAuthorized({
        principal: { type: "Tenant", id: tenant },
        action: { type: "Action", id: "submit" },
        resource: { type: "Topic", id: topic },
        context: { topic, risks },
        preparsedPolicySetId: id,
        entities: [],
      });
      return answer.response?.decision ?? JSON.stringify(answer);
    },
  };
}

interface OpaModule {
  loadPolicy(wasm: Uint8Array): Promise<{ setData(data: object): void; evaluate(input: object): unknown }>;
}

async function opa(rules: readonly Rule[]): Promise<Engine | undefined> {
  const module = await installed<OpaModule>(OPA);
  if (module === undefined) return undefined;
  const policy = await module.loadPolicy(await readFile(join(import.meta.dirname, "../rules/rules.wasm")));
  policy.setData({ rules });
  return {
    name: "OPA (wasm)",
    version: "1.22.2",
    decide({ tenant, topic, risks }) {
      const [answer] = policy.evaluate({ tenant, topic, risk_tags: risks }) as { readonly result: string }[];
      return answer?.result ?? "";
    },
  };
}

interface Measured {
  readonly family: Family;
  readonly rules: number;
  readonly engine: string;
  readonly micros: readonly number[];
}

async function measureRules(family: Family, count: number, context: Context): Promise<readonly Measured[]> {
  const rules = rulesOf(family, count);
  const requests = requestsOf(rules);
  const engines = [cordum(rules), await cedar(rules), await opa(rules)].filter((engine) => engine !== undefined);
  for (const request of requests) {
    const answers = new Set(engines.map((engine) => engine.decide(request)));
    if (answers.size > 1) throw new Error(`they disagree about ${JSON.stringify(request)}: ${[...answers].join(", ")}`);
  }
  const measured = engines.map(({ name }): Measured & { micros: number[] } => ({
    family,
    rules: count,
    engine: name,
    micros: [],
  }));
  for (let round = 0; round <= context.effort.rounds; round++)
    for (const [at, engine] of engines.entries()) {
      const micros = microsOf(engine, requests, ROUND_MS[context.scale]);
      if (round > 0) measured[at]?.micros.push(micros); // the first is for the compiler
    }
  context.say(`policy: ${family}, ${count} rules`);
  return measured;
}

/** CPU time of one decision, garbage collection and all. */
function microsOf(engine: Engine, requests: readonly Request[], ms: number): number {
  const before = process.cpuUsage();
  const until = performance.now() + ms;
  let decided = 0;
  do {
    for (const request of requests) {
      engine.decide(request);
      decided++;
      if (decided % 16 === 0 && performance.now() > until) break;
    }
  } while (performance.now() < until);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / decided;
}

const medianOf = ({ micros }: Measured): number => middleOf(micros).median;

function tableOf(all: readonly Measured[]): Table {
  const ours = all.filter(({ engine }) => engine === "Cordum");
  return ours.map((own) => {
    const others = all.filter((one) => one.family === own.family && one.rules === own.rules && one !== own);
    return {
      rules: own.rules,
      family: own.family,
      "Cordum µs": spread(middleOf(own.micros)),
      ...Object.fromEntries(
        others.flatMap((one) => [
          [`${one.engine} µs`, spread(middleOf(one.micros))],
          [`${one.engine} ÷ Cordum`, fine(medianOf(one) / medianOf(own))],
        ]),
      ),
    };
  });
}

function goalsOf(all: readonly Measured[]): readonly Goal[] {
  const at = (engine: string): Measured | undefined =>
    all.find((one) => one.family === "mixed" && one.rules === 1_000 && one.engine === engine);
  const [own, other] = [at("Cordum"), at("Cedar (wasm)")];
  if (own === undefined || other === undefined) return [];
  return [
    { goal: "a decision among 1,000 rules, µs", measured: medianOf(own), atMost: 10 },
    {
      goal: "a decision among 1,000 rules, times as fast as Cedar",
      measured: medianOf(other) / medianOf(own),
      atLeast: 10,
    },
  ];
}

async function versions(): Promise<{ readonly [program: string]: string }> {
  const engines = [await cedar(rulesOf("mixed", 1)), await opa([])];
  return Object.fromEntries(
    engines.map((engine) => [engine?.name ?? "", engine?.version ?? ""]).filter(([name]) => name !== ""),
  );
}

const missing = (all: readonly Measured[]): readonly string[] =>
  ["Cedar (wasm)", "OPA (wasm)"]
    .filter((name) => !all.some(({ engine }) => engine === name))
    .map((name) => `${name} was not measured: its package is not installed, "npm ci" brings it.`);

export const policyScenario: Scenario = {
  name: "policy",
  about: "a decision among 1 to 10,000 rules, beside Cedar and OPA",
  isUsual: true,
  needsServers: false,
  async run(context) {
    const all: Measured[] = [];
    for (const count of RULES[context.scale]) all.push(...(await measureRules("mixed", count, context)));
    const walked = Math.min(1_000, RULES[context.scale].at(-1) ?? 1);
    all.push(...(await measureRules("walked", walked, context)));
    return {
      title: "CPU time of one decision on equal rules, each by tenant, risk and topic",
      table: tableOf(all),
      notes: [
        "mixed: half of the rules name a topic, half a prefix. walked: patterns with a star in front, which no index can file.",
        "Every answer was compared before. OPA's rules are data to one small program.",
        ...missing(all),
      ],
      goals: goalsOf(all),
      versions: await versions(),
      data: all,
    };
  },
};
