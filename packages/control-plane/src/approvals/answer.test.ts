// Cases of answering that the simulation found.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inProcessBus } from "../adapters/inprocess/bus.ts";
import { memoryPayloads } from "../adapters/memory/memory-payloads.ts";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { changeJob } from "../jobs/change.ts";
import { submitJob } from "../jobs/submit.ts";
import { PolicySource } from "../policy/policy-source.ts";
import { NO_JUDGE } from "../ports/schema-judge.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import { NO_TRACING } from "../ports/tracing.ts";
import { NO_TIMEOUTS, OPEN_ROUTING } from "../scheduling/routing.ts";
import { type Core, composeCore, DEFAULT_JOB_SETTINGS, DEFAULT_RETENTION, stateLayout } from "../services/core.ts";

import { COMMAND } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { approveJob } from "./answer.ts";

const never = new AbortController().signal;
const ignore = (): undefined => undefined;
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const meter: Meter = { count: ignore, observe: ignore, gauge: ignore };
const asking = (reason: string): string => `
version: v1
rules:
  - id: ask
    match: { topics: ["job.ask"] }
    decision: require_approval
    reason: ${reason}
`;

describe("answering an approval", () => {
  let core: Core;
  const policy = new PolicySource();

  beforeEach(() => {
    const clock = virtualClock();
    const state = memoryState({ partitions: 2, layout: stateLayout(DEFAULT_RETENTION), clock });
    const ports = {
      state,
      payloads: memoryPayloads({ clock, bytesMax: 65_536 }),
      bus: inProcessBus({ clock, log }),
      clock,
      log,
      meter,
      tracing: NO_TRACING,
      policy,
      judge: NO_JUDGE,
    };
    const scheduling = { routing: OPEN_ROUTING, timeouts: NO_TIMEOUTS };
    core = composeCore(ports, {
      scheduling,
      drives: true,
      retention: DEFAULT_RETENTION,
      settings: DEFAULT_JOB_SETTINGS,
    });
  });
  afterEach(() => core.settle(never));

  it("tells the second approver when policy goes back to a rule that the first has answered", async () => {
    const { parts } = core;
    const by = (name: string) => ({ tenant: "acme", actor: person(name), reason: "", note: "" });
    policy.replace(asking("once"));
    const { jobId } = await submitJob({ ...COMMAND, topic: "job.ask" }, parts, never);
    await approveJob(jobId, by("bob"), parts, never);
    policy.replace(asking("twice"));
    const asked = await changeJob(jobId, "pull", parts, never);
    expect(asked?.job.phase.state).toBe("APPROVAL_REQUIRED");
    policy.replace(asking("once"));
    await expect(approveJob(jobId, by("eve"), parts, never)).rejects.toMatchObject({
      code: "APPROVAL_ALREADY_RESOLVED",
    });
    const seen = await parts.jobs.load(jobId, never);
    expect(seen?.record).toMatchObject({ phase: { state: "SCHEDULED" }, approval: { answer: "approved", by: "bob" } });
  });
});
