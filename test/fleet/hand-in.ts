// One try to hand in a job.
// Owns:          the request, and what its answer means to somebody who insists.
// Must not know: whether it is tried again.

export interface HandIn {
  readonly url: string;
  readonly apiKey: string;
  readonly idempotencyKey: string;
  readonly body: object;
  /** How long it waits for the answer. */
  readonly patienceMs: number;
}

export type Answer =
  | { readonly kind: "accepted"; readonly jobId: string }
  /** `status` 0: no connection, no answer in time, or half an answer. */
  | { readonly kind: "refused"; readonly status: number; readonly retryAfter: string | null };

export async function handIn({ url, apiKey, idempotencyKey, body, patienceMs }: HandIn): Promise<Answer> {
  try {
    const response = await fetch(`${url}/api/v1/jobs`, {
      method: "POST",
      headers: { "x-api-key": apiKey, "idempotency-key": idempotencyKey, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(patienceMs),
    });
    const answer: unknown = await response.json();
    if (response.ok && typeof answer === "object" && answer !== null && "job_id" in answer)
      return { kind: "accepted", jobId: String(answer.job_id) };
    return { kind: "refused", status: response.status, retryAfter: response.headers.get("retry-after") };
  } catch {
    return { kind: "refused", status: 0, retryAfter: null };
  }
}
