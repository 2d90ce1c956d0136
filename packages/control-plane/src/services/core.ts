// The core of a control plane: everything that turns submissions into finished jobs.
// Owns:          which parts there are, the order in which they start and stop.
// Must not know: which adapters stand behind the ports, HTTP.

import { DEFAULT_ALARM_SETTINGS, runAlarms } from "../alarms/alarms.ts";
import { ARTIFACT_KIND, ARTIFACT_SHAPE, type ArtifactKeep } from "../artifacts/artifact.ts";
import { artifactLayout, DEFAULT_ARTIFACT_SETTINGS } from "../artifacts/use-artifacts.ts";
import { auditLayout } from "../audit/audit-entry.ts";
import { listenForConfig } from "../config/config-news.ts";
import { configLayout, openConfigStore } from "../config/config-store.ts";
import { CONFIG_KIND, CONFIG_SHAPE } from "../config/document.ts";
import { EffectiveConfigs } from "../config/effective-configs.ts";
import { DEAD_LETTER_KIND, DEAD_LETTER_SHAPE, deadLetterLayout } from "../dead-letters/dead-letter.ts";
import { Announcer } from "../jobs/announce.ts";
import { Backlog } from "../jobs/backlog.ts";
import { JOB_SHAPE } from "../jobs/job.ts";
import { followWorkers, runCycles, runProgress } from "../jobs/job-cycles.ts";
import { jobLayout } from "../jobs/job-indexes.ts";
import { DEFAULT_JOB_SETTINGS, type JobParts, type JobSettings, type SchedulingConfig } from "../jobs/job-parts.ts";
import { wakeSlot } from "../jobs/job-slots.ts";
import { JOB_KIND, type JobRetention, JobStore } from "../jobs/job-store.ts";
import { WorkersSnapshot } from "../jobs/keep-workers-snapshot.ts";
import { LimitHints } from "../jobs/limit-hints.ts";
import { Outbound } from "../jobs/outbound.ts";
import { listenToPackets, listenToWorkers } from "../jobs/packet-intake.ts";
import { listenToPeers, type Peers } from "../jobs/peers.ts";
import { ProgressBoard } from "../jobs/progress-board.ts";
import { SecondLooks } from "../jobs/second-looks.ts";
import { RATE_KIND, RATE_SHAPE, SubmitLimiter } from "../jobs/submit-rate.ts";
import { wakeJob } from "../jobs/wake.ts";
import { keyLayout } from "../keys/key-indexes.ts";
import { KEY_USE_KIND, KEY_USE_SHAPE } from "../keys/last-use.ts";
import { openKeys } from "../keys/manage.ts";
import { KEY_KIND, KEY_SHAPE } from "../keys/managed-key.ts";
import { wakeKey } from "../keys/wake.ts";
import { LOCK_SHAPE } from "../locks/lock.ts";
import { LOCK_KIND, lockLayout } from "../locks/use-locks.ts";
import type { Policy } from "../policy/decision.ts";
import type { Bus, Subscription } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { SchemaJudge } from "../ports/schema-judge.ts";
import type { Layout, State } from "../ports/state.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import type { Tracing } from "../ports/tracing.ts";
import { processLayout, type Shapes } from "../records/processes.ts";
import { laneLayout } from "../scheduling/backlog-lanes.ts";
import { Congestion } from "../scheduling/congestion.ts";
import { DRAIN_KIND, DRAIN_SHAPE, drainLayout } from "../scheduling/drain.ts";
import { Drains } from "../scheduling/drains.ts";
import { Placers } from "../scheduling/placers.ts";
import { Registry } from "../scheduling/registry.ts";
import { SLOT_KIND, SLOT_SHAPE, Slots, slotLayout } from "../scheduling/slots.ts";
import { Turnstile } from "../scheduling/turnstile.ts";
import { KnownSchemas } from "../schemas/known-schemas.ts";
import { SCHEMA_KIND, SCHEMA_SHAPE } from "../schemas/schema.ts";
import { openSchemaStore, schemaLayout } from "../schemas/schema-store.ts";
import { revocationLayout } from "../worker-sessions/revocations.ts";

import { watchBus } from "./bus-gauge.ts";

