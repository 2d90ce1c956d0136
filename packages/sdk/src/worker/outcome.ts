// Outcome: how one run of a job ended.
// Owns:          the union that execution gives back, and the reasons for which a run is stopped from outside.
// Must not know: packets.

import { type Failure, failure } from "./failure.ts";

export type Outcome =
  /** `resultPtr` is "" when the handler returned nothing. */
  | { readonly status: "SUCCEEDED"; readonly resultPtr: string }
  /** `resultPtr` is set when a handler finished although its job had been stopped: the work is done, and what it gave is kept. */
  | (Failure & { readonly resultPtr: string });

/** Why a run is told to stop; the reason of the handler's signal. */
export type Stop =
  | { readonly kind: "cancelled"; readonly by: string; readonly reason: string }
  | { readonly kind: "time_over"; readonly maxRuntimeMs: number }
  | { readonly kind: "worker_stopping" }
  /** A later attempt of the same job has arrived: this one has lost its claim and must leave no trace. */
  | { readonly kind: "superseded" };

/** The reason that handlers see on `context.signal`. */
export class JobStopped extends Error {
  readonly stop: Stop;

  constructor(stop: Stop) {
    super(describeStop(stop));
    this.name = "JobStopped";
    this.stop = stop;
  }
}

/** What is reported for a stopped run. `handler`: what its handler did about it. */
export function stoppedOutcome(stop: Stop, handler: "ended" | "finished" | "still running", resultPtr = ""): Outcome {
  const also = {
    ended: "",
    finished: "; the handler had finished, its result is kept",
    "still running": "; the handler is still running",
  };
  const message = `${describeStop(stop)}${also[handler]}`;
  const code = stop.kind === "time_over" ? "TIMEOUT" : stop.kind === "worker_stopping" ? "WORKER_STOPPED" : "CANCELLED";
  return { ...failure(code, message), resultPtr };
}

function describeStop(stop: Stop): string {
  switch (stop.kind) {
    case "cancelled":
      return `cancelled by ${stop.by === "" ? "unknown" : stop.by}${stop.reason === "" ? "" : `: ${stop.reason}`}`;
    case "time_over":
      return `stopped after ${stop.maxRuntimeMs} ms, which is all that policy allows`;
    case "worker_stopping":
      return "the worker is stopping";
    case "superseded":
      return "a later attempt of this job has started";
  }
}
