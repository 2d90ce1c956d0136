// The five jobs of the demo.
// Owns:          what is asked for, and what must become of it.
// Must not know: who carries it out, how it is shown.

import type { JobState, JobSubmission } from "@cordum/sdk";

export interface DemoJob {
  /** Short name in the story. */
  readonly name: string;
  /** One for each job, so that news can be told apart by it. */
  readonly topic: string;
  readonly submission: JobSubmission;
  /** What policy must decide first. */
  readonly decision: string;
  /** In which state it must end. */
  readonly ends: JobState;
}

/** `scratch`: folder whose files the cleaning job deletes. `isApproved`: what the person will say. */
export function demoJobs(scratch: string, isApproved: boolean): readonly DemoJob[] {
  return [
    job("report", "ALLOW", "SUCCEEDED", { prompt: "Count the lines of this repository" }),
    job("review", "ALLOW_WITH_CONSTRAINTS", "SUCCEEDED", { prompt: "Count the lines, as an outsider" }),
    job("drop", "DENY", "DENIED", { prompt: "Drop the production database", context: { database: "production" } }),
    job("mail", "THROTTLE", "SUCCEEDED", {
      prompt: "Tell the team",
      context: { to: "team@example.com", text: "The report is ready." },
    }),
    job("cleanup", "REQUIRE_APPROVAL", isApproved ? "SUCCEEDED" : "DENIED", {
      prompt: "Delete the scratch files",
      context: { folder: scratch },
      risk_tags: ["destructive"],
    }),
  ];
}

function job(name: string, decision: string, ends: JobState, rest: JobSubmission): DemoJob {
  const topic = `job.demo.${name}`;
  return { name, topic, decision, ends, submission: { ...rest, topic } };
}
