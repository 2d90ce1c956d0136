// A terminal that remembers.
// Owns:          what was printed and noted, for tests.
// Must not know: what is tested.

import type { Terminal } from "../terminal.ts";

export interface RememberingTerminal {
  readonly terminal: Terminal;
  out(): string;
  err(): string;
}

export function testTerminal(
  given: { readonly env?: Terminal["env"]; readonly folder?: string; readonly input?: string } = {},
): RememberingTerminal {
  const out: string[] = [];
  const err: string[] = [];
  const terminal: Terminal = {
    env: given.env ?? {},
    folder: given.folder ?? "/nowhere",
    isInteractive: false,
    isLogOnScreen: false,
    print: (text) => void out.push(text),
    note: (text) => void err.push(text),
    readInput: async () => given.input ?? "",
  };
  return { terminal, out: () => out.join("\n"), err: () => err.join("\n") };
}
