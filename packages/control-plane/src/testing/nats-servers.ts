// Real NATS servers for tests.
// Owns:          starting nats-server on a free port in a folder of its own, with or without JetStream.
// Must not know: what a test does with it; where the program comes from (ensure-servers.ts).

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findNats } from "./ensure-servers.ts";
import { type ServerProcess, startOnFreePort, startProcess } from "./server-process.ts";

export interface NatsOptions {
  readonly jetstream?: boolean;
  /** More arguments for the server, such as ["--user", "u", "--pass", "p"]. */
  readonly args?: readonly string[];
}

export interface NatsServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** SIGKILL, as a crash; the folder stays. */
  kill(): Promise<void>;
  /** Starts again on the same port and folder, with other arguments when given. */
  restart(options?: NatsOptions): Promise<void>;
  /** Ends the server and removes its folder. */
  stop(): Promise<void>;
}

/** Starts a NATS server on 127.0.0.1. Rejects with the server's own words when it does not come up. */
export async function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  return await startOnFreePort((port) => new Server(port, options));
}

class Server implements NatsServer {
  readonly port: number;
  readonly url: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "cordum-nats-"));
  readonly #options: NatsOptions;
  #process: ServerProcess | undefined;

  constructor(port: number, options: NatsOptions) {
    this.port = port;
    this.url = `nats://127.0.0.1:${port}`;
    this.#options = options;
  }

  async restart(options: NatsOptions = this.#options): Promise<void> {
    const args = ["-a", "127.0.0.1", "-p", String(this.port), "--store_dir", this.#folder];
    if (options.jetstream === true) args.push("--jetstream");
    args.push(...(options.args ?? []));
    this.#process = await startProcess({ program: findNats(), args, folder: this.#folder, ready: "Server is ready" });
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
