// Presence: how a worker says that it is there.
// Owns:          the rhythm of heartbeats and handshakes.
// Must not know: jobs, beyond how many are held.
// E1. The first heartbeat goes out at once, the next after each interval; one that could not be sent is tried once more.
// E2. The handshake is repeated with every sixth heartbeat: readers that forget it after a minute never do so.
// E3. Each heartbeat carries the label cordum.instance, new for each start: whoever dispatches sees that a worker was started anew and no
//     longer has the jobs of its life before.
// E4. After a reconnect both go out at once: the other side may have taken this worker for gone.
// E5. From `drain` on every heartbeat carries the label draining=true.

import type { Runtime } from "../runtime.ts";
import { messageOf, type WorkerLog } from "./log.ts";
import type { Outbox } from "./outbox.ts";
import { type HeartbeatFacts, type PacketWriter, SUBJECTS } from "./wire.ts";

const HANDSHAKE_EVERY = 6;
const RETRY_AFTER_MS = 500;
const INSTANCE_LABEL = "cordum.instance";

export interface PresenceParts {
  readonly outbox: Outbox;
  readonly writer: PacketWriter;
  readonly runtime: Runtime;
  readonly log: WorkerLog;
  readonly intervalMs: number;
  readonly topics: readonly string[];
  facts(): HeartbeatFacts;
}

export class Presence {
  readonly #parts: PresenceParts;
  readonly #over = new AbortController();
  readonly #instance: string;
  #isDraining = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(parts: PresenceParts) {
    this.#parts = parts;
    this.#instance = parts.runtime.id();
  }

  /** Handshake and first heartbeat. Resolves when they are sent, or could not be: the next ones try again. */
  async start(): Promise<void> {
    await this.announce();
    this.#loop = this.#beatOn();
  }

  /** Says at once that the worker is there. Never rejects. */
  async announce(): Promise<void> {
    if (!this.#isDraining) await this.#handshake();
    await this.#beat();
  }

  /** Says at once that no new jobs are wanted. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    await this.#beat();
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#loop;
  }

  async #beatOn(): Promise<void> {
    const { runtime, intervalMs } = this.#parts;
    for (let n = 1; await runtime.sleep(intervalMs, this.#over.signal); n++) {
      if (n % HANDSHAKE_EVERY === 0 && !this.#isDraining) await this.#handshake();
      await this.#beat();
    }
  }

  async #beat(): Promise<void> {
    const { writer, facts } = this.#parts;
    await this.#send(SUBJECTS.heartbeat, () => {
      const now = facts();
      const labels = { ...now.labels, [INSTANCE_LABEL]: this.#instance };
      return writer.heartbeat({ ...now, labels: this.#isDraining ? { ...labels, draining: "true" } : labels });
    });
  }

  async #handshake(): Promise<void> {
    const { writer, topics, facts } = this.#parts;
    await this.#send(SUBJECTS.handshake, () => writer.handshake(facts().capabilities, topics));
  }

  async #send(subject: string, write: () => Uint8Array): Promise<void> {
    const { outbox, runtime, log } = this.#parts;
    try {
      await outbox.send(subject, write());
    } catch (error) {
      log.warn("presence.not_sent", { subject, reason: messageOf(error) });
      if (!(await runtime.sleep(RETRY_AFTER_MS, this.#over.signal))) return;
      await outbox.send(subject, write()).catch((again: unknown) => log.error("presence.lost", again, { subject }));
    }
  }
}
