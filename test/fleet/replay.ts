// One recorded scenario, played again with us in the place of the original's gateway and scheduler.
// Owns:          which of the recorded packets and calls others made (they are made again), and which the original made (ours are awaited
//                and compared, field by field).
// Must not know: which differences are right (they are handed in).

import { BusPacket, parsePacket, toProtoJson } from "@cordum/protocol";
import type { Client } from "@cordum/sdk";
import type { NatsConnection } from "@nats-io/transport-node";
import { expect } from "vitest";
import {
  type Called,
  happeningsOf,
  type PacketJson,
  type Published,
  type RequestJson,
  SCENARIOS,
  type Scenario,
} from "./recording.ts";

export type Fields = Readonly<Record<string, unknown>>;
interface Heard {
  readonly subject: string;
  readonly packet: PacketJson;
}

/** All packets that ours publish on the subjects of the recording, from now on. */
export async function hearOurs(nats: NatsConnection): Promise<readonly Heard[]> {
  const heard: Heard[] = [];
  const recorded = SCENARIOS.flatMap(({ bus }) => bus.map(({ subject }) => subject));
  const workers = recorded.filter((subject) => subject.startsWith("worker."));
  for (const subject of new Set([...workers, "sys.job.dlq", "sys.job.result", "sys.job.cancel"])) {
    nats.subscribe(subject, {
      callback: (_, { data }) => {
        const packet = jsonOf(data);
        if (packet.sender_id === "cordum-scheduler") heard.push({ subject, packet });
      },
    });
  }
  await nats.flush();
  return heard;
}

const GATEWAYS: ReadonlySet<string> = new Set(["api-gateway", "api-gateway-http"]);
const PATIENCE = { timeout: 8_000 };

export class Replay {
  readonly #nats: NatsConnection;
  readonly #people: Client;
  readonly #heard: readonly Heard[];
  /** What ours says instead, by field. */
  readonly #differences: ReadonlyMap<string, unknown>;
  readonly #used = new Set<string>();
  /** How many dispatches of each job were compared. */
  readonly #dispatched = new Map<string, number>();

  constructor(parts: {
    readonly nats: NatsConnection;
    readonly people: Client;
    readonly heard: readonly Heard[];
    readonly differences: ReadonlyMap<string, unknown>;
  }) {
    this.#nats = parts.nats;
    this.#people = parts.people;
    this.#heard = parts.heard;
    this.#differences = parts.differences;
  }

