// The bytes of a message.
// Owns:          what handlers get instead of the socket's own buffers.
// Must not know: what is in them.

import type { Msg } from "@nats-io/transport-node";

/** A plain view, one per message: the client hands out Node's Buffers, whose `slice` and `toString` mean something else. */
export function bytesOf({ data }: Msg): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
