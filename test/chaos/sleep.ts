// Waiting, as the harness does it: in real time.
// Owns:          the only timers of the harness.
// Must not know: who waits for what.

/** False when the signal fired first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve(false);
    const stop = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve(true);
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Rejects when the condition does not hold within the bound. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  bound: { readonly ms: number; readonly says: string },
): Promise<void> {
  const endsAt = performance.now() + bound.ms;
  while (!(await holds())) {
    if (performance.now() > endsAt) throw new Error(`after ${Math.round(bound.ms / 1_000)} s still not: ${bound.says}`);
    await sleep(100);
  }
}
