// Nothing of the place where it was written.
// Owns:          the patterns of machine paths, registry hosts and words about how the work was done.
// Must not know: any secret; this is no secret scanner.
// Character classes keep the patterns from finding themselves.

import type { Problem, SourceFile, Tree } from "./source.ts";

const LEAKS: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: /(?<![\w.~])\/[w]ork\/[a-z]/, what: "a path of one machine" },
  {
    pattern: /(?<![\w.~])\/(?:home|Users)\/(?!you\b|node\b|cordum\b|nonroot\b)[a-z][\w-]*\//,
    what: "a path of one machine",
  },
  { pattern: /(?<![\w.~])\/[r]oot\/[a-z]/, what: "a path of one machine" },
  { pattern: /\/tmp\/[c]ordum-|[b]ash_jobs/, what: "a path of one machine" },
  { pattern: /\b[c]o-authored-by:/i, what: "a trailer of a tool" },
  {
    pattern:
      /\b[s]ub-?agents? (?:wrote|said|report)|\bthis [s]ession (?:wrote|will)|\b[h]elper session|\b[b]rief\.md\b/i,
    what: "a word about how it was written",
  },
];

export function checkLeaks(tree: Tree): readonly Problem[] {
  return tree.flatMap((file) => (file.path === "package-lock.json" ? checkLock(file) : checkText(file)));
}

function checkText(file: SourceFile): readonly Problem[] {
  const problems: Problem[] = [];
  for (const [at, line] of file.text.split("\n").entries()) {
    const leak = LEAKS.find(({ pattern }) => pattern.test(line));
    if (leak === undefined) continue;
    problems.push({
      rule: "leaks",
      path: file.path,
      line: at + 1,
      says: `holds ${leak.what}`,
      fix: "say it without the place",
    });
  }
  return problems;
}

/** npm writes the host of whoever installed; with the setting in .npmrc it does not, and everybody uses their own registry. */
function checkLock(file: SourceFile): readonly Problem[] {
  const problems: Problem[] = [];
  for (const [at, line] of file.text.split("\n").entries()) {
    if (!/"resolved":\s*"[a-z+]+:/.test(line)) continue;
    problems.push({
      rule: "leaks",
      path: file.path,
      line: at + 1,
      says: "holds a registry's host",
      fix: 'delete the "resolved" lines; .npmrc has omit-lockfile-registry-resolved=true',
    });
  }
  return problems;
}
