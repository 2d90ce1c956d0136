// A worker of a fleet under chaos: it writes down what it does before and after it does it.
// Owns:          how each topic of the house behaves; the file in EFFECTS_PATH.
// Must not know: what is broken meanwhile, what must hold.

import { connectFromEnvironment, type JobContext, JobError, RetryableError, serve, worker } from "@cordum/sdk";
import { type EffectLine, writeEffect } from "../chaos/effects.ts";

const workerId = process.env.WORKER_ID ?? "";
const path = process.env.EFFECTS_PATH ?? "";
const life = `${workerId}-${process.pid}-${Date.now()}`;
const SLOTS = 20;
const LONG_MS = 4_000;

type Handle = (prompt: string, context: JobContext) => Promise<void>;

const usual = (): Promise<void> => wait(20 + Math.random() * 60);
/** The prompt of a flaky job says how often it fails. */
const flaky: Handle = async (prompt, { attempt }) => {
  await usual();
  if (attempt <= Number(prompt.split(" ")[1])) throw new RetryableError("not this time");
};
const failing: Handle = async () => {
  await wait(10);
  throw new JobError("BROKEN", "it cannot be done");
};
const long: Handle = (_, { signal }) => wait(LONG_MS, signal);
const slow: Handle = () => wait(150);

const HANDLERS: { readonly [topic: string]: Handle } = {
  "job.echo": usual,
  "job.pay": usual,
  "job.ask": usual,
  "job.flip": usual,
  // Nobody may ever ask for it: should somebody, it is written down.
  "job.no": usual,
  "job.few": slow,
  "job.flaky": flaky,
  "job.fail": failing,
  "job.long": long,
};

const definitions = Object.entries(HANDLERS).map(([topic, handle]) =>
  worker({
    topic,
    concurrency: SLOTS,
    async run(input: unknown, context) {
      const prompt = promptOf(input);
      const note = (what: EffectLine["what"], how?: EffectLine["how"]): void => {
        const about = { job: context.jobId, topic, attempt: context.attempt, worker: workerId, life };
        writeEffect(path, { what, ...about, at: Date.now(), ...(how === undefined ? {} : { how }) });
      };
      note("start");
      try {
        await handle(prompt, context);
      } catch (error) {
        note("end", context.signal.aborted ? "stopped" : "failed");
        throw error;
      }
      note("end", "done");
      return { echo: prompt };
    },
  }),
);

const connection = await connectFromEnvironment({ name: workerId });
const serving = await serve(definitions, { connection, workerId, concurrency: SLOTS });
console.log("worker ready");
await serving.untilStopped();
await connection.close();

function promptOf(input: unknown): string {
  const isBlob = typeof input === "object" && input !== null && "prompt" in input;
  return isBlob ? String(input.prompt) : String(input);
}

function wait(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
