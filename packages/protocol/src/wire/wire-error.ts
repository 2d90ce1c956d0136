// The one error of the codec.
// Owns:          the reasons for which bytes, JSON or values are refused.
// Must not know: subjects, senders, what happens to a refused packet.

export type WireReason =
  | "truncated"
  | "bad_varint"
  | "bad_tag"
  | "bad_group"
  | "bad_utf8"
  | "too_deep"
  | "packet_too_large"
  | "string_too_long"
  | "too_many_entries"
  /** A value that a field cannot hold: while encoding, a programmer's error. */
  | "bad_value"
  | "bad_json";

/** Thrown by everything that decodes, encodes or converts; nothing else is, whatever the bytes. */
export class WireError extends Error {
  override readonly name = "WireError";
  readonly reason: WireReason;

  constructor(reason: WireReason, detail: string) {
    super(`${reason}: ${detail}`);
    this.reason = reason;
  }
}
