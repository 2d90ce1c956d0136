// A simulated world: processes on virtual time, one seed, every call with a fate.
// Owns:          the scheduler (which call is next, what becomes of it, when time moves), crashes and restarts, the run and its checks.
// Must not know: what the processes do.
// W1. One step: one call gets its fate, or one timer fires; then promises settle. Nothing runs in between.
// W2. Same seed, same processes: same trace hash, on every machine.
// W3. After heal() nothing fails and everything that crashed is started again.
// W4. Programmer errors are failures wherever they are caught: what a process logs as an error and is no Fault fails the run.

import type { Dump } from "../adapters/memory/memory-state.ts";
import { type SeededRandom, seededRandom } from "../adapters/system/seeded-random.ts";
import { timerQueue } from "../adapters/system/timer-queue.ts";
import { Fault, unreachable } from "../ports/fault.ts";
import { COMMIT_LATEST_MS } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { type Call, CallQueue, echoOf, outcomeUnknown, unavailable } from "./calls.ts";
import { CLOSE_CLOCKS, drawClockError } from "./clock-error.ts";
import { type DrawFate, type Fate, type Faults, fatesOf, NO_FAULTS } from "./fate.ts";
import { count, Meetings } from "./meetings.ts";
import type { Invariant, RunPlan, RunReport, SimulationOptions, WorldView } from "./plan.ts";
import { Life, type SimProcess } from "./process.ts";
import { sealWorld } from "./sealed-world.ts";
import { SimBus } from "./sim-bus.ts";
import { silentMeter, simLog } from "./sim-log.ts";
import { simClock, simPayloads, simState, type WorldTime } from "./sim-ports.ts";
import { Store } from "./store.ts";
import { Trace } from "./trace.ts";
import { turn } from "./turn.ts";

export class SimulationFailure extends Error {
  override readonly name = "SimulationFailure";
}

const START_AT = 1_893_456_000_000;
const DELAY_MS_MAX = 3_000;
/** Most are back soon; one in five stays away for longer than others wait for a sign of life. */
const RESTART_MS_MAX = 4_000;
const AWAY_MS_MAX = 50_000;
const OUTAGE_MS_MAX = 8_000;
const SILENCE_MS_MAX = 6_000;
const LOST_COMMITS_MAX = 6;
/** Time moves on although calls wait, once in so many steps. */
const HURRY = 24;
const TRACE_KEPT = 400;
const TRACE_SHOWN = 60;

