// Everything that can be measured, in the order in which a whole run does it.
// Owns:          the list.
// Must not know: how anything is measured.

import type { Scenario } from "./scenario.ts";
import { jobScenarios } from "./scenarios/jobs.ts";

export const SCENARIOS: readonly Scenario[] = [...jobScenarios];
