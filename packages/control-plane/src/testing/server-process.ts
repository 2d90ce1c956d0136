// One server process of a test.
// Owns:          starting it, telling when it is ready, ending it in every case.
// Must not know: which server it is.
// K1. A server ends with its handle, with the test process, and at the latest with the next test run (killLeftovers).
// K2. Nothing waits for a span of time: a server is ready when it says so.

import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { type Program, STARTED_FOLDER } from "./ensure-servers.ts";

export interface ServerProcess {
  /** SIGKILL, as a crash; resolves when it has ended. */
  kill(): Promise<void>;
}

export interface ServerStart {
  readonly program: Program;
  /** They name the folder, so that a later run can tell the process. */
  readonly args: readonly string[];
  readonly folder: string;
  /** Part of the line by which the server says that it is ready. */
  readonly ready: string;
}

export const START_TIMEOUT_MS = 15_000;
const START_ATTEMPTS_MAX = 5;

/** Resolves when the server is ready. Rejects with the server's own words when it does not come up. */
export async function startProcess(start: ServerStart): Promise<ServerProcess> {
  const { program, args, folder, ready } = start;
  const env = Object.keys(program.env).length === 0 ? {} : { env: { ...program.env } };
  const child = spawn(program.path, [...args], { stdio: ["ignore", "pipe", "pipe"], ...env });
  const note = noteStarted(child, folder);
  const kill = async (): Promise<void> => {
    await end(child);
    rmSync(note, { force: true });
  };
  try {
    await untilReady(child, basename(program.path), ready);
  } catch (error) {
    await kill();
    throw error;
  }
  return { kill };
}

interface Startable {
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Makes a server for a port and starts it. Rejects with the server's own words when it does not come up. */
export async function startOnFreePort<S extends Startable>(make: (port: number) => S): Promise<S> {
  for (let attempt = 1; ; attempt++) {
    const server = make(await freePort());
    try {
      await server.restart();
      return server;
    } catch (error) {
      await server.stop();
      // Between finding a free port and using it, another test may have taken it.
      if (attempt === START_ATTEMPTS_MAX || !String(error).includes("in use")) throw error;
    }
  }
}

/** Below the ports that systems give to outgoing connections: one of those could take a server's port while it is down. */
const PORTS = { first: 10_000, count: 22_000 } as const;
const PORT_ATTEMPTS_MAX = 100;

/** A TCP port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = PORTS.first + randomInt(PORTS.count);
    try {
      await listenOnce(port);
      return port;
    } catch (error) {
      if (attempt === PORT_ATTEMPTS_MAX) throw error;
    }
  }
}

async function listenOnce(port: number): Promise<void> {
  const listener = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  listener.once("error", reject);
  listener.listen(port, "127.0.0.1", resolve);
  await promise;
  const closed = Promise.withResolvers<void>();
  listener.close(() => closed.resolve());
  await closed.promise;
}

async function untilReady(child: ChildProcess, name: string, readyText: string): Promise<void> {
  const said: string[] = [];
  const ready = Promise.withResolvers<void>();
  const fail = (why: string): void =>
    ready.reject(new Error(`${name} did not start (${why}):\n${said.slice(-5).join("\n")}`));
  for (const output of [child.stdout, child.stderr]) {
    if (output === null) throw new Error("the server's output is a pipe");
    createInterface({ input: output }).on("line", (line) => {
      if (said.push(line) > 50) said.shift();
      if (line.includes(readyText)) ready.resolve();
    });
  }
  child.once("error", (error) => fail(error.message));
  child.once("close", (code) => fail(`it ended with ${code}`));
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  deadline.addEventListener("abort", () => fail("no answer in time"));
  await ready.promise;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = Promise.withResolvers<void>();
  child.once("exit", () => ended.resolve());
  child.kill("SIGKILL");
  await ended.promise;
}

const children = new Set<ChildProcess>();
let isGuarded = false;

/** Notes a server for K1; returns the note's path. */
function noteStarted(child: ChildProcess, folder: string): string {
  if (!isGuarded) process.once("exit", () => children.forEach((one) => void one.kill("SIGKILL")));
  isGuarded = true;
  children.add(child);
  child.once("exit", () => children.delete(child));
  mkdirSync(STARTED_FOLDER, { recursive: true });
  const note = join(STARTED_FOLDER, `${process.pid}-${child.pid}`);
  writeFileSync(note, folder);
  return note;
}
