// Every module says what it is for.
// Owns:          the rule that a file begins with a comment.
// Must not know: whether the comment is true; a reader must tell.

import { isCode, isTest, type Problem, type Tree } from "./source.ts";

export function checkHeaders(tree: Tree): readonly Problem[] {
  return tree
    .filter((file) => isCode(file.path) && !isTest(file.path) && file.path !== "vitest.config.ts")
    .filter((file) => !/^(#![^\n]*\n)?\s*(\/\/ \S|\/\*\*? ?\S)/.test(file.text))
    .map((file) => ({
      rule: "headers",
      path: file.path,
      line: 1,
      says: "begins without a comment",
      fix: "say what the module owns, what it must not know, and its numbered rules",
    }));
}
