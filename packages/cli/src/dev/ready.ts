// What `cordum dev` says when it is ready.
// Owns:          the words: where, with which key, what to try first.
// Must not know: how anything was started.

import type { DevFolder } from "./folder.ts";

export interface ReadyFacts {
  readonly url: string;
  readonly folder: DevFolder;
  readonly policyPath: string;
  readonly topics: readonly string[];
  readonly startMs: number;
  /** The other commands look elsewhere unless they are told. */
  readonly isOtherFolder: boolean;
}

export function readyText({ url, folder, policyPath, topics, startMs, isOtherFolder }: ReadyFacts): string {
  const admin = folder.keys.find(({ role }) => role === "admin");
  const names = folder.keys.map(({ principal_id }) => principal_id).join(", ");
  return `Cordum is ready at ${url} after ${(startMs / 1_000).toFixed(1)} s

  key      ${admin?.key ?? `see ${folder.keysPath}`}
  keys     ${folder.keysPath}: one each for ${names}
  policy   ${policyPath}: save it, and the change applies within a second
  workers  ${topics.length === 0 ? "none" : topics.join(", ")}

From another terminal in this folder:

${isOtherFolder ? `  export CORDUM_DATA_DIR=${folder.path}\n` : ""}  npx cordum job submit job.echo --input '{"hello":"world"}' --wait
  npx cordum job submit job.echo --input '{"drop":"table"}' --risk-tags destructive --as submitter
  npx cordum approvals
  npx cordum approve <job> --as approver

Ctrl-C stops it.`;
}
