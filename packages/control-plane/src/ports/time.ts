// Units of time. Inside the house there is one: whole milliseconds.

/** A span of time in milliseconds. */
export type Ms = number;
/** A moment: whole milliseconds since 1970-01-01T00:00:00Z. */
export type EpochMs = number;
