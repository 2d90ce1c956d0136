// Records that say nothing in particular, for tests that are about one or two of their members.
// Owns:          a value for every other member.
// Must not know: single tests.

import type { PolicyInput } from "../policy/decision.ts";
import type { Heartbeat } from "../scheduling/registry.ts";

export const HEARTBEAT: Heartbeat = {
  workerId: "w1",
  instance: "",
  pool: "default",
  region: "",
  type: "",
  activeJobs: 0,
  capacity: 4,
  cpuLoad: 0,
  gpuUtilization: 0,
  memoryLoad: 0,
  capabilities: [],
  labels: {},
};

export const POLICY_INPUT: PolicyInput = {
  jobId: "job-1",
  topic: "job.a",
  tenant: "",
  principal: "alice",
  actorId: "",
  actorType: "",
  capability: "",
  packId: "",
  riskTags: [],
  requires: [],
  labels: {},
};
