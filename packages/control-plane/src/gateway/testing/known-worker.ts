// A worker that a gateway's scene has heard of.
// Owns:          its heartbeat.
// Must not know: what it is used for.

import { TENANT_LABEL } from "../../scheduling/registry.ts";
import type { Scene } from "./gateway-scene.ts";

/** Serves the tenant alone, as one that is connected with a key; heard of for the next 30 s. */
export function hearOfWorker(scene: Scene, workerId: string, tenant: string): void {
  const { registry, clock } = scene.parts.jobParts;
  const loads = { activeJobs: 0, capacity: 1, cpuLoad: 0, gpuUtilization: 0, memoryLoad: 0 };
  const about = { instance: "", pool: "p", region: "", type: "", capabilities: [], labels: { [TENANT_LABEL]: tenant } };
  registry.hear({ workerId, ...about, ...loads }, clock.now());
}
