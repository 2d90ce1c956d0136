// Maps in memory that keep no more than the newest.
// Owns:          what goes when something comes in and there is no room.
// Must not know: what is kept.

/** `key` is the newest from now on, also where it was there; beyond `most` the oldest goes. */
export function putNewest<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key);
  if (map.size >= most) {
    const oldest = map.keys().next();
    if (oldest.done !== true) map.delete(oldest.value);
  }
  map.set(key, value);
}
