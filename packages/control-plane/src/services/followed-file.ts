// Files of configuration that are read again while the process runs.
// Owns:          reading at start and every interval, and telling when a file is no good.
// Must not know: what the files mean.
// W1. At start a file that is named must be readable and valid: else the process does not start. W2. Later a bad file changes nothing and
//     is said once per content. W3. A file that is just being written may be valid and say less than it will, such as a policy without
//     its last rules: a change counts once the file has stayed as it is for a moment.

import { readTextFile } from "../adapters/system/text-file.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";

const FILE_BYTES_MAX = 1_048_576;
/** See W3. */
const SETTLED_MS: Ms = 250;

export interface FollowedFile {
  /** Name of the setting that names the file. */
  readonly setting: string;
  readonly path: string;
  readonly intervalMs: Ms;
  /** Uses the text; what is wrong with it otherwise, a sentence each. */
  readonly use: (text: string) => readonly string[];
}

/** Throws at start for a file that cannot be used, see W1. Follows it until `signal` fires. */
export async function followFile(
  file: FollowedFile,
  parts: { readonly clock: Clock; readonly log: Log },
  signal: AbortSignal,
): Promise<void> {
  const { setting, path } = file;
  const first = await readTextFile(path, FILE_BYTES_MAX);
  if (first.kind === "unreadable") throw new Error(`${setting}: ${first.reason}`);
  const faults = file.use(first.text);
  if (faults.length > 0) throw new Error(`${setting}: ${path} is not valid:\n  ${faults.join("\n  ")}`);
  void follow(file, first.text, parts, signal);
}

async function follow(
  file: FollowedFile,
  first: string,
  parts: { readonly clock: Clock; readonly log: Log },
  signal: AbortSignal,
): Promise<void> {
  const { setting, path, use } = file;
  let last = first;
  while (await parts.clock.sleep(file.intervalMs, signal)) {
    const read = await readTextFile(path, FILE_BYTES_MAX);
    if (read.kind === "unreadable") {
      parts.log.warn("file.unreadable", { setting, reason: read.reason });
      continue;
    }
    if (read.text === last) continue;
    if (!(await parts.clock.sleep(Math.min(SETTLED_MS, file.intervalMs), signal))) return;
    const again = await readTextFile(path, FILE_BYTES_MAX);
    if (again.kind === "unreadable" || again.text !== read.text) continue;
    last = read.text;
    const faults = use(read.text);
    if (faults.length > 0) parts.log.warn("file.refused", { setting, path, faults });
    else parts.log.info("file.used", { setting, path });
  }
}
