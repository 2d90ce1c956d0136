// How loops end.
// Owns:          the two moments of a stop.
// Must not know: what runs.

export interface StopSignals {
  /** Nothing new is begun; what is under way is finished. */
  readonly stopping: AbortSignal;
  /** What is still under way is given up. Fires after `stopping`. */
  readonly work: AbortSignal;
}
