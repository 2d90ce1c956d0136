// HTTP: one call to the API, with deadline, bounds and retries.
// Owns:          the base URL, the key, back-off, Retry-After, the size of an answer.
// Must not know: what the routes mean.
// H1. A call ends within `timeoutMs`, all tries and waits included; one try within `attemptTimeoutMs`.
// H2. Tried again: network errors, tries that ran out of time, 408, 429, 502, 503 and 504. Every POST, PUT and DELETE carries an
//     Idempotency-Key, made once per call, so that a repeat cannot do the work twice.
// H3. A wait that Retry-After asks for and that does not fit into the deadline ends the call at once with the server's error.
// H4. Redirects are not followed: the key would travel to whatever host the answer names.
// H5. The key is in a private field and in the request header, nowhere else.

import { backoffMs } from "../backoff.ts";
import type { Runtime } from "../runtime.ts";
import { activeTraceparent } from "../trace-context.ts";
import { CordumError, parseProblem, parseRetryAfterMs, RETRIED_STATUSES } from "./problem.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface HttpLimits {
  readonly timeoutMs: number;
  readonly attemptTimeoutMs: number;
  /** How often a call is tried again after the first try. */
  readonly retries: number;
  readonly responseBytesMax: number;
}

export interface HttpOptions {
  readonly baseUrl: string;
  readonly apiKey: string | undefined;
  readonly fetch: Fetch;
  readonly runtime: Runtime;
  readonly limits: HttpLimits;
}

export type QueryValue = string | number | boolean | undefined;

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Begins with "/"; its parts are already percent-encoded. */
  readonly path: string;
  readonly query?: { readonly [name: string]: QueryValue };
  readonly body?: unknown;
  readonly idempotencyKey?: string | undefined;
  /** What must still be there: an entity tag or a revision. */
  readonly ifMatch?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's own. */
  readonly timeoutMs?: number | undefined;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** The header of this name: where lists without an envelope go on. */
  readonly link: string | undefined;
}

const BACKOFF = { baseMs: 200, capMs: 5_000 };

type Tried =
  | { readonly kind: "answered"; readonly answer: Answer }
  | {
      readonly kind: "failed";
      readonly error: CordumError;
      readonly again: boolean;
      readonly waitMs: number | undefined;
    };

export type Opened =
  | {
      readonly kind: "opened";
      readonly response: Response;
      /** Ends the connection, if it has not ended by itself. */
      close(): void;
    }
  | Extract<Tried, { readonly kind: "failed" }>;

export class Http {
  readonly #options: HttpOptions;

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  /** Answers with the body of a 2xx. Throws CordumError, or the reason of `call.signal`. */
  async send(call: Call): Promise<Answer> {
    const { runtime, limits } = this.#options;
    const endsAt = runtime.mono() + (call.timeoutMs ?? limits.timeoutMs);
    const request = this.#prepare(call);
    for (let attempt = 1; ; attempt++) {
      const tried = await this.#try(request, call, Math.min(limits.attemptTimeoutMs, endsAt - runtime.mono()));
      if (tried.kind === "answered") return tried.answer;
      const waitMs = tried.waitMs ?? backoffMs(attempt, BACKOFF, runtime.random());
      const fits = runtime.mono() + waitMs < endsAt;
      if (!tried.again || attempt > limits.retries || !fits) throw tried.error;
      await runtime.sleep(waitMs, call.signal ?? neverAborted);
      call.signal?.throwIfAborted();
    }
  }

  /** One try of a call whose answer goes on. The time of a try is for the head; the body is the caller's to read, as long as it wants, and
   *  ends with `call.signal`. Throws the reason of that signal. */
  async open(call: Call, headers: readonly [string, string][]): Promise<Opened> {
    call.signal?.throwIfAborted();
    const { fetch, runtime, limits } = this.#options;
    const { url, init } = this.#prepare(call);
    const over = new AbortController();
    const stop = new AbortController();
    const onAbort = () => stop.abort(call.signal?.reason);
    call.signal?.addEventListener("abort", onAbort, { once: true });
    const close = () => {
      over.abort();
      call.signal?.removeEventListener("abort", onAbort);
      stop.abort();
    };
    void runtime.sleep(limits.attemptTimeoutMs, over.signal).then((elapsed) => {
      if (elapsed) stop.abort(new TryTimedOut(limits.attemptTimeoutMs));
    });
    try {
      const own = new Headers(init.headers);
      for (const [name, value] of headers) own.set(name, value);
      const response = await orAborted(fetch(url, { ...init, headers: own, signal: stop.signal }), stop.signal);
      if (response.ok) {
        over.abort();
        return { kind: "opened", response, close };
      }
      const text = await orAborted(readBounded(response, limits.responseBytesMax), stop.signal);
      close();
      const tried = judge(response, text, runtime.now());
      return tried.kind === "failed" ? tried : { kind: "opened", response, close };
    } catch (error) {
      close();
      call.signal?.throwIfAborted();
      return failedTry(error, call);
    }
  }