export class World {
  readonly trace: Trace;
  /** How often each fate and crash happened. */
  readonly happened = new Map<string, number>();
  readonly #meetings = new Meetings();
  readonly #options: SimulationOptions;
  readonly #chance: SeededRandom;
  readonly #timers = timerQueue();
  readonly #queue = new CallQueue(() => this.#now);
  readonly #bus: SimBus;
  readonly #store: Store;
  readonly #lives = new Map<string, Life>();
  #draw: DrawFate;
  #faults: Faults;
  #now: EpochMs = START_AT;
  #steps = 0;
  #outageUntil = 0;
  #failure: string | undefined;
  readonly #time: WorldTime = {
    now: () => this.#now,
    startTimer: (ms: Ms, fire: () => void) => this.#timers.start(this.#now + Math.max(0, Math.ceil(ms)), fire),
  };

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#chance = seededRandom(options.seed);
    this.#faults = options.faults;
    this.#draw = fatesOf(options.faults);
    this.trace = new Trace({
      startAt: START_AT,
      keptMax: TRACE_KEPT,
      ...(options.print === undefined ? {} : { print: options.print }),
    });
    const worldClock = simClock(this.#time, new Life(WORLD, 1), {
      startAt: START_AT,
      error: () => 0,
      chance: this.#chance.fork("world"),
    });
    this.#store = new Store({ clock: worldClock, openState: options.openState, openPayloads: options.openPayloads });
    const nobody = (): void => undefined;
    this.#bus = new SimBus(this.#queue, options.onPublish ?? nobody, options.onVerdict ?? nobody);
    const open = sealWorld();
    for (const process of options.processes) this.#start(process, 1);
    open();
  }

  /** See Meetings. */
  get met(): ReadonlyMap<string, number> {
    return this.#meetings.counts;
  }
  get now(): EpochMs {
    return this.#now;
  }
  get steps(): number {
    return this.#steps;
  }
  get #isHealed(): boolean {
    return this.#faults === NO_FAULTS;
  }

  /** Runs until the plan's condition holds or its steps are done. Throws SimulationFailure when an invariant does not hold. */
  async run(plan: RunPlan): Promise<RunReport> {
    const open = sealWorld();
    const onRejection = (error: unknown): void => this.fail(`unhandled rejection: ${describe(error)}`);
    process.on("unhandledRejection", onRejection);
    try {
      return await this.#run(plan);
    } finally {
      process.off("unhandledRejection", onRejection);
      open();
    }
  }

  /** No faults from now on; what crashed is started again. */
  heal(): void {
    this.#faults = NO_FAULTS;
    this.#draw = fatesOf(NO_FAULTS);
    this.#outageUntil = 0;
    this.#endSilence();
    this.#note("world", "heal", "", "run");
  }

  /** Fails the run at the end of this step. */
  fail(says: string): void {
    this.#failure ??= says;
  }

  /** Fails the run now, with its trace. */
  refuse(says: string): never {
    throw this.#failed(says);
  }

  dump(): Dump {
    return this.#store.dump();
  }

  async #run(plan: RunPlan): Promise<RunReport> {
    await turn(); // processes that were built just now make their first calls
    const end = this.#steps + plan.stepsMax;
    const from = this.#steps;
    let reached = plan.until?.() ?? false;
    while (!reached && this.#steps < end) {
      this.#steps++;
      const moved = this.#step();
      await turn();
      if (this.#steps % plan.checkEvery === 0) this.#check(plan.check);
      if (this.#failure !== undefined) throw this.#failed(this.#failure);
      if (plan.until?.() === true) reached = true;
      if (!moved) break;
    }
    this.#check(plan.check);
    if (this.#failure !== undefined) throw this.#failed(this.#failure);
    return { steps: this.#steps - from, reached: plan.until === undefined || reached };
  }

  #check(invariants: readonly Invariant[]): void {
    let dump: Dump | undefined;
    const view: WorldView = {
      now: this.#now,
      isHealed: this.#isHealed,
      dump: () => {
        dump ??= this.#store.dump();
        return dump;
      },
    };
    for (const invariant of invariants) {
      const says = invariant(view);
      if (says !== undefined) this.fail(says);
    }
  }

  #failed(says: string): SimulationFailure {
    const lines = this.trace.lastLines(TRACE_SHOWN);
    return new SimulationFailure(
      [
        `${says}`,
        `seed ${this.#options.seed}, step ${this.#steps}, trace ${this.trace.hash()}`,
        ...lines,
        `replay: ${this.#options.replay}`,
      ].join("\n"),
    );
  }

  /** False when nothing is left that could ever happen. */
  #step(): boolean {
    this.#queue.turn = this.#steps;
    if (this.#queue.size === 0 || this.#chance.once(HURRY)) {
      if (this.#moveTime()) return true;
      if (this.#queue.size === 0) return false;
    }
    if (this.#chance.once(this.#faults.outage)) this.#beginOutage();
    if (this.#chance.once(this.#faults.silence)) this.#beginSilence();
    if (this.#chance.once(this.#faults.failover)) {
      this.#failOver(); // a step of its own: nobody commits before the observers know what is gone
      return true;
    }
    const call = this.#queue.takeAt(this.#chance.below(this.#queue.size));
    if (call !== undefined) this.#meet(call);
    return true;
  }

  #moveTime(): boolean {
    const due = this.#timers.takeNext();
    if (due === undefined) return false;
    this.#now = Math.max(this.#now, due.at);
    this.#note("world", "time", "", "moved");
    due.fire();
    return true;
  }

  #meet(call: Call): void {
    const fate = this.#fateOf(call);
    this.#note(call.life.label, `${call.port}.${call.method}`, call.key, fate);
    this.#meetings.note(call, fate);
    if (fate !== "gone") this.#carryOut(call, fate);
  }

  #fateOf(call: Call): Fate | "gone" {
    if (call.kind === "commit" && this.#now - call.madeAt > COMMIT_LATEST_MS)
      return call.isAbandoned ? "gone" : "error";
    // Whoever asked has given up or died: what was on the wire may be done or not.
    if (call.isAbandoned || !call.life.isAlive) return call.kind !== "arrive" && this.#chance.once(2) ? "run" : "gone";
    if (call.port === "state" && this.#now < this.#outageUntil) return "error";
    if (call.port === "bus" && !this.#bus.isConnected) return call.kind === "arrive" ? "lost" : "error";
    const fate = this.#draw(call.kind, this.#chance);
    return isCrash(fate) && !call.life.process.mayCrash ? "run" : fate;
  }

  #carryOut(call: Call, fate: Fate): void {
    switch (fate) {
      case "run":
        call.perform(true);
        break;
      case "delay":
        this.#later(call);
        break;
      case "duplicate":
        this.#later(echoOf(call));
        call.perform(true);
        break;
      case "conflict":
        call.contend?.();
        call.perform(true);
        break;
      case "error":
        call.fail(unavailable(call), "simulated: nothing was done");
        break;
      case "lost_answer":
        call.perform(false);
        call.fail(outcomeUnknown(call), "simulated: done, answer lost");
        break;
      case "late":
        this.#later(echoOf(call));
        call.fail(outcomeUnknown(call), "simulated: under way, answer lost");
        break;
      case "lost":
        break;
      case "crash_before":
        this.#crash(call.life);
        break;
      case "crash_after":
        call.perform(false);
        this.#crash(call.life);
        break;
      default:
        unreachable(fate);
    }
  }

  #later(call: Call): void {
    this.#time.startTimer(1 + this.#chance.below(DELAY_MS_MAX), () => this.#queue.put(call));
  }

  #beginOutage(): void {
    this.#outageUntil = this.#now + this.#chance.below(OUTAGE_MS_MAX);
    this.#note("world", "outage", "state", "begins");
  }

  #beginSilence(): void {
    if (!this.#bus.isConnected) return;
    this.#bus.isConnected = false;
    this.#note("world", "silence", "bus", "begins");
    this.#time.startTimer(1 + this.#chance.below(SILENCE_MS_MAX), () => this.#endSilence());
  }

  #endSilence(): void {
    if (this.#bus.isConnected) return;
    this.#bus.isConnected = true;
    this.#bus.reconnects++;
    this.#note("world", "silence", "bus", "ended");
    for (const life of this.#lives.values()) if (life.isAlive) for (const hear of life.gaps) hear();
  }

  #failOver(): void {
    const lost = 1 + this.#chance.below(LOST_COMMITS_MAX);
    this.#note("world", "failover", `${lost} commits`, "forgotten");
    this.#store.failOver(lost).then(
      ({ kept, gone }) => this.#options.onFailover?.(kept, gone),
      (error: unknown) => this.fail(`the journal cannot be replayed: ${describe(error)}`),
    );
  }

  #crash(life: Life): void {
    life.isAlive = false;
    this.#queue.abandonAll(life);
    this.#bus.forget(life);
    this.#note(life.label, "crash", "", "dead");
    this.#options.onLife?.(life.label, "ended", this.#now);
    const awayMs = this.#chance.below(!this.#isHealed && this.#chance.once(5) ? AWAY_MS_MAX : RESTART_MS_MAX);
    this.#time.startTimer(awayMs, () => this.#start(life.process, life.number + 1));
  }

  #start(process: SimProcess, number: number): void {
    const life = new Life(process, number);
    this.#lives.set(process.name, life);
    this.#note(life.label, "start", "", "alive");
    this.#options.onLife?.(life.label, "begun", this.#now);
    const chance = this.#chance.fork(life.label);
    const error = drawClockError(this.#options.clocks ?? CLOSE_CLOCKS, chance.fork("clock error"));
    const clock = simClock(this.#time, life, { startAt: START_AT, error, chance: chance.fork("clock") });
    const log = simLog(
      life,
      (entry) => {
        this.#options.onLog?.(entry.key);
        this.trace.note({ step: this.#steps, at: this.#now, ...entry });
      },
      (says) => this.fail(says),
    );
    const ports = {
      state: simState(this.#store, this.#queue, life, this.#options.onCommit ?? (() => undefined)),
      payloads: simPayloads(this.#store.payloads, this.#queue, life),
      bus: this.#bus.connect(life, { clock, log }),
      clock,
      log,
      meter: silentMeter,
      chance: chance.fork("process"),
      signal: new AbortController().signal,
      life: number,
      exit: () => this.#exit(life),
      onGap: (hear: () => void) => void life.gaps.push(hear),
    };
    process.start(ports).catch((error: unknown) => this.#onRejected(life, error));
  }

  #exit(life: Life): void {
    if (!life.isAlive) return;
    this.#note(life.label, "exit", "", "ended");
    this.#crash(life);
  }

  /** As in production: what a process does not handle ends it, and it is started again. */
  #onRejected(life: Life, error: unknown): void {
    if (error instanceof Fault) {
      this.#note(life.label, "ended", error.code, "crash");
      this.#crash(life);
    } else this.fail(`${life.label} ended: ${describe(error)}`);
  }

  #note(who: string, what: string, key: string, fate: string): void {
    this.trace.add({ step: this.#steps, at: this.#now, who, what, key, fate });
    if (fate === "run" || fate === "moved") return;
    count(this.happened, fate);
  }
}

const WORLD: SimProcess = { name: "world", mayCrash: false, start: async () => undefined };

function isCrash(fate: Fate): boolean {
  return fate === "crash_before" || fate === "crash_after";
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
