// The line from a program under measurement to the bench that started it.
// Owns:          saying that the program is ready, answering readings, ending with the parent.
// Must not know: what the program does.

import type { Reading } from "../child.ts";

export interface Told {
  /** Jobs that have reached their end here. */
  ended?(): number;
  stop(): Promise<void>;
  /** What only this program can do, by name. */
  readonly tasks?: { readonly [name: string]: (count: number) => Promise<unknown> };
}

/** `url`: of the program's API, if it has one. */
export function answerParent(told: Told, url?: string): void {
  const stop = (): void => {
    const end = (): never => process.exit(0);
    told.stop().then(end, end);
  };
  process.on("disconnect", stop);
  process.on("message", (message: { readonly ask: string; readonly count?: number }) => {
    if (message.ask === "stop") return stop();
    if (message.ask === "read") return void process.send?.(reading(told));
    const task = told.tasks?.[message.ask];
    if (task === undefined) throw new Error(`no task ${message.ask}`);
    task(message.count ?? 1).then((answer) => process.send?.({ answer }));
  });
  process.send?.({ url: url ?? "" });
}

function reading(told: Told): Reading {
  const { user, system } = process.cpuUsage();
  return { cpuMicros: user + system, rssBytes: process.memoryUsage.rss(), ended: told.ended?.() ?? 0 };
}

/** A setting that the bench always gives. */
export function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: this program is started by the bench`);
  return value;
}
