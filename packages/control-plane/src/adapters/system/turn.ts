// The next turn of the event loop.
// Owns:          the one way to give way to I/O.
// Must not know: who gives way.

/** Runs `work` in the next turn, after pending I/O, in the order of the calls. */
export type NextTurn = (work: () => void) => void;

export const nextTurn: NextTurn = (work) => {
  setImmediate(work);
};

/** Resolves in the next turn: every promise that needs no I/O has settled by then. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
