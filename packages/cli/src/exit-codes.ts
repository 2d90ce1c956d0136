// Exit codes of the command.
// Owns:          the table; docs/reference/cli.md is compared with it by a test.
// Must not know: which command ends with which of them.
// Codes are an interface to scripts: one is added, never given another meaning.

export const EXIT_CODES = {
  OK: { code: 0, says: "It worked." },
  FAILED: { code: 1, says: "It did not work, and none of the codes below fits." },
  USAGE: { code: 2, says: "The command line or a setting is wrong. Nothing was sent." },
  FORBIDDEN: { code: 3, says: "The key is missing or unknown, or may not do that." },
  NOT_FOUND: { code: 4, says: "There is no such job." },
  CONFLICT: { code: 5, says: "The job is not in a state in which that can be done." },
  TIMEOUT: { code: 6, says: "It has not happened in the given time. It may still happen." },
  JOB_UNSUCCESSFUL: { code: 7, says: "The job that was waited for has ended without success." },
  UNREACHABLE: { code: 8, says: "The server cannot be reached, or is not ready to answer." },
  INTERRUPTED: { code: 130, says: "Stopped by Ctrl-C." },
} as const;

export type ExitName = keyof typeof EXIT_CODES;