  #prepare(call: Call): { readonly url: string; readonly init: RequestInit } {
    const headers: [string, string][] = [["accept", "application/json, application/problem+json, text/plain"]];
    if (this.#options.apiKey !== undefined) headers.push(["x-api-key", this.#options.apiKey]);
    if (call.method !== "GET") headers.push(["idempotency-key", call.idempotencyKey ?? this.#options.runtime.id(18)]);
    const traceparent = activeTraceparent();
    if (traceparent !== undefined) headers.push(["traceparent", traceparent]);
    if (call.ifMatch !== undefined) headers.push(["if-match", call.ifMatch]);
    if (call.body !== undefined) headers.push(["content-type", "application/json"]);
    const init: RequestInit = { method: call.method, headers, redirect: "manual" };
    if (call.body !== undefined) init.body = JSON.stringify(call.body);
    return { url: `${this.#options.baseUrl}${call.path}${queryText(call.query)}`, init };
  }

  async #try(
    request: { readonly url: string; readonly init: RequestInit },
    call: Call,
    timeMs: number,
  ): Promise<Tried> {
    call.signal?.throwIfAborted();
    const { fetch, runtime, limits } = this.#options;
    const over = new AbortController();
    const stop = new AbortController();
    const onAbort = () => stop.abort(call.signal?.reason);
    call.signal?.addEventListener("abort", onAbort, { once: true });
    const timer = runtime.sleep(timeMs, over.signal).then((elapsed) => {
      if (elapsed) stop.abort(new TryTimedOut(timeMs));
    });
    try {
      const response = await orAborted(fetch(request.url, { ...request.init, signal: stop.signal }), stop.signal);
      const text = await orAborted(readBounded(response, limits.responseBytesMax), stop.signal);
      return judge(response, text, runtime.now());
    } catch (error) {
      call.signal?.throwIfAborted();
      return failedTry(error, call);
    } finally {
      over.abort();
      call.signal?.removeEventListener("abort", onAbort);
      await timer;
    }
  }
}

const neverAborted = new AbortController().signal;

/** Marks that one try ran out of time. */
class TryTimedOut extends Error {
  constructor(timeMs: number) {
    super(`no answer within ${Math.round(timeMs)} ms`);
    this.name = "TryTimedOut";
  }
}

function judge(response: Response, text: string, now: number): Tried {
  if (response.status >= 200 && response.status < 300)
    return {
      kind: "answered",
      answer: { status: response.status, text, link: response.headers.get("link") ?? undefined },
    };
  const traceId = response.headers.get("x-trace-id") ?? response.headers.get("x-request-id") ?? undefined;
  const error = parseProblem({ status: response.status, statusText: response.statusText, body: text, traceId });
  const waitMs = parseRetryAfterMs(response.headers.get("retry-after"), now);
  return { kind: "failed", error, again: RETRIED_STATUSES.has(response.status), waitMs };
}

function failedTry(error: unknown, call: Call): Extract<Tried, { readonly kind: "failed" }> {
  if (error instanceof CordumError) return { kind: "failed", error, again: false, waitMs: undefined };
  const timedOut = error instanceof TryTimedOut;
  const failure = new CordumError({
    status: 0,
    code: timedOut ? "CALL_TIMEOUT" : "NETWORK_ERROR",
    title: timedOut ? "The server did not answer in time" : "The server could not be reached",
    detail: `${call.method} ${call.path}: ${timedOut ? error.message : reasonOf(error)}`,
    retryable: true,
    cause: error,
  });
  return { kind: "failed", error: failure, again: true, waitMs: undefined };
}

/** fetch says only "fetch failed"; what happened is in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** Ends when `signal` fires, even if a foreign fetch does not listen to it. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}

async function readBounded(response: Response, bytesMax: number): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks).toString("utf8");
    bytes += value.byteLength;
    if (bytes > bytesMax) {
      await reader.cancel();
      throw new CordumError({
        status: response.status,
        code: "RESPONSE_TOO_LARGE",
        title: "The answer is too large",
        detail: `the answer has more than ${bytesMax} bytes`,
        retryable: false,
      });
    }
    chunks.push(value);
  }
}

function queryText(query: { readonly [name: string]: QueryValue } | undefined): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) params.set(name, String(value));
  }
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}
