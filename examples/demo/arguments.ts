// The demo's command line.
// Owns:          which options there are, and what is said about a wrong one.
// Must not know: what the demo does.

export const USAGE = `Usage: npm run demo [-- --yes]

Starts Cordum in this process with a small policy and three workers, hands in five jobs, and shows what becomes of each.
One of them waits for a person. You are asked for the answer; --yes answers yes for you (needed without a terminal).

  --yes    approve without asking
  --help   show this`;

export type Arguments =
  | { readonly kind: "run"; readonly approves: boolean }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly says: string };

/** `canAsk`: there is a person at standard input. */
export function parseArguments(argv: readonly string[], canAsk: boolean): Arguments {
  const unknown = argv.find((argument) => !["--yes", "-y", "--help", "-h"].includes(argument));
  if (unknown !== undefined) return { kind: "wrong", says: `unknown option ${JSON.stringify(unknown)}` };
  if (argv.includes("--help") || argv.includes("-h")) return { kind: "help" };
  const approves = argv.includes("--yes") || argv.includes("-y");
  if (approves || canAsk) return { kind: "run", approves };
  return {
    kind: "wrong",
    says: "one job waits for a person, and nobody can be asked here: standard input is no terminal",
  };
}
