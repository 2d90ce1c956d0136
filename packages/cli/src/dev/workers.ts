// Workers inside `cordum dev`.
// Owns:          the sample workers; loading a user's module of workers.
// Must not know: how workers are connected.

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type WorkerDefinition, worker } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";

/** One topic for each thing that the sample policy shows, all doing the same: giving their input back. */
export function sampleWorkers(): readonly WorkerDefinition[] {
  return ["job.default", "job.echo", "job.slow.echo"].map((topic) =>
    worker({
      topic,
      concurrency: 8,
      run: (input, { jobId, constraints }) => ({ echo: input ?? null, jobId, constraints }),
    }),
  );
}

/** `export const workers = [worker(…), …]` of a module. Throws CommandFailure USAGE. */
export async function loadWorkers(path: string, folder: string): Promise<readonly WorkerDefinition[]> {
  const module = await load(path, folder);
  const workers: unknown =
    typeof module === "object" && module !== null && "workers" in module ? module.workers : undefined;
  if (!Array.isArray(workers) || workers.length === 0 || !workers.every(isDefinition)) {
    throw new CommandFailure(
      "USAGE",
      `--workers ${path}: the module does not export workers`,
      'Write: export const workers = [worker("job.mail.send", send)];',
    );
  }
  return workers;
}

async function load(path: string, folder: string): Promise<unknown> {
  try {
    return await import(pathToFileURL(resolve(folder, path)).href);
  } catch (error) {
    throw new CommandFailure("USAGE", `--workers ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function isDefinition(value: unknown): value is WorkerDefinition {
  return (
    typeof value === "object" &&
    value !== null &&
    "topic" in value &&
    "invoke" in value &&
    typeof value.invoke === "function"
  );
}