export interface CorePorts {
  readonly state: State;
  readonly payloads: Payloads;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracing: Tracing;
  readonly policy: Policy;
  readonly judge: SchemaJudge;
}
export interface CoreConfig {
  readonly scheduling: SchedulingConfig;
  readonly retention: Retention;
  readonly settings: JobSettings;
  /** False: this process only stores jobs and rings for one that drives them. */
  readonly drives: boolean;
}

export interface Core {
  readonly parts: JobParts;
  /** Subscribes, then lets alarms and cycles run. */
  start(): Promise<void>;
  /** Pools and timeouts have changed; jobs that wait are looked at with the new ones. */
  useScheduling(next: SchedulingConfig): void;
  /** The bus was away, or lost messages: what could have been missed is looked at again, and nobody's silence meanwhile counts. */
  catchUp(): void;
  /** No new packets; what is in hand is finished, as far as `deadline` allows. */
  settle(deadline: AbortSignal): Promise<void>;
}

export interface Retention extends JobRetention {
  readonly auditKeepMs: Ms;
  readonly artifactKeep: ArtifactKeep;
}

export const DEFAULT_RETENTION: Retention = {
  jobKeepMs: 7 * 86_400_000,
  deadLetterKeepMs: 30 * 86_400_000,
  auditKeepMs: 365 * 86_400_000,
  artifactKeep: DEFAULT_ARTIFACT_SETTINGS.keep,
};
export { DEFAULT_JOB_SETTINGS };

/** The shapes of records that this build reads; see records/processes.ts. */
export const SHAPES_READ: Shapes = {
  [JOB_KIND]: JOB_SHAPE,
  [DEAD_LETTER_KIND]: DEAD_LETTER_SHAPE,
  [SLOT_KIND]: SLOT_SHAPE,
  [DRAIN_KIND]: DRAIN_SHAPE,
  [RATE_KIND]: RATE_SHAPE,
  [KEY_KIND]: KEY_SHAPE,
  [LOCK_KIND]: LOCK_SHAPE,
  [ARTIFACT_KIND]: ARTIFACT_SHAPE,
  [CONFIG_KIND]: CONFIG_SHAPE,
  [SCHEMA_KIND]: SCHEMA_SHAPE,
  [KEY_USE_KIND]: KEY_USE_SHAPE,
};

/** What State must be opened with. */
export function stateLayout(retention: Retention): Layout {
  return {
    indexes: {
      ...jobLayout(retention.jobKeepMs),
      ...deadLetterLayout(retention.deadLetterKeepMs),
      ...laneLayout(),
      ...slotLayout(),
      ...drainLayout(),
      ...revocationLayout(),
      ...processLayout(),
      ...keyLayout(),
      ...lockLayout(),
      ...artifactLayout(retention.artifactKeep),
      ...configLayout(),
      ...schemaLayout(),
    },
    logs: { ...auditLayout(retention.auditKeepMs) },
  };
}

