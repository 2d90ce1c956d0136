// The person at the terminal.
// Owns:          asking one question.
// Must not know: what depends on the answer.

import { createInterface } from "node:readline/promises";

/** True for y and yes; anything else, and the end of the input, is a no. Rejects when `signal` fires. */
export async function askYesOrNo(question: string, signal: AbortSignal): Promise<boolean> {
  // `terminal: false` leaves the line in the terminal's own mode, in which Ctrl-C is a signal and not a character.
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal: false });
  try {
    const ended = new Promise<string>((resolve) => lines.once("close", () => resolve("")));
    const answer = await Promise.race([lines.question(`${question} [y/N] `, { signal }), ended]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
