// Client: the REST API as typed calls.
// Owns:          which call goes to which route; paging; waiting for a job's end.
// Must not know: retries and deadlines (http.ts), how an error is read (problem.ts).
// C1. Nothing here logs; the key cannot be read back from a client.
// C2. Parts of paths are percent-encoded; "." and ".." are refused, because URLs would resolve them away.

import { type Runtime, systemRuntime } from "../runtime.ts";
import { artifactCalls, type MemoryRecord, readMemory } from "./artifacts.ts";
import { atLeastZero, type CallOptions, positive, segment, sending } from "./calling.ts";
import { configCalls } from "./configuration.ts";
import { deadLetterCalls } from "./dead-letters.ts";
import { follow } from "./follow.ts";
import { type Call, type Fetch, Http } from "./http.ts";
import { jobReadingCalls } from "./job-reading.ts";
import { lockCalls } from "./locks.ts";
import { type ListOptions, pages } from "./paging.ts";
import {
  type Page,
  parseApiKeyPage,
  parseApiKey as parseApiKeyRecord,
  parseApprovalPage,
  parseApproved,
  parseCancelled,
  parseDecisions,
  parseJobDetail,
  parseJobEvent,
  parseJobPage,
  parseJson,
  parseMadeApiKey,
  parseRevokedSession,
  parseStatus,
  parseSubmitted,
  parseWorker,
  parseWorkers,
} from "./parse.ts";
import { CordumError } from "./problem.ts";
import type {
  ApiKeyRecord,
  ApiKeyWish,
  Approval,
  ApprovedJob,
  CancelledJob,
  JobDecision,
  JobDetail,
  JobEvent,
  JobQuery,
  JobRecord,
  JobSubmission,
  MadeApiKey,
  SubmittedJob,
  SystemStatus,
} from "./records.ts";
import { isTerminal } from "./records.ts";
import { schemaCalls } from "./schema-registry.ts";
import { parseApiKey, parseBaseUrl } from "./url.ts";
import { waitForEnd } from "./wait.ts";
import type { RevokedSession, WorkerRecord } from "./worker-records.ts";

export type { CallOptions } from "./calling.ts";
export type { ListOptions } from "./paging.ts";

export interface ClientOptions {
  /** http(s)://host[:port][/base], without user, query and fragment. */
  readonly url: string;
  readonly apiKey?: string;
  readonly fetch?: Fetch;
  /** A whole call with all its tries: 30 s. */
  readonly timeoutMs?: number;
  /** One try: 10 s. */
  readonly attemptTimeoutMs?: number;
  /** Tries after the first: 3. */
  readonly retries?: number;
  /** Largest answer: 16 MiB. */
  readonly responseBytesMax?: number;
  readonly runtime?: Runtime;
}

export interface SubmitOptions extends CallOptions {
  /** Same key and same submission: same job. Made for the call when absent. */
  readonly idempotencyKey?: string;
}
export interface WaitOptions {
  readonly signal?: AbortSignal;
  /** 5 minutes when absent. */
  readonly timeoutMs?: number;
}
export interface FollowOptions {
  readonly signal?: AbortSignal;
  /** Where an earlier reader stopped: the latest state of everything that has changed since comes first. */
  readonly lastEventId?: string;
  /** How long a server may be away before that is an error: 5 minutes. */
  readonly patienceMs?: number;
}
export interface Verdict {
  readonly reason?: string;
  readonly note?: string;
}

const WAIT_TIMEOUT_MS = 300_000;
const PATIENCE_MS = 300_000;

export class Client {
  readonly #http: Http;
  readonly #runtime: Runtime;