  /** Rejects at the first field that is neither the original's nor a listed difference, and when a listed one is none (any more). */
  async play(scenario: Scenario): Promise<void> {
    const before = this.#heard.length;
    const [beat] = SCENARIOS[0]?.bus ?? [];
    if (beat !== undefined) this.#publish(beat);
    for (const happening of happeningsOf(scenario)) {
      if (happening.kind === "packet") await this.#onPacket(happening.packet);
      else await this.#onCall(happening.call);
    }
    const besides = (): readonly string[] => {
      const sent = this.#heard.slice(before).filter(({ subject }) => subject.startsWith("worker."));
      return sent.map(({ packet }) => jobIdOf(packet)).filter((id) => !this.#dispatched.has(id));
    };
    await expect.poll(besides, PATIENCE).toEqual(this.#wanted("dispatched besides", []));
    expect([...this.#differences.keys()].filter((what) => !this.#used.has(what))).toEqual([]);
  }

  async #onPacket(recorded: Published): Promise<void> {
    const { subject, packet } = recorded;
    if (subject.startsWith("worker.")) return this.#compareDispatch(recorded);
    if (subject === "sys.workflow.event") return; // of the workflow engine, about runs
    const isOfGateway = GATEWAYS.has(packet.sender_id ?? "") && subject !== "sys.job.submit";
    if (isOfGateway || subject === "sys.job.dlq") return this.#compareSaid(recorded);
    // An approval is a commit here, not a second submit.
    if (packet.job_request?.labels?.approval_granted !== "true") this.#publish(recorded);
  }

  async #onCall({ request, body, response }: Called): Promise<void> {
    const [, verb, id = "", act] = /^(GET|POST) \/api\/v1\/(?:jobs|approvals)\/([^/]+)\/?(\w*)$/.exec(request) ?? [];
    if (verb === "GET" && act === "") {
      const ours = async () => jobFields(await this.#people.get(id).catch(() => ({})));
      await expect.poll(ours, PATIENCE).toEqual(this.#allWanted("job", jobFields(response)));
    }
    if (verb !== "POST" || act === "remediate") return;
    await expect.poll(async () => (await this.#people.get(id)).safety_decision, PATIENCE).not.toBe("");
    const answer = (body ?? {}) as { readonly reason?: string; readonly note?: string };
    if (act === "cancel") await this.#people.cancel(id);
    if (act === "approve") await this.#people.approvals.approve(id, answer);
    if (act === "reject") await this.#people.approvals.reject(id, answer);
  }

  async #compareDispatch({ subject, packet }: Published): Promise<void> {
    const jobId = jobIdOf(packet);
    const nth = this.#dispatched.get(jobId) ?? 0;
    this.#dispatched.set(jobId, nth + 1);
    await expect.poll(() => this.#oursAbout(subject, jobId).length, PATIENCE).toBeGreaterThan(nth);
    const ours = this.#oursAbout(subject, jobId)[nth];
    expect(dispatchFields(ours)).toEqual(this.#allWanted("dispatch", dispatchFields(packet)));
    const identity = { attempt: String(nth + 1), assigned_worker_id: subject.split(".")[1] };
    expect(ours?.job_request?.dispatch).toMatchObject(identity);
  }

  async #compareSaid({ subject, packet }: Published): Promise<void> {
    const said = () => this.#oursAbout(subject, jobIdOf(packet)).map(saidFields).at(-1) ?? "nothing";
    await expect.poll(said, PATIENCE).toEqual(this.#wanted(subject, this.#allWanted(subject, saidFields(packet))));
  }

  #publish({ subject, hex }: Published): void {
    this.#nats.publish(subject, Buffer.from(hex, "hex"));
  }

  #oursAbout(subject: string, jobId: string): readonly PacketJson[] {
    return this.#heard
      .filter((each) => each.subject === subject && jobIdOf(each.packet) === jobId)
      .map(({ packet }) => packet);
  }

  #wanted(what: string, recorded: unknown): unknown {
    if (!this.#differences.has(what)) return recorded;
    this.#used.add(what);
    expect(this.#differences.get(what), `${what} is no difference any more`).not.toEqual(recorded);
    return this.#differences.get(what);
  }

  #allWanted(about: string, recorded: Fields): Fields {
    const entries = Object.entries(recorded);
    return Object.fromEntries(entries.map(([field, value]) => [field, this.#wanted(`${about} ${field}`, value)]));
  }
}

function jsonOf(data: Uint8Array): PacketJson {
  const parsed = parsePacket(data);
  if (parsed.kind !== "packet") throw new Error("not a packet");
  return toProtoJson(BusPacket, parsed.packet, { names: "proto" }) as PacketJson;
}

function jobIdOf({ job_request, job_result, job_cancel }: PacketJson): string {
  return (job_request ?? job_result ?? job_cancel)?.job_id ?? "";
}

/** What a worker sees of a dispatch, with constraints as JSON whatever the order of its members. */
function dispatchFields(packet: PacketJson | undefined): Fields {
  if (packet?.job_request === undefined) return {};
  const { dispatch: _dispatch, env = {}, ...request } = packet.job_request as RequestJson & Record<string, unknown>;
  const { CORDUM_EFFECTIVE_CONFIG: _config, CORDUM_POLICY_CONSTRAINTS: constraints = "null", ...rest } = env;
  const { trace_id, sender_id } = packet;
  return { trace_id, sender_id, ...request, env: rest, constraints: JSON.parse(constraints) };
}

/** What a dead letter, an end or a cancel says. */
function saidFields({ job_result, job_cancel }: PacketJson): Fields {
  if (job_cancel !== undefined) return job_cancel;
  const { job_id, status, error_code = "", error_message = "" }: Fields = job_result ?? {};
  return { job_id, status, error_code, error_message };
}

const JOB_FIELDS = [
  ...["state", "topic", "tenant", "trace_id", "attempts", "result_ptr"],
  ...["safety_decision", "safety_reason", "safety_rule_id", "approval_reason", "approval_note"],
  ...["error_code", "error_message", "error_status", "last_state"],
];

/** A field that is left out is an empty one. */
function jobFields(record: unknown): Fields {
  const given = record as Fields;
  return Object.fromEntries(JOB_FIELDS.map((field) => [field, given[field] ?? ""]));
}
