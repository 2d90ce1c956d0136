// A process under measurement.
// Owns:          starting it, asking it, its end.
// Must not know: what it does.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export interface Reading {
  readonly cpuMicros: number;
  readonly rssBytes: number;
}

const START_MS_MAX = 30_000;
const ANSWER_MS_MAX = 60_000;
const STOP_MS_MAX = 10_000;

export class Child {
  readonly url: string;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, url: string) {
    this.#process = process;
    this.url = url;
  }

  /** `program`: a file of ./programs without its ending. Rejects when it ends or says nothing within 30 s. */
  static async start(program: string, env: Readonly<Record<string, string>>): Promise<Child> {
    const path = fileURLToPath(new URL(`./programs/${program}.ts`, import.meta.url));
    const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
    const child = fork(path, { execArgv: flags, env: { ...process.env, ...env } });
    const { url } = await told<{ readonly url: string }>(child, program, START_MS_MAX);
    return new Child(child, url);
  }

  read(): Promise<Reading> {
    return this.ask<Reading>("read");
  }

  /** Jobs that have reached their end there; 0 where the program does not know. */
  async ended(): Promise<number> {
    return (await this.ask<{ readonly answer: number }>("ended")).answer;
  }

  /** One of the program's own tasks. */
  async run(task: string, count: number): Promise<readonly number[]> {
    const { answer } = await this.ask<{ readonly answer: readonly number[] }>(task, count);
    return answer;
  }

  /** Begins a CPU profile of the main thread. */
  async startProfile(): Promise<void> {
    await this.#exchange({ ask: "profile" });
  }

  /** Writes what was seen since `startProfile`. */
  async stopProfile(path: string): Promise<void> {
    await this.#exchange({ ask: "profile", path });
  }

  async ask<T>(what: string, count?: number): Promise<T> {
    return await this.#exchange<T>({ ask: what, count });
  }

  async #exchange<T>(message: { readonly ask: string; readonly count?: number | undefined; readonly path?: string }) {
    const answer = told<T>(this.#process, message.ask, ANSWER_MS_MAX);
    this.#process.send(message);
    return await answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_MS_MAX);
    if (this.#process.connected) this.#process.send({ ask: "stop" });
    await ended;
    clearTimeout(timer);
  }
}

/** The next message; rejects when the process ends first. */
async function told<T>(child: ChildProcess, about: string, msMax: number): Promise<T> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(msMax)]);
  try {
    const ended = once(child, "exit", { signal }).then(([code]) => {
      throw new Error(`${about}: the process ended with ${code}`);
    });
    const [message] = await Promise.race([once(child, "message", { signal }), ended]);
    return message as T;
  } finally {
    stop.abort();
  }
}
