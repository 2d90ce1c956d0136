// One round: a house under load, faults one after the other, peace, and then the reckoning.
// Owns:          the order of a round; when it is at rest.
// Must not know: how faults are made, what the invariants look at.

import { join } from "node:path";
import { type SeededRandom, seededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { OPEN_STATES } from "@cordum/control-plane/jobs/job";
import { redisDump } from "@cordum/control-plane/testing/redis-dump";
import type { RedisStyle } from "./chaos-redis.ts";
import type { Deck } from "./deck.ts";
import { readExecutions } from "./effects.ts";
import { type Facts, RoundFacts } from "./facts.ts";
import { type Fleet, KEYS, startFleet } from "./fleet.ts";
import { type Checked, checkAll } from "./invariants.ts";
import type { Journal } from "./journal.ts";
import { Ledger } from "./ledger.ts";
import { Load } from "./load.ts";
import { People } from "./people.ts";
import { Picture } from "./picture.ts";
import { countLost, countReasons, type Outcome, outcomeOf } from "./reckoning.ts";
import { lookForSecrets, readThroughApi, repeatSubmits } from "./second-look.ts";
import { sleep } from "./sleep.ts";
import { endedJobs, openJobs, slotsOut, storedOf, watchLimits } from "./watch.ts";

export interface RoundPlan {
  readonly name: string;
  readonly style: RedisStyle;
  /** How long there are faults. */
  readonly faultsMs: number;
  readonly holdMsMax: number;
  readonly jobsPerSecond: number;
  readonly seed: number;
}

export interface RoundResult {
  readonly plan: RoundPlan;
  /** By "<fault> | <on what kind of thing>". */
  readonly faults: ReadonlyMap<string, number>;
  readonly checked: readonly Checked[];
  readonly outcome: Outcome;
  readonly counts: ReadonlyMap<string, number>;
  readonly refusals: ReadonlyMap<number, number>;
  readonly losses: number;
  readonly versions: { readonly [server: string]: string };
}

/** Attempts, timeouts and looks again add up: generous, since the machine may be busy. */
const SETTLE_MS_MAX = 300_000;
const SAY_MS = 5_000;
const REST_MS_MIN = 1_000;
const REST_MS_MAX = 2_500;

export async function runRound(plan: RoundPlan, deck: Deck, journal: Journal): Promise<RoundResult> {
  journal.say(`${plan.name}: starting 2 gateways, 2 schedulers, 3 workers`);
  const folder = journal.roundFolder(plan.name);
  await using fleet = await startFleet(plan.style, folder);
  return await new Round(plan, fleet, { deck, journal, folder }).run();
}

/** Of "scheduler-1 → Redis": "scheduler → Redis". */
function kindOf(on: string): string {
  return on.replaceAll(/-\d/g, "");
}

class Round {
  readonly #plan: RoundPlan;
  readonly #fleet: Fleet;
  readonly #deck: Deck;
  readonly #journal: Journal;
  readonly #folder: string;
  readonly #ledger = new Ledger();
  readonly #chance: SeededRandom;
  readonly #faults = new Map<string, number>();
  readonly #deaths: { worker: string; at: number }[] = [];
  readonly #load: Load;
  readonly #people: People;
  #now = "all is well";

  constructor(
    plan: RoundPlan,
    fleet: Fleet,
    { deck, journal, folder }: { readonly deck: Deck; readonly journal: Journal; readonly folder: string },
  ) {
    [this.#plan, this.#fleet, this.#deck, this.#journal, this.#folder] = [plan, fleet, deck, journal, folder];
    this.#chance = seededRandom(plan.seed);
    const shared = { urls: fleet.urls, ledger: this.#ledger };
    const name = plan.name.replaceAll(" ", "-");
    this.#load = new Load({ ...shared, name, jobsPerSecond: plan.jobsPerSecond, chance: this.#chance.fork("load") });
    this.#people = new People({ ...shared, policyPath: fleet.policyPath, chance: this.#chance.fork("people") });
  }

  async run(): Promise<RoundResult> {
    try {
      return await this.#live();
    } finally {
      this.#load.giveUp();
      this.#writeLedger();
    }
  }

  async #live(): Promise<RoundResult> {
    const { redis, urls } = this.#fleet;
    const [loading, living] = [new AbortController(), new AbortController()];
    await using picture = new Picture(urls[1] ?? "", KEYS.ada.key);
    const life = Promise.all([
      this.#load.run(loading.signal),
      this.#people.run(living.signal),
      watchLimits(redis, this.#ledger, living.signal),
      this.#sayForever(living.signal),
    ]);
    // Awaited below; what goes wrong in between must not end the process on the way there.
    life.catch(() => undefined);
    try {
      await sleep(REST_MS_MAX);
      await this.#inflict();
      this.#now = "all is well again, waiting for the last jobs";
      this.#people.isOver = true;
      loading.abort();
      await this.#settle(picture);
      await repeatSubmits(this.#fleet, this.#ledger, this.#chance);
    } finally {
      living.abort();
      loading.abort();
    }
    await life;
    await this.#load.settled();
    return await this.#reckon(picture);
  }

  async #inflict(): Promise<void> {
    const endsAt = Date.now() + this.#plan.faultsMs;
    const chance = this.#chance.fork("faults");
    const scene = { fleet: this.#fleet, chance, holdMsMax: this.#plan.holdMsMax };
    while (Date.now() < endsAt) {
      const { fault, on, holdMs, inflict } = this.#deck.next(this.#plan.style.replicated).draw(scene);
      this.#now = `${fault}: ${on}`;
      const round = this.#plan.name;
      const startedAt = Date.now();
      this.#journal.note("faults", { round, what: "begin", fault, on, holdMs });
      this.#noteDeaths(fault, on, startedAt);
      const loss = await inflict();
      if (loss !== undefined) this.#ledger.losses.push(loss);
      this.#journal.note("faults", { round, what: "end", fault, on, tookMs: Date.now() - startedAt, loss });
      const what = `${fault} | ${kindOf(on)}`;
      this.#faults.set(what, (this.#faults.get(what) ?? 0) + 1);
      this.#now = `after ${fault}: ${on}`;
      await sleep(REST_MS_MIN + chance.below(REST_MS_MAX - REST_MS_MIN));
    }
  }

  #noteDeaths(fault: string, on: string, at: number): void {
    if (!fault.startsWith("kill") && fault !== "restart") return;
    for (const { name, role } of this.#fleet.members)
      if (role === "worker" && (name === on || on === "all workers")) this.#deaths.push({ worker: name, at });
  }

  /** Until nothing is open, no slot is out, and the reader of the stream has seen the last of it. */
  async #settle(picture: Picture): Promise<void> {
    const endsAt = Date.now() + SETTLE_MS_MAX;
    let quietSince = 0;
    while (Date.now() < endsAt) {
      const [open, slots] = [await openJobs(this.#fleet.redis), await slotsOut(this.#fleet.redis)];
      const isQuiet = open === 0 && slots?.every((size) => size === 0) === true && this.#load.underWay === 0;
      if (!isQuiet) quietSince = 0;
      else if (quietSince === 0) quietSince = Date.now();
      else if (Date.now() - quietSince > SAY_MS && (await this.#isSeen(picture))) return;
      await sleep(250);
    }
    this.#journal.say("the last jobs do not end; what is there is looked at as it is");
  }

  /** What Redis forgot has no end that could be seen. */
  async #isSeen({ states }: Picture): Promise<boolean> {
    const open = [...states].flatMap(([id, state]) => ((OPEN_STATES as readonly string[]).includes(state) ? [id] : []));
    return (await storedOf(this.#fleet.redis, open)).length === 0;
  }

  async #reckon(picture: Picture): Promise<RoundResult> {
    const { redis, members, effectPaths } = this.#fleet;
    const ledger = this.#ledger;
    const executions = readExecutions(effectPaths);
    const dump = await redisDump(redis.admin);
    const [seconds, micros] = await redis.admin.time();
    const now = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    lookForSecrets(
      members.map(({ name }) => join(this.#folder, `${name}.log`)),
      ledger,
    );
    const { states, tenants, firstAt, failure } = picture;
    const surprises = new Map(members.map(({ name, process }) => [name, process.surprises]));
    const seen = { states, tenants, firstAt, failure };
    const facts: Facts = { dump, now, ledger, executions, deaths: this.#deaths, surprises, seen };
    const arranged = new RoundFacts(facts);
    await readThroughApi(this.#fleet, arranged);
    const checked = checkAll(arranged);
    const outcome = outcomeOf(arranged);
    countLost(arranged);
    countReasons(arranged);
    this.#writeDown(facts, checked);
    return {
      plan: this.#plan,
      faults: this.#faults,
      checked,
      outcome,
      counts: ledger.counts,
      refusals: ledger.refusals,
      losses: ledger.losses.length,
      versions: await this.#versions(),
    };
  }

  /** Also of a round that broke off. */
  #writeLedger(): void {
    const { accepted, deeds, losses, offences } = this.#ledger;
    for (const [file, lines] of Object.entries({ accepted: accepted.values(), deeds, losses, offences }))
      this.#journal.write(`${this.#plan.name}/${file}`, lines);
  }

  #writeDown({ dump }: Facts, checked: readonly Checked[]): void {
    const broken = checked.flatMap(({ name, faults }) => faults.map((says) => ({ name, says })));
    this.#journal.write(`${this.#plan.name}/records`, dump.records);
    this.#journal.write(`${this.#plan.name}/violations`, broken);
  }

  async #versions(): Promise<RoundResult["versions"]> {
    const said = await this.#fleet.redis.admin.info("server");
    const redis = /^(?:valkey|redis)_version:(\S+)/m.exec(said)?.[1] ?? "";
    return { redis };
  }

  async #sayForever(signal: AbortSignal): Promise<void> {
    while (await sleep(SAY_MS, signal)) {
      const { redis } = this.#fleet;
      const [open = "?", ended = "?"] = [await openJobs(redis), await endedJobs(redis)];
      const { accepted, refusals, offences } = this.#ledger;
      const refused = [...refusals].map(([status, count]) => `${status}×${count}`).join(" ") || "none";
      const jobs = `accepted ${accepted.size}, ended ${ended}, open ${open}, being handed in ${this.#load.underWay}, refusals ${refused}`;
      const trouble = offences.length === 0 ? "" : `, OFFENCES ${offences.length}: ${offences.at(-1)?.says}`;
      this.#journal.say(`${this.#plan.name}: ${this.#now} | ${jobs}${trouble}`);
    }
  }
}
