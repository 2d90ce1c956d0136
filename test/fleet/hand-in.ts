// One try to hand in a job, or several.
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

export async function handIn(asked: HandIn): Promise<Answer> {
  const { status, retryAfter, answer } = await post("/api/v1/jobs", asked);
  if (status === 200 && typeof answer === "object" && answer !== null && "job_id" in answer)
    return { kind: "accepted", jobId: String(answer.job_id) };
  return { kind: "refused", status, retryAfter };
}

/** Of several jobs at once, each with its own key in `body.jobs`: an answer for each of them, in order. */
export async function handInTogether(asked: HandIn & { readonly count: number }): Promise<readonly Answer[]> {
  const { status, retryAfter, answer } = await post("/api/v1/jobs/batch", asked);
  const items = status === 200 && isBatchAnswer(answer) ? answer.items : [];
  return Array.from({ length: asked.count }, (_, at): Answer => {
    const item = items[at];
    if (item?.job_id !== undefined) return { kind: "accepted", jobId: item.job_id };
    // What is wrong with one job is told as a problem of its own; when to come back stands nowhere.
    return { kind: "refused", status: item?.problem?.status ?? status, retryAfter: retryAfter ?? "unsaid" };
  });
}

interface BatchItem {
  readonly job_id?: string;
  readonly problem?: { readonly status: number };
}

function isBatchAnswer(answer: unknown): answer is { readonly items: readonly BatchItem[] } {
  return typeof answer === "object" && answer !== null && "items" in answer && Array.isArray(answer.items);
}

interface Said {
  /** 0: no connection, no answer in time, or half an answer. */
  readonly status: number;
  readonly retryAfter: string | null;
  readonly answer: unknown;
}

async function post(path: string, { url, apiKey, idempotencyKey, body, patienceMs }: HandIn): Promise<Said> {
  try {
    const response = await fetch(`${url}${path}`, {
      method: "POST",
      headers: { "x-api-key": apiKey, "idempotency-key": idempotencyKey, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(patienceMs),
    });
    const answer: unknown = await response.json();
    return { status: response.status, retryAfter: response.headers.get("retry-after"), answer };
  } catch {
    return { status: 0, retryAfter: null, answer: undefined };
  }
}
