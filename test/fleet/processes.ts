// Real processes of a fleet, which a test kills, freezes and starts again.
// Owns:          starting programs and waiting until they say that they are ready; their exits; the end of them all.
// Must not know: what the test demands.

import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export interface Program {
  readonly name: string;
  /** Path from this folder. */
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A file for everything that it says, all starts together. */
  readonly logPath?: string;
  /** How long a start may take; 20 s when absent. */
  readonly readyMsMax?: number;
}

const READY_MS_MAX = 20_000;
const SAID_CHARS_MAX = 100_000;

/** None outlives the process that started it. */
const live = new Set<ChildProcess>();
process.once("exit", () => live.forEach((child) => void child.kill("SIGKILL")));

export class FleetProcess implements AsyncDisposable {
  readonly #program: Program;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #said = "";
  #isExpectedToEnd = false;
  /** How often it has ended without being told to. */
  #surprises = 0;

  constructor(program: Program) {
    this.#program = program;
  }

  get name(): string {
    return this.#program.name;
  }
  get surprises(): number {
    return this.#surprises;
  }
  /** The last of what it has said on both streams, all starts together. */
  get said(): string {
    return this.#said;
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    const { file, args, env, name, readyMsMax = READY_MS_MAX } = this.#program;
    const { PATH = "" } = process.env;
    const path = fileURLToPath(new URL(file, import.meta.url));
    const child = spawn(process.execPath, ["--conditions=source", path, ...args], {
      env: { PATH, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    live.add(child);
    child.once("exit", () => live.delete(child));
    this.#isExpectedToEnd = false;
    const ready = Promise.withResolvers<void>();
    const hear = (chunk: Buffer): void => {
      const text = chunk.toString("utf8");
      this.#keep(text);
      if (/\bready\b/.test(text) && !text.startsWith("{")) ready.resolve();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", (chunk: Buffer) => this.#keep(chunk.toString("utf8")));
    this.#ended = new Promise((resolve) =>
      child.once("exit", (code, signal) => {
        if (!this.#isExpectedToEnd) this.#surprises++;
        ready.reject(
          new Error(`${name} ended with ${code ?? signal} before it was ready:\n${this.#said.slice(-2_000)}`),
        );
        resolve();
      }),
    );
    const tooLate = setTimeout(() => ready.reject(new Error(`${name} is not ready:\n${this.#said}`)), readyMsMax);
    await ready.promise.finally(() => clearTimeout(tooLate));
  }

  #keep(text: string): void {
    this.#said = (this.#said + text).slice(-SAID_CHARS_MAX);
    if (this.#program.logPath !== undefined) appendFileSync(this.#program.logPath, text);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#isExpectedToEnd = true;
    this.#child?.kill("SIGKILL");
    await this.#ended;
  }

  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** SIGTERM; resolves when it has ended in its own time. */
  async stop(): Promise<void> {
    this.#isExpectedToEnd = true;
    this.#child?.kill("SIGTERM");
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
