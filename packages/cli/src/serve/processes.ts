// Several processes behind one address: what one process does on one core, they do on several.
// Owns:          starting them, handing connections out among them, starting again what ended by itself, ending all of them.
// Must not know: what such a process does; settings.
// P1. The first is started alone, so that what is wrong is said once. When one cannot start, all end.
// P2. One that ends later, by itself or by others, is started again: after a second, then after twice as long each time until it has
//     lived for a minute. The others go on, and take over its jobs as after any crash.
// P3. They end with this one, however it ends.

import cluster, { type Worker as ChildProcess } from "node:cluster";
import type { Log } from "@cordum/control-plane";
import { CommandFailure } from "../failure.ts";
import type { Runtime } from "../runtime.ts";

export const PROCESSES_MAX = 64;

/** In the environment of such a process: which one it is, from 1. */
const NUMBER = "CORDUM_SERVE_PROCESS";
const PAUSE_MS = { first: 1_000, max: 30_000 } as const;
const LIVED_MS = 60_000;

type Environment = { readonly [name: string]: string | undefined };

/** Undefined in a process that nobody has started as one of several. */
export function processNumber(env: Environment): number | undefined {
  const given = env[NUMBER];
  return cluster.isWorker && given !== undefined ? Number(given) : undefined;
}

export function withoutProcessNumber({ [NUMBER]: _, ...others }: Environment): Environment {
  return others;
}

/** To the process that has started this one. `url`: of the API, if there is one. */
export function tellReady(url: string | undefined): void {
  process.send?.({ url });
}

export interface ProcessesParts {
  readonly log: Log;
  readonly runtime: Pick<Runtime, "now" | "sleep">;
}

export class Processes {
  readonly #count: number;
  readonly #parts: ProcessesParts;
  readonly #running = new Map<number, ChildProcess>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  /** Those that have been ready once. */
  readonly #known = new Set<number>();

  constructor(count: number, parts: ProcessesParts) {
    this.#count = count;
    this.#parts = parts;
    const [, program, ...args] = process.argv;
    cluster.setupPrimary({ exec: program, args });
  }

  /** The URL of the API, undefined without a gateway. Rejects with CommandFailure, see P1. */
  async start(): Promise<string | undefined> {
    try {
      const url = await this.#begin(1, PAUSE_MS.first);
      if (this.#stopping.signal.aborted) return url;
      const others = Array.from({ length: this.#count - 1 }, (_, index) => this.#begin(index + 2, PAUSE_MS.first));
      await Promise.all(others);
      return url;
    } catch (error) {
      await this.drain();
      throw error;
    }
  }

  /** Resolves when all have finished what they had in hand. */
  async drain(): Promise<void> {
    this.#stopping.abort();
    if (this.#running.size === 0) return;
    for (const child of this.#running.values()) child.process.kill("SIGTERM");
    await this.#ended.promise;
  }

  kill(): void {
    for (const child of this.#running.values()) child.process.kill("SIGKILL");
  }

  /** Resolves with what it tells when it is ready, rejects when it ends before. */
  #begin(number: number, pauseMs: number): Promise<string | undefined> {
    const { log, runtime } = this.#parts;
    const ready = Promise.withResolvers<string | undefined>();
    const child = cluster.fork({ [NUMBER]: String(number) });
    const beganAt = runtime.now();
    this.#running.set(number, child);
    log.info("process.started", { process: number, pid: child.process.pid });
    child.once("message", ({ url }: { readonly url?: string }) => {
      this.#known.add(number);
      ready.resolve(url);
    });
    child.once("exit", (code, signal) => {
      const about = `process ${number} of ${this.#count} ended before it was ready`;
      ready.reject(new CommandFailure("FAILED", about, "What it said about the reason stands above."));
      this.#running.delete(number);
      if (this.#stopping.signal.aborted) {
        if (this.#running.size === 0) this.#ended.resolve();
      } else if (this.#known.has(number)) {
        const hasLived = runtime.now() - beganAt >= LIVED_MS;
        void this.#beginAgain(number, hasLived ? PAUSE_MS.first : pauseMs, { code, signal });
      }
    });
    return ready.promise;
  }

  /** See P2. */
  async #beginAgain(number: number, pauseMs: number, how: { readonly code: number; readonly signal: string }) {
    const { log, runtime } = this.#parts;
    log.warn("process.ended", { process: number, ...how, startsAgainInMs: pauseMs });
    if (!(await runtime.sleep(pauseMs, this.#stopping.signal))) return;
    const isReady = this.#begin(number, Math.min(PAUSE_MS.max, pauseMs * 2));
    await isReady.then(
      () => log.info("process.ready", { process: number }),
      () => undefined,
    );
  }
}
