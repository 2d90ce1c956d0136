// The turn between two steps of a simulation.
// Owns:          the one macrotask per step in which promises settle.
// Must not know: what a step is.
// The function is taken when the module loads, before the world is sealed.

const later = globalThis.setImmediate;

/** Resolves when every promise that the step settled has run its course: all waiting goes through ports, so nothing else is left. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    later(resolve);
  });
}
