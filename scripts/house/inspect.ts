// All house checks over the tree.
// Owns:          which checks there are, and how a problem is shown.
// Must not know: what a check looks for.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkFloors } from "./floors.ts";
import { checkGlobals } from "./globals.ts";
import { checkHeaders } from "./headers.ts";
import { checkLeaks } from "./leaks.ts";
import { checkSizes, type Exception } from "./sizes.ts";
import { type Problem, readTree } from "./source.ts";

export const ROOT = join(import.meta.dirname, "../..");

export const CHECKS = ["floors", "sizes", "globals", "headers", "leaks"] as const;

export function inspect(root: string = ROOT): readonly Problem[] {
  const tree = readTree(root);
  const exceptions: readonly Exception[] = JSON.parse(
    readFileSync(join(import.meta.dirname, "exceptions.json"), "utf8"),
  );
  return [
    ...checkFloors(tree),
    ...checkSizes(tree, exceptions),
    ...checkGlobals(tree),
    ...checkHeaders(tree),
    ...checkLeaks(tree),
  ];
}

/** One line to find it, one to mend it. */
export function show(problem: Problem): string {
  const at = problem.line === undefined ? problem.path : `${problem.path}:${problem.line}`;
  return `${at}  ${problem.rule}: ${problem.says}\n    → ${problem.fix}`;
}
