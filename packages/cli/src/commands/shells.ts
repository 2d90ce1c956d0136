// Shells that can complete the command line.
// Owns:          their names.
// Must not know: how they do it.

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];
