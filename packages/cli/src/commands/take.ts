// The first so many of a list that comes page by page.
// Owns:          stopping in time.
// Must not know: what is listed.

export interface Taken<T> {
  readonly items: readonly T[];
  /** There was nothing behind them. */
  readonly isAll: boolean;
}

/** `told` hears after each item how many there are. */
export async function take<T>(
  list: AsyncIterable<T>,
  limit: number,
  told: (count: number) => void = () => undefined,
): Promise<Taken<T>> {
  const items: T[] = [];
  for await (const item of list) {
    if (items.length === limit) return { items, isAll: false };
    items.push(item);
    told(items.length);
  }
  return { items, isAll: true };
}
