// Timers in the order in which they fire.
// Owns:          a heap by time, then by start.
// Must not know: what time it is.
// Stopped timers stay in the heap until they come up or are the majority: taking one out of the middle would cost a search.

import type { EpochMs } from "../../ports/time.ts";

interface Timer {
  readonly at: EpochMs;
  readonly order: number;
  fire: (() => void) | undefined;
}

export interface TimerQueue {
  /** Returns how to stop it. A moment that has passed fires next. */
  start(at: EpochMs, fire: () => void): () => void;
  nextAt(): EpochMs | undefined;
  takeNext(): { readonly at: EpochMs; fire(): void } | undefined;
  size(): number;
}

const COMPACT_ABOVE = 64;

export function timerQueue(): TimerQueue {
  let heap: Timer[] = [];
  let started = 0;
  let stopped = 0;

  const dropStopped = (): void => {
    for (let first = heap[0]; first !== undefined && first.fire === undefined; first = heap[0]) {
      popFirst(heap);
      stopped--;
    }
  };
  const stop = (timer: Timer): void => {
    if (timer.fire === undefined) return;
    timer.fire = undefined;
    stopped++;
    if (stopped < COMPACT_ABOVE || stopped * 2 < heap.length) return;
    heap = heap.filter((kept) => kept.fire !== undefined).sort((a, b) => (before(a, b) ? -1 : 1));
    stopped = 0;
  };

  return {
    start(at, fire) {
      const timer: Timer = { at, order: started++, fire };
      push(heap, timer);
      return () => stop(timer);
    },
    nextAt() {
      dropStopped();
      return heap[0]?.at;
    },
    takeNext() {
      dropStopped();
      const timer = popFirst(heap);
      const fire = timer?.fire;
      if (timer === undefined || fire === undefined) return undefined;
      timer.fire = undefined; // stopping it from now on does nothing
      return { at: timer.at, fire };
    },
    size: () => heap.length - stopped,
  };
}

function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function push(heap: Timer[], timer: Timer): void {
  let at = heap.length;
  heap.push(timer);
  while (at > 0) {
    const parentAt = (at - 1) >> 1;
    const parent = heap[parentAt];
    if (parent === undefined || !before(timer, parent)) break;
    heap[at] = parent;
    at = parentAt;
  }
  heap[at] = timer;
}

function popFirst(heap: Timer[]): Timer | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (first === undefined || last === undefined || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    const child = smallerChild(heap, at);
    if (child === undefined || !before(child.timer, last)) break;
    heap[at] = child.timer;
    at = child.at;
  }
  heap[at] = last;
  return first;
}

function smallerChild(heap: readonly Timer[], at: number): { readonly at: number; readonly timer: Timer } | undefined {
  const left = heap[2 * at + 1];
  const right = heap[2 * at + 2];
  if (left === undefined) return undefined;
  if (right !== undefined && before(right, left)) return { at: 2 * at + 2, timer: right };
  return { at: 2 * at + 1, timer: left };
}
