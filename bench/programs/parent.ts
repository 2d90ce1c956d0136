// The line from a program under measurement to the bench that started it.
// Owns:          saying that the program is ready, answering readings, profiling the main thread, ending with the parent.
// Must not know: what the program does.

import { writeFile } from "node:fs/promises";
import { Session } from "node:inspector/promises";
import type { Reading } from "../child.ts";

export interface Told {
  /** Jobs that have reached their end here. */
  ended?(): number | Promise<number>;
  stop(): Promise<void>;
  /** What only this program can do, by name. */
  readonly tasks?: { readonly [name: string]: (count: number) => Promise<unknown> };
}

interface Message {
  readonly ask: string;
  readonly count?: number;
  readonly path?: string;
}

/** `url`: of the program's API, if it has one. */
export function answerParent(told: Told, url?: string): void {
  const stop = (): void => {
    const end = (): never => process.exit(0);
    told.stop().then(end, end);
  };
  process.on("disconnect", stop);
  process.on("message", ({ ask, count, path }: Message) => {
    if (ask === "stop") return stop();
    if (ask === "read") return void process.send?.(reading());
    const task = taskOf(ask, path, told);
    if (task === undefined) throw new Error(`no task ${ask}`);
    Promise.resolve(task(count ?? 1)).then((answer) => process.send?.({ answer: answer ?? null }));
  });
  process.send?.({ url: url ?? "" });
}

function taskOf(ask: string, path: string | undefined, told: Told): ((count: number) => unknown) | undefined {
  if (ask === "profile") return () => profile(path);
  if (ask === "ended") return () => told.ended?.() ?? 0;
  return told.tasks?.[ask];
}

const SAMPLE_MICROS = 500;
let profiling: Session | undefined;

/** Without a path it begins, with one it ends. What comes before, such as compiling, is left out that way. */
async function profile(path: string | undefined): Promise<void> {
  if (path === undefined) {
    profiling = new Session();
    profiling.connect();
    await profiling.post("Profiler.enable");
    await profiling.post("Profiler.setSamplingInterval", { interval: SAMPLE_MICROS });
    await profiling.post("Profiler.start");
    return;
  }
  const stopped = await profiling?.post("Profiler.stop");
  await writeFile(path, JSON.stringify(stopped?.profile));
  profiling?.disconnect();
}

function reading(): Reading {
  const { user, system } = process.cpuUsage();
  return { cpuMicros: user + system, rssBytes: process.memoryUsage.rss() };
}

/** A setting that the bench always gives. */
export function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: this program is started by the bench`);
  return value;
}
