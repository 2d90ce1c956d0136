// Terminal: what the command reads from and writes to.
// Owns:          the streams; what must be escaped before it is shown.
// Must not know: commands, servers.
// T1. Results go to standard output, everything else to standard error, so that a pipe carries results alone.
// T2. Text from a server may come from anybody: control characters are shown, never sent to the terminal.

export interface Terminal {
  readonly env: { readonly [name: string]: string | undefined };
  readonly folder: string;
  /** Standard output is a person's screen. */
  readonly isInteractive: boolean;
  /** Standard error is a person's screen. */
  readonly isLogOnScreen: boolean;
  /** One line (or several) to standard output. */
  print(text: string): void;
  /** One line (or several) to standard error. */
  note(text: string): void;
  /** All of standard input, at most `bytesMax` bytes; undefined when there is more. */
  readInput(bytesMax: number): Promise<string | undefined>;
}

export const systemTerminal: Terminal = {
  env: process.env,
  folder: process.cwd(),
  isInteractive: process.stdout.isTTY === true,
  isLogOnScreen: process.stderr.isTTY === true,
  print: (text) => void process.stdout.write(`${text}\n`),
  note: (text) => void process.stderr.write(`${text}\n`),
  readInput: async (bytesMax) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of process.stdin) {
      const part = Buffer.from(chunk);
      bytes += part.length;
      if (bytes > bytesMax) return undefined;
      chunks.push(part);
    }
    return Buffer.concat(chunks).toString("utf8");
  },
};

/** `text` with control characters (but newline and tab) and bidirectional overrides written as \u…. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (character) =>
    character === "\n" || character === "\t"
      ? character
      : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same on one line. */
export function oneLine(text: string): string {
  return printable(text).replace(/\s*[\n\t]\s*/g, " ");
}
