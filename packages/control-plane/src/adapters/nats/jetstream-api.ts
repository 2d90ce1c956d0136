// Questions to the JetStream API.
// Owns:          what its errors mean for us.
// Must not know: which streams we want.

import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { Fault, messageOf } from "../../ports/fault.ts";

const NOT_FOUND: readonly number[] = [JetStreamApiCodes.StreamNotFound, JetStreamApiCodes.ConsumerNotFound];

/** The answer of `ask`. Rejects with BUS_MISCONFIGURED when the API says no, with BUS_UNAVAILABLE when it does not answer. `doing`
 *  begins the sentence: "creating the stream X". */
export async function askApi<T>(doing: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    throw apiFault(doing, cause);
  }
}

/** As `askApi`; undefined when what is asked for does not exist. */
export async function findInApi<T>(doing: string, ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof JetStreamApiError && NOT_FOUND.includes(cause.code)) return undefined;
    throw apiFault(doing, cause);
  }
}

function apiFault(doing: string, cause: unknown): Fault {
  const why = messageOf(cause);
  const isRefused = cause instanceof JetStreamApiError && cause.status < 500;
  return new Fault(isRefused ? "BUS_MISCONFIGURED" : "BUS_UNAVAILABLE", `${doing} failed: ${why}`, { cause });
}
