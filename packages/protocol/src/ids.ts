// Ids on the wire.
// Owns:          how long they may be.
// Must not know: whose they are, what they are looked up in.

/** Of ids of jobs, workers, senders and traces, in UTF-16 code units. The wire format sets no bound; who keeps ids by them needs one. */
export const ID_CHARS_MAX = 256;
