// The three workers of the demo. This is what a user of Cordum writes.
// Owns:          what is done for each topic.
// Must not know: policy, approvals: whatever arrives here has been allowed.

import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type JobConstraints, JobError, type WorkerDefinition, worker } from "@cordum/sdk";
import { type Survey, survey } from "./survey.ts";

export interface Site {
  /** The repository. */
  readonly root: string;
  readonly outbox: string;
  readonly scratch: string;
  /** Tells the story what a worker does. */
  tell(topic: string, what: string): void;
}

export interface Crew {
  readonly workerId: string;
  readonly definitions: readonly WorkerDefinition[];
}

export function demoCrews(site: Site): readonly Crew[] {
  return [
    { workerId: "demo-reporter", definitions: [reporter("job.demo.report", site), reporter("job.demo.review", site)] },
    { workerId: "demo-mailer", definitions: [mailer(site)] },
    { workerId: "demo-cleaner", definitions: [cleaner(site)] },
  ];
}

/** Counts what policy lets it read: everything, unless the constraints name folders. */
function reporter(topic: string, site: Site): WorkerDefinition {
  return worker({
    topic,
    run: async (_input, { constraints, signal }): Promise<Survey> => {
      const folders = constraints.sandbox?.fsReadOnly ?? [""];
      site.tell(topic, `demo-reporter was given ${limits(constraints)}`);
      const found = await survey(site.root, folders, signal);
      site.tell(topic, `demo-reporter counted ${found.lines} lines in ${found.files} files`);
      return found;
    },
  });
}

function limits(constraints: JobConstraints): string {
  const texts = [
    constraints.sandbox?.fsReadOnly?.map((folder) => `read only ${folder}/`).join(", "),
    constraints.budgets?.maxRuntimeMs === undefined ? undefined : `at most ${constraints.budgets.maxRuntimeMs} ms`,
  ].filter((text) => text !== undefined);
  return texts.length === 0 ? "no limits" : `limits: ${texts.join(", ")}`;
}

function mailer(site: Site): WorkerDefinition {
  return worker({
    topic: "job.demo.mail",
    run: async (input, { jobId, topic }) => {
      const file = join(site.outbox, `${jobId}.json`);
      await writeFile(file, JSON.stringify(input));
      site.tell(topic, "demo-mailer put it into the outbox");
      return { sent: 1 };
    },
  });
}

function cleaner(site: Site): WorkerDefinition {
  return worker({
    topic: "job.demo.cleanup",
    run: async (_input, { topic }) => {
      const names = await readdir(site.scratch);
      if (names.length === 0) throw new JobError("NOT_FOUND", "there is nothing to delete");
      for (const name of names) await rm(join(site.scratch, name));
      site.tell(topic, `demo-cleaner deleted ${names.join(", ")}`);
      return { deleted: names };
    },
  });
}