  /** Throws TypeError on a URL, key or limit that cannot be right. Nothing is sent yet. */
  constructor(options: ClientOptions) {
    this.#runtime = options.runtime ?? systemRuntime;
    this.#http = new Http({
      baseUrl: parseBaseUrl(options.url),
      apiKey: options.apiKey === undefined ? undefined : parseApiKey(options.apiKey),
      fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
      runtime: this.#runtime,
      limits: {
        timeoutMs: positive("timeoutMs", options.timeoutMs ?? 30_000),
        attemptTimeoutMs: positive("attemptTimeoutMs", options.attemptTimeoutMs ?? 10_000),
        retries: atLeastZero("retries", options.retries ?? 3),
        responseBytesMax: positive("responseBytesMax", options.responseBytesMax ?? 16 * 1024 * 1024),
      },
    });
  }

  /** Hands in a job. Repeats of this one call cannot make two jobs. */
  async submit(job: JobSubmission, options: SubmitOptions = {}): Promise<SubmittedJob> {
    const idempotencyKey = options.idempotencyKey ?? job.idempotency_key ?? this.#runtime.id(18);
    const body = { ...job, idempotency_key: idempotencyKey };
    return parseSubmitted(
      await this.#text({ method: "POST", path: "/api/v1/jobs", body, idempotencyKey, ...sending(options) }),
    );
  }

  async get(jobId: string, options: CallOptions = {}): Promise<JobDetail> {
    return parseJobDetail(
      await this.#text({ method: "GET", path: `/api/v1/jobs/${segment(jobId)}`, ...sending(options) }),
    );
  }

  /** All jobs that fit, newest change first, page by page as the loop asks for them. */
  list(query: JobQuery = {}, options: ListOptions = {}): AsyncIterable<JobRecord> {
    return this.#pages({ method: "GET", path: "/api/v1/jobs", query: { ...query } }, options, parseJobPage);
  }

  async cancel(jobId: string, options: CallOptions = {}): Promise<CancelledJob> {
    return parseCancelled(
      await this.#text({ method: "POST", path: `/api/v1/jobs/${segment(jobId)}/cancel`, ...sending(options) }),
    );
  }

  /** What policy decided about the job, newest first. */
  async decisions(
    jobId: string,
    options: CallOptions & { readonly limit?: number } = {},
  ): Promise<readonly JobDecision[]> {
    const path = `/api/v1/jobs/${segment(jobId)}/decisions`;
    return parseDecisions(
      await this.#text({ method: "GET", path, query: { limit: options.limit }, ...sending(options) }),
    );
  }

  /** The job once it is terminal, whichever way it ended. Throws CordumError WAIT_TIMEOUT when that takes longer. */
  async wait(jobId: string, options: WaitOptions = {}): Promise<JobDetail> {
    const signal = options.signal ?? new AbortController().signal;
    return waitForEnd({
      jobId,
      timeoutMs: positive("timeoutMs", options.timeoutMs ?? WAIT_TIMEOUT_MS),
      signal,
      runtime: this.#runtime,
      load: (timeoutMs) => this.get(jobId, { signal, timeoutMs }),
    });
  }

  readonly jobs = {
    /** Changes of one job, from what it is now to its end. Goes on over broken connections; a state between two may be left out. */
    watch: (jobId: string, options: Omit<FollowOptions, "lastEventId"> = {}): AsyncIterable<JobEvent> =>
      this.#watch(`/api/v1/jobs/${segment(jobId)}/stream`, options),
    /** Changes of all jobs of the tenant, from now on or from where an earlier reader stopped. Of each job the latest state comes, once or
     *  more; ends only with its signal. */
    stream: (options: FollowOptions = {}): AsyncIterable<JobEvent> => this.#follow("/api/v1/jobs/stream", options),
    ...jobReadingCalls((call) => this.#http.send(call)),
  };

  readonly approvals = {
    /** Jobs that wait for a person. */
    list: (options: ListOptions & { readonly includeResolved?: boolean } = {}): AsyncIterable<Approval> =>
      this.#pages(
        { method: "GET", path: "/api/v1/approvals", query: { include_resolved: options.includeResolved } },
        options,
        parseApprovalPage,
      ),
    approve: (jobId: string, verdict: Verdict = {}, options: CallOptions = {}): Promise<ApprovedJob> =>
      this.#resolve(jobId, "approve", verdict, options),
    reject: (jobId: string, verdict: Verdict = {}, options: CallOptions = {}): Promise<ApprovedJob> =>
      this.#resolve(jobId, "reject", verdict, options),
  };

  /** Jobs that ended without success. */
  readonly deadLetters = deadLetterCalls((call) => this.#http.send(call));

  readonly locks = lockCalls((call) => this.#http.send(call));

  /** Bytes that are kept for a while. */
  readonly artifacts = artifactCalls((call) => this.#http.send(call));

  /** API keys that were made through the API. Needs the role admin. */
  readonly keys = {
    /** Without a state: those that can be used. */
    list: (options: ListOptions & { readonly state?: "active" | "ended" } = {}): AsyncIterable<ApiKeyRecord> =>
      this.#pages({ method: "GET", path: "/api/v1/keys", query: { state: options.state } }, options, parseApiKeyPage),
    get: async (id: string, options: CallOptions = {}): Promise<ApiKeyRecord> =>
      parseApiKeyRecord(await this.#text({ method: "GET", path: `/api/v1/keys/${segment(id)}`, ...sending(options) })),
    /** The answer holds the key; it is shown this once. Repeats of this one call make one key. */
    create: async (wish: ApiKeyWish, options: CallOptions = {}): Promise<MadeApiKey> =>
      parseMadeApiKey(await this.#text({ method: "POST", path: "/api/v1/keys", body: wish, ...sending(options) })),
    /** A new secret; the one before stays valid for `graceSeconds`. */
    rotate: (
      id: string,
      graceSeconds: number,
      options: CallOptions & { readonly reason?: string } = {},
    ): Promise<MadeApiKey> => this.#rotate(id, graceSeconds, options),
    /** Ends the key for good, everywhere. */
    revoke: async (id: string, options: CallOptions & { readonly reason?: string } = {}): Promise<ApiKeyRecord> => {
      const path = `/api/v1/keys/${segment(id)}/revoke`;
      return parseApiKeyRecord(
        await this.#text({ method: "POST", path, body: { reason: options.reason }, ...sending(options) }),
      );
    },
  };

  /** Configuration of the installation, tenants, teams, workflows and steps. */
  readonly config = configCalls((call) => this.#text(call));

  /** Schemas that payloads of topics have to keep to. */
  readonly schemas = schemaCalls((call) => this.#text(call));

  /** What lies behind a pointer of a job of the tenant, see MemoryRecord. Needs the role operator. */
  memory(pointer: string, options: CallOptions & { readonly limit?: number } = {}): Promise<MemoryRecord> {
    return readMemory((call) => this.#http.send(call), pointer, options);
  }

  async workers(options: CallOptions = {}): Promise<readonly WorkerRecord[]> {
    return parseWorkers(await this.#text({ method: "GET", path: "/api/v1/workers", ...sending(options) }));
  }

  async worker(id: string, options: CallOptions = {}): Promise<WorkerRecord> {
    return parseWorker(
      await this.#text({ method: "GET", path: `/api/v1/workers/${segment(id)}`, ...sending(options) }),
    );
  }

  /** Gives the worker no new jobs, until `undrainWorker`; what it has goes on. A repeat is no error. Needs the role operator. */
  drainWorker(id: string, options: CallOptions & { readonly reason?: string } = {}): Promise<WorkerRecord> {
    return this.#orderWorker(id, "drain", options);
  }

  /** Lets it have jobs again. */
  undrainWorker(id: string, options: CallOptions & { readonly reason?: string } = {}): Promise<WorkerRecord> {
    return this.#orderWorker(id, "undrain", options);
  }

  /** Ends the session of a worker that is connected with an API key; it may come back with one that is valid. Needs the role operator. */
  async revokeWorkerSession(
    id: string,
    options: CallOptions & { readonly reason?: string } = {},
  ): Promise<RevokedSession> {
    const path = `/api/v1/workers/${segment(id)}/revoke-session`;
    return parseRevokedSession(
      await this.#text({ method: "POST", path, body: { reason: options.reason }, ...sending(options) }),
    );
  }

  async status(options: CallOptions = {}): Promise<SystemStatus> {
    return parseStatus(await this.#text({ method: "GET", path: "/api/v1/status", ...sending(options) }));
  }

  /** Whether the gateway answers at all. Not being healthy is an answer, not an error. */
  async health(options: CallOptions = {}): Promise<boolean> {
    try {
      await this.#http.send({ method: "GET", path: "/health", ...sending(options) });
      return true;
    } catch (error) {
      if (error instanceof CordumError) return false;
      throw error;
    }
  }

  /** Any other route, with the same key, deadline and retries: the JSON of the answer, undefined when it is empty. */
  async request(call: Call): Promise<unknown> {
    if (!call.path.startsWith("/")) throw new TypeError(`path ${call.path} does not begin with "/"`);
    return parseJson(await this.#text(call));
  }

  async #rotate(
    id: string,
    graceSeconds: number,
    options: CallOptions & { readonly reason?: string },
  ): Promise<MadeApiKey> {
    const body = { grace_seconds: graceSeconds, reason: options.reason };
    const path = `/api/v1/keys/${segment(id)}/rotate`;
    return parseMadeApiKey(await this.#text({ method: "POST", path, body, ...sending(options) }));
  }

  async #orderWorker(
    id: string,
    verb: "drain" | "undrain",
    options: CallOptions & { readonly reason?: string },
  ): Promise<WorkerRecord> {
    const path = `/api/v1/workers/${segment(id)}/${verb}`;
    return parseWorker(
      await this.#text({ method: "POST", path, body: { reason: options.reason }, ...sending(options) }),
    );
  }

  async #resolve(
    jobId: string,
    verb: "approve" | "reject",
    verdict: Verdict,
    options: CallOptions,
  ): Promise<ApprovedJob> {
    const path = `/api/v1/approvals/${segment(jobId)}/${verb}`;
    return parseApproved(await this.#text({ method: "POST", path, body: verdict, ...sending(options) }));
  }

  async *#follow(path: string, options: FollowOptions): AsyncGenerator<JobEvent, void, undefined> {
    const events = follow({
      http: this.#http,
      runtime: this.#runtime,
      call: { method: "GET", path },
      signal: options.signal ?? new AbortController().signal,
      lastEventId: options.lastEventId,
      patienceMs: positive("patienceMs", options.patienceMs ?? PATIENCE_MS),
    });
    for await (const event of events) {
      const change = parseJobEvent(event);
      if (change !== undefined) yield change;
    }
  }

  async *#watch(path: string, options: FollowOptions): AsyncGenerator<JobEvent, void, undefined> {
    for await (const change of this.#follow(path, options)) {
      yield change;
      if (isTerminal(change.job.state)) return;
    }
  }

  async #text(call: Call): Promise<string> {
    return (await this.#http.send(call)).text;
  }

  #pages<T>(
    call: Call,
    options: ListOptions,
    parsePage: (text: string) => Page<T>,
  ): AsyncGenerator<T, void, undefined> {
    return pages(
      (asked) => this.#http.send(asked),
      call,
      options,
      ({ text }) => parsePage(text),
    );
  }
}
