// Which build this is.
// Owns:          version, commit and date as status pages show them.
// Must not know: who asks.

export const BUILD = { version: "0.1.0", commit: "unknown", date: "unknown" } as const;
