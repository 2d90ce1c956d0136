// Everything that can be measured, in the order in which a whole run does it.
// Owns:          the list.
// Must not know: how anything is measured.

import type { Scenario } from "./scenario.ts";
import { backlogScenario } from "./scenarios/backlog.ts";
import { devScenario } from "./scenarios/dev.ts";
import { jobScenarios } from "./scenarios/jobs.ts";
import { listsScenario } from "./scenarios/lists.ts";
import { memoryScenario } from "./scenarios/memory.ts";
import { policyScenario } from "./scenarios/policy.ts";

export const SCENARIOS: readonly Scenario[] = [
  ...jobScenarios,
  policyScenario,
  memoryScenario,
  devScenario,
  backlogScenario,
  listsScenario,
];
