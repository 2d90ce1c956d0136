// What workers really did, as they wrote it down themselves before and after each execution.
// Owns:          the form of a line, writing one, reading files of them.
// Must not know: what must hold of them.

import { appendFileSync, existsSync, readFileSync } from "node:fs";

export interface EffectLine {
  readonly what: "start" | "end";
  readonly job: string;
  readonly topic: string;
  readonly attempt: number;
  readonly worker: string;
  /** New for each start of the process. */
  readonly life: string;
  readonly at: number;
  /** Of an end: how the handler ended. */
  readonly how?: "done" | "failed" | "stopped";
}

export interface Execution {
  readonly job: string;
  readonly topic: string;
  readonly attempt: number;
  readonly worker: string;
  readonly life: string;
  readonly start: number;
  /** Undefined when the process died first. */
  readonly end: number | undefined;
  readonly how: "done" | "failed" | "stopped" | "never ended";
}

/** It is in the file when this returns, whatever becomes of the process: the kernel has it. */
export function writeEffect(path: string, line: EffectLine): void {
  appendFileSync(path, `${JSON.stringify(line)}\n`);
}

/** In order of their starts. */
export function readExecutions(paths: readonly string[]): readonly Execution[] {
  const executions: Execution[] = [];
  for (const path of paths) executions.push(...executionsIn(existsSync(path) ? readFileSync(path, "utf8") : ""));
  return executions.sort((a, b) => a.start - b.start);
}

function executionsIn(text: string): readonly Execution[] {
  const open = new Map<string, EffectLine>();
  const executions: Execution[] = [];
  const close = ({ job, topic, attempt, worker, life, at: start }: EffectLine, end?: EffectLine): void => {
    const about = { job, topic, attempt, worker, life, start };
    executions.push({ ...about, end: end?.at, how: end?.how ?? "never ended" });
  };
  for (const line of text.split("\n").filter((each) => each !== "")) {
    const effect = JSON.parse(line) as EffectLine;
    const key = `${effect.life} ${effect.job} ${effect.attempt}`;
    const begun = open.get(key);
    if (begun !== undefined) close(begun, effect.what === "end" ? effect : undefined);
    if (effect.what === "start") open.set(key, effect);
    else open.delete(key);
  }
  for (const line of open.values()) close(line);
  return executions;
}
