// Once before all tests: the real servers they need are there, or the run ends with a sentence that says what to install.
import { ensureServers } from "../packages/control-plane/src/testing/ensure-servers.ts";

export function setup(): void {
  ensureServers();
}
