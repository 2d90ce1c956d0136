// The thread that owns the SQLite file, so that fsync and long queries block nobody's event loop.
// Owns:          receiving groups, handing them to the engine, sending answers.
// Must not know: ports, SQL. Imports only relative files and node:*, for it is loaded by path.

import { parentPort, workerData } from "node:worker_threads";
import { assert, Fault } from "../../ports/fault.ts";
import type { Layout } from "../../ports/state.ts";
import { Engine } from "./engine.ts";
import { closeFile, openFile } from "./schema.ts";
import type { Cell, FromThread, ToThread } from "./tape.ts";

export interface ThreadOptions {
  readonly path: string;
  readonly partitions: number;
  readonly layout: Layout;
}

const port = parentPort;
assert(port !== null, "this file runs in a thread");
const options: ThreadOptions = workerData;

const send = (message: FromThread): void => {
  port.postMessage(message, message.kind === "answered" ? transferable(message.cells) : []);
};

/** Payloads travel without being copied. */
function transferable(cells: readonly Cell[]): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  for (const cell of cells)
    if (cell instanceof Uint8Array && cell.buffer instanceof ArrayBuffer) buffers.push(cell.buffer);
  return buffers;
}

function start(): void {
  const db = openFile(options.path, options.partitions);
  const engine = new Engine(db, options.partitions, options.layout);
  port?.on("message", (message: ToThread) => {
    if (message.kind === "close") {
      closeFile(db, options.path);
      port.close();
      return;
    }
    send({ ...engine.run(message.cells, message.now), group: message.group });
  });
  send({ kind: "opened" });
}

try {
  start();
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  send({ kind: "refused", detail: error.message });
  port.close();
}
