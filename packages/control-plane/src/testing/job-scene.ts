// The life of jobs on a stage: the production composition over memory, the bus of one process and a virtual clock.
// Owns:          the scene that tests of jobs share: submit, load, wait, what was sent, committed, logged and counted.
// Must not know: single tests; HTTP.
// Nothing moves unless the test moves time: `pass`, `until` and `quiet` do.

import { type BusPacket, decodePacket, type encodePacket, SUBJECTS } from "@cordum/protocol";
import { inlineJudge } from "../adapters/ajv/inline-judge.ts";
import { inProcessBus } from "../adapters/inprocess/bus.ts";
import { memoryPayloads } from "../adapters/memory/memory-payloads.ts";
import { type MemoryState, memoryState } from "../adapters/memory/memory-state.ts";
import { type VirtualClock, virtualClock } from "../adapters/system/virtual-clock.ts";
import type { Job, JobState } from "../jobs/job.ts";
import type { JobParts, JobSettings, SchedulingConfig } from "../jobs/job-parts.ts";
import { JOB_KIND } from "../jobs/job-store.ts";
import { type Submitted, submitJob } from "../jobs/submit.ts";
import type { SubmitCommand } from "../jobs/submit-command.ts";
import { wakeJob } from "../jobs/wake.ts";
import { PolicySource } from "../policy/policy-source.ts";
import type { Bus } from "../ports/bus.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Batch, State } from "../ports/state.ts";
import type { Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import { NO_TRACING, type Tracing } from "../ports/tracing.ts";
import { NO_TIMEOUTS, OPEN_ROUTING } from "../scheduling/routing.ts";
import { type Core, composeCore, DEFAULT_JOB_SETTINGS, DEFAULT_RETENTION, stateLayout } from "../services/core.ts";
import { notebook, recording, type Said, type Sent, watching } from "./scene-ports.ts";

export const NEVER = new AbortController().signal;

/** Every kind of decision; job.echo and other topics are allowed. */
export const POLICY = `
version: v1
rules:
  - id: no
    match: { topics: ["job.no.*"] }
    decision: deny
    reason: never
  - id: ask
    match: { topics: ["job.ask"] }
    decision: require_approval
    reason: a person must look
  - id: slow
    match: { topics: ["job.slow"] }
    decision: throttle
    reason: too many
  - id: small
    match: { topics: ["job.small"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_runtime_ms: 60000, max_retries: 1 } }
  - id: better
    match: { topics: ["job.better"] }
    decision: deny
    reason: there is a better way
    remediations: [{ id: this-way, replacement_topic: job.echo }]
`;

export const COMMAND: SubmitCommand = {
  tenant: "acme",
  principal: "ada",
  team: "",
  topic: "job.echo",
  priority: "interactive",
  priorityText: "",
  prompt: "hello",
  context: { n: 1 },
  adapterId: "",
  memoryId: "",
  contextMode: "",
  projectId: "",
  actorId: "",
  actorType: "",
  idempotencyKey: "",
  packId: "",
  capability: "",
  riskTags: [],
  requires: [],
  labels: {},
  tags: [],
  allowSummarization: false,
  allowRetrieval: false,
  maxInputTokens: 0,
  maxOutputTokens: 0,
  maxTotalTokens: 0,
  deadlineMs: 0,
  traceparent: "",
};

export type Payload = NonNullable<Parameters<typeof encodePacket>[0]["payload"]>;
export type PayloadKind = NonNullable<BusPacket["payload"]>["kind"];
export type ValueOf<K extends PayloadKind> = Extract<NonNullable<BusPacket["payload"]>, { readonly kind: K }>["value"];

export interface SceneOptions {
  readonly partitions?: number;
  readonly policy?: string;
  readonly scheduling?: SchedulingConfig;
  readonly settings?: Partial<JobSettings>;
  readonly seed?: number;
  /** The bus is one that other processes use, too: then cores know of each other. */
  readonly shared?: boolean;
  /** False: a gateway without a scheduler. */
  readonly drives?: boolean;
  /** Stands between the core and the real thing: loses, delays, fails. */
  readonly state?: (real: State) => State;
  readonly bus?: (real: Bus) => Bus;
  readonly payloads?: (real: Payloads) => Payloads;
  /** Stands for the scene's notes of counts. */
  readonly meter?: Meter;
  readonly tracing?: Tracing;
}

export interface JobScene extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly state: MemoryState;
  readonly payloads: Payloads;
  readonly bus: Bus;
  readonly policy: PolicySource;
  /** The first of `cores`. */
  readonly core: Core;
  readonly cores: readonly Core[];
  readonly parts: JobParts;
  readonly said: readonly Said[];
  readonly counts: ReadonlyMap<string, number>;
  /** Batches that were committed, by all cores. */
  readonly committed: readonly Batch[];
  /** Another process of the control plane, over the same state and bus. */
  addCore(over?: Pick<SceneOptions, "drives">): Promise<Core>;
  submit(over?: Partial<SubmitCommand>): Promise<Submitted>;
  load(id: string): Promise<Job>;
  /** Moves time until the job is in the state; throws after `limitMs` (default 60 s). */
  until(id: string, state: JobState, limitMs?: Ms): Promise<Job>;
  /** Moves time in steps, so that what is under way comes to rest between them. */
  pass(ms: Ms): Promise<void>;
  /** Lets everything settle that needs no time. */
  quiet(): Promise<void>;
  /** Packets of one kind that went out on a subject, in order; by whoever. */
  sent<K extends PayloadKind>(subject: string, kind: K): readonly ValueOf<K>[];
  /** Rings all due alarms once: for spans of days, through which no loop should be turned. Settle first, then move the clock. */
  ring(): Promise<void>;
  settle(): Promise<void>;
}

