// Runs the house checks and prints what they found; exit code 1 when there is anything.
// Owns:          nothing but the output.
// Must not know: the checks.

import { CHECKS, inspect, show } from "./inspect.ts";

const problems = inspect();
for (const problem of problems) console.log(show(problem));
if (problems.length > 0) {
  console.log(`\n${problems.length} problem${problems.length === 1 ? "" : "s"}`);
  process.exitCode = 1;
} else console.log(`house: ${CHECKS.join(", ")} hold`);