export function composeCore(ports: CorePorts, config: CoreConfig): Core {
  const stopping = new AbortController();
  const work = new AbortController();
  const signals = { stopping: stopping.signal, work: work.signal };
  const scheduling = { current: config.scheduling };
  const parts = partsOf(ports, config, scheduling, work.signal);
  const backlog = new Backlog(parts, signals);
  const snapshot = new WorkersSnapshot(parts, backlog);
  leadHints(parts, backlog);
  const keys = openKeys(ports.state, ports.clock);
  const handlers = new Map([
    [JOB_KIND, (id: string, signal: AbortSignal) => wakeJob(id, parts, signal)],
    [SLOT_KIND, (id: string, signal: AbortSignal) => wakeSlot(id, parts, signal)],
    [KEY_KIND, (id: string, signal: AbortSignal) => wakeKey(id, { keys, clock: ports.clock }, signal)],
  ]);
  let subscriptions: readonly Subscription[] = [];
  let cycles: Promise<unknown> = Promise.resolve();
  let peers: Peers | undefined;
  return {
    parts,
    async start() {
      const workers = [...(await listenToSettings(parts)), ...(await listenToWorkers(parts, backlog))];
      await parts.drains.refresh();
      parts.registry.startListening(ports.clock.now());
      const settings = [
        parts.drains.run(stopping.signal),
        parts.configs.run(stopping.signal),
        watchBus(ports, stopping.signal),
      ];
      if (!config.drives) {
        await snapshot.read(stopping.signal);
        subscriptions = workers;
        cycles = Promise.all([...settings, followWorkers(parts, snapshot, signals)]);
        return;
      }
      peers = await listenToPeers(parts, { backlog, onNewcomer: (signal) => snapshot.newcomer(signal) });
      await peers.meet(stopping.signal);
      await snapshot.start(stopping.signal);
      subscriptions = [...workers, peers, ...(await listenToPackets(parts, backlog))];
      cycles = Promise.all([
        runAlarms({ ...ports, handlers }, DEFAULT_ALARM_SETTINGS, signals),
        runCycles(parts, { backlog, snapshot }, signals),
        runProgress(parts, signals),
        peers.run(stopping.signal),
        ...settings,
      ]);
    },
    catchUp() {
      parts.registry.startListening(ports.clock.now());
      parts.configs.doubt();
      void parts.drains.refresh();
      backlog.pullAll();
    },
    useScheduling(next) {
      const { routing } = scheduling.current;
      scheduling.current = next;
      backlog.pullAll();
      backlog.review(routing, next.routing);
    },
    async settle(deadline) {
      await peers?.leave(deadline);
      await Promise.all(subscriptions.map((subscription) => subscription.drain(deadline)));
      stopping.abort();
      const ended = Promise.all([cycles, backlog.settled(), parts.announcer.settled()]);
      await untilFired(ended, deadline);
      work.abort();
      await untilFired(ended, ports.clock.deadline(NEVER, GIVE_UP_MS)); // whatever does not listen to its signal is left behind
    },
  };
}

/** What is heard of from within the process. */
function leadHints(parts: JobParts, backlog: Backlog): void {
  const { congestion, limitHints, drains, registry, turnstile, clock, drives } = parts;
  registry.listen(({ pools }) => turnstile.slotFreed(pools));
  congestion.listen((lane, acceptedAt) => backlog.noteWaiting(lane, acceptedAt));
  limitHints.listen((limitId) => backlog.pullHeldBack(limitId));
  drains.listen((drained, takenBack) => {
    registry.drainOnly(drained);
    if (drives) for (const workerId of takenBack) backlog.hint(registry.find(workerId, clock.now()));
  });
}

/** What people change while processes run: configuration, and which workers are drained. */
async function listenToSettings({ bus, configs, drains }: JobParts): Promise<readonly Subscription[]> {
  const news = await listenForConfig(bus, (address) => {
    if (address === undefined) configs.doubt();
    else configs.forget(address);
  });
  return [news, await drains.hear()];
}

const NEVER = new AbortController().signal;
const GIVE_UP_MS = 1_000;

/** Waits for the work, or for the signal. */
function untilFired(work: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  const fired = new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", resolve, { once: true });
  });
  return Promise.race([work, fired]);
}

function partsOf(
  ports: CorePorts,
  config: CoreConfig,
  scheduling: { readonly current: SchedulingConfig },
  work: AbortSignal,
): JobParts {
  const placers = new Placers(ports.clock.id());
  const congestion = new Congestion();
  return {
    ...ports,
    drives: config.drives,
    jobs: new JobStore(ports.state, ports.clock, config.retention),
    configs: new EffectiveConfigs({ ...ports, store: openConfigStore(ports.state, ports.clock) }),
    schemas: new KnownSchemas({ ...ports, store: openSchemaStore(ports.state, ports.clock) }),
    registry: new Registry(placers),
    placers,
    drains: new Drains(ports, work),
    secondLooks: new SecondLooks(),
    scheduling,
    outbound: new Outbound(),
    board: new ProgressBoard(),
    congestion,
    turnstile: new Turnstile(ports.clock, congestion, work),
    slots: new Slots(ports.state, ports.clock),
    limitHints: new LimitHints(),
    submitLimiter: new SubmitLimiter(config.settings.submitRates, { ...ports, ...config.settings }),
    announcer: new Announcer(ports, work),
    settings: config.settings,
  };
}