export async function openJobScene(options: SceneOptions = {}): Promise<JobScene> {
  const stage = new Stage(options);
  await stage.addCore();
  return stage;
}

class Stage implements JobScene {
  readonly clock: VirtualClock;
  readonly state: MemoryState;
  readonly payloads: Payloads;
  readonly bus: Bus;
  readonly policy = new PolicySource();
  readonly committed: Batch[] = [];
  readonly #options: SceneOptions;
  readonly #notes = notebook();
  readonly #sent: Sent[] = [];
  readonly #cores: Core[] = [];
  #first: Core | undefined;

  constructor(options: SceneOptions) {
    this.#options = options;
    const clock = virtualClock(options.seed === undefined ? {} : { seed: options.seed });
    this.clock = clock;
    this.policy.replace(options.policy ?? POLICY);
    this.bus = recording(inProcessBus({ clock, log: this.#notes.log }), this.#sent, options.shared ?? false);
    const payloads = memoryPayloads({ clock, bytesMax: 4_194_304 });
    this.payloads = payloads;
    const { partitions = 3 } = options;
    this.state = memoryState({ partitions, layout: stateLayout(DEFAULT_RETENTION), clock, payloads });
  }

  get core(): Core {
    if (this.#first === undefined) throw new Error("the scene has no core yet");
    return this.#first;
  }

  get cores(): readonly Core[] {
    return this.#cores;
  }

  get parts(): JobParts {
    return this.core.parts;
  }

  get said(): readonly Said[] {
    return this.#notes.said;
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#notes.counts;
  }

  async addCore(over: Pick<SceneOptions, "drives"> = {}): Promise<Core> {
    const { log, meter } = this.#notes;
    const { scheduling, settings, drives = true, ...between } = { ...this.#options, ...over };
    const watched = watching(this.state, this.committed);
    const core = composeCore(
      {
        state: between.state?.(watched) ?? watched,
        payloads: between.payloads?.(this.payloads) ?? this.payloads,
        bus: between.bus?.(this.bus) ?? this.bus,
        clock: this.clock,
        log,
        meter: between.meter ?? meter,
        tracing: between.tracing ?? NO_TRACING,
        policy: this.policy,
        judge: inlineJudge(),
      },
      {
        scheduling: scheduling ?? { routing: OPEN_ROUTING, timeouts: NO_TIMEOUTS },
        drives,
        retention: DEFAULT_RETENTION,
        // Time stands still while a test submits: who waits for a slot would wait for ever.
        settings: { ...DEFAULT_JOB_SETTINGS, patienceMs: 0, longPatienceMs: 0, ...settings },
      },
    );
    this.#first ??= core;
    this.#cores.push(core);
    await this.#movingTime(core.start());
    return core;
  }

  submit(over: Partial<SubmitCommand> = {}): Promise<Submitted> {
    return submitJob({ ...COMMAND, ...over }, this.parts, NEVER);
  }

  async load(id: string): Promise<Job> {
    const seen = await this.parts.jobs.load(id, NEVER);
    if (seen === undefined) throw new Error(`no job ${id}`);
    return seen.record;
  }

  async until(id: string, wanted: JobState, limitMs: Ms = 60_000): Promise<Job> {
    const end = this.clock.now() + limitMs;
    await this.quiet();
    for (let job = await this.load(id); ; job = await this.load(id)) {
      if (job.phase.state === wanted) return job;
      if (this.clock.now() >= end) throw new Error(`${id} is ${JSON.stringify(job.phase)}, not ${wanted}`);
      await this.pass(50);
    }
  }

  async pass(ms: Ms): Promise<void> {
    const end = this.clock.now() + ms;
    while (this.clock.now() < end) {
      await this.clock.advance(Math.min(50, end - this.clock.now()));
      for (let turn = 0; turn < 5; turn++) await this.clock.advance(0);
    }
    await this.quiet();
  }

  async quiet(): Promise<void> {
    for (let turn = 0; turn < 30; turn++) await this.clock.advance(0);
  }

  sent<K extends PayloadKind>(subject: string, kind: K): readonly ValueOf<K>[] {
    return this.#sent.flatMap((one) => {
      const payload = one.subject === subject ? decodePacket(one.bytes).payload : undefined;
      return payload?.kind === kind ? [payload.value as ValueOf<K>] : [];
    });
  }

  async ring(): Promise<void> {
    for (let partition = 0; partition < this.state.traits.partitions; partition++) {
      for (const due of await this.state.take(partition, 1_000, 10_000, NEVER))
        if (due.key.kind === JOB_KIND) await wakeJob(due.key.id, this.parts, NEVER);
    }
    await this.quiet();
  }

  async settle(): Promise<void> {
    const cores = this.#cores.splice(0);
    await this.#movingTime(Promise.all(cores.map((core) => core.settle(this.clock.deadline(NEVER, 1_000)))));
  }

  /** Lets time go on until the work is done. */
  async #movingTime(work: Promise<unknown>): Promise<void> {
    let ended = false;
    const ending = work.finally(() => {
      ended = true;
    });
    for (let turn = 0; !ended; turn++) await this.clock.advance(turn < 20 ? 0 : 10);
    await ending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settle();
  }
}

/** Result packets about one job, by whoever. */
export function resultsOf(scene: JobScene, jobId: string): readonly ValueOf<"jobResult">[] {
  return scene.sent(SUBJECTS.jobResult, "jobResult").filter((result) => result.jobId === jobId);
}
