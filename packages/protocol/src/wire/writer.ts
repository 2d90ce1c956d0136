// Writes the primitive values of the protobuf wire format, from the last byte to the first: so the length of a nested message is known
// when it is due, with one pass and no copying.
// Owns:          the buffer, and its growth.
// Must not know: messages, fields.

import { WireError } from "./wire-error.ts";

const START_BYTES = 4096;
/** A larger buffer is not kept for the next message. */
const KEPT_BYTES_MAX = 1 << 20;

export class Writer {
  private bytes = Buffer.allocUnsafe(START_BYTES);
  /** Where the written part begins. */
  private at = START_BYTES;

  /** Bytes written so far; take the difference to learn the length of a part. */
  get written(): number {
    return this.bytes.length - this.at;
  }

  /** Forgets everything written. Also the way back after an error half-way. */
  reset(): void {
    if (this.bytes.length > KEPT_BYTES_MAX) this.bytes = Buffer.allocUnsafe(START_BYTES);
    this.at = this.bytes.length;
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    const taken = Buffer.allocUnsafe(this.written);
    this.bytes.copy(taken, 0, this.at);
    return taken;
  }

  /** Tags and lengths: 0 to 2^32 - 1. */
  varint32(value: number): void {
    this.room(5);
    const size = value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
    this.at -= size;
    let { at } = this;
    let rest = value;
    for (; rest >= 0x80; rest = rest >>> 7) this.bytes[at++] = (rest & 0x7f) | 0x80;
    this.bytes[at] = rest;
  }

  /** Negative values are sign-extended to ten bytes. */
  int32(value: unknown): void {
    if (typeof value !== "number" || (value | 0) !== value) throw badValue("a 32-bit integer", value);
    if (value >= 0) this.varint32(value);
    else this.varint64(value >>> 0, 0xffff_ffff);
  }

  int64(value: unknown): void {
    if (typeof value === "number" && Number.isSafeInteger(value)) {
      this.varint64(value >>> 0, Math.floor(value / 0x1_0000_0000) >>> 0);
    } else if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) this.bigint(value);
    else throw badValue("a 64-bit integer", value);
  }

  uint64(value: unknown): void {
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) {
      this.varint64(value >>> 0, Math.floor(value / 0x1_0000_0000));
    } else if (typeof value === "bigint" && BigInt.asUintN(64, value) === value) this.bigint(value);
    else throw badValue("an unsigned 64-bit integer", value);
  }

  bool(value: unknown): void {
    if (typeof value !== "boolean") throw badValue("a boolean", value);
    this.varint32(value ? 1 : 0);
  }

  float(value: unknown): void {
    if (typeof value !== "number") throw badValue("a number", value);
    this.room(4);
    this.at -= 4;
    this.bytes.writeFloatLE(value, this.at);
  }

  double(value: unknown): void {
    if (typeof value !== "number") throw badValue("a number", value);
    this.room(8);
    this.at -= 8;
    this.bytes.writeDoubleLE(value, this.at);
  }

  /** The bytes alone. */
  raw(value: Uint8Array): void {
    this.room(value.length);
    this.at -= value.length;
    this.bytes.set(value, this.at);
  }

  /** The bytes with their length. */
  blob(value: unknown): void {
    if (!(value instanceof Uint8Array)) throw badValue("bytes", value);
    this.raw(value);
    this.varint32(value.length);
  }

  /** The text with its length. Half a surrogate pair becomes U+FFFD, as in every JSON-to-UTF-8 path. */
  string(value: unknown): void {
    if (typeof value !== "string") throw badValue("a string", value);
    const { length } = value;
    if (length <= SHORT && this.ascii(value)) {
      this.varint32(length);
      return;
    }
    const size = Buffer.byteLength(value);
    this.room(size);
    this.at -= size;
    this.bytes.write(value, this.at, size, "utf8");
    this.varint32(size);
  }

  private ascii(value: string): boolean {
    this.room(SHORT);
    const { bytes } = this;
    let { at } = this;
    for (let index = value.length - 1; index >= 0; index--) {
      const code = value.charCodeAt(index);
      if (code >= 0x80) return false;
      bytes[--at] = code;
    }
    this.at = at;
    return true;
  }

  private bigint(value: bigint): void {
    this.varint64(Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(32, value >> 32n)));
  }

  private varint64(low: number, high: number): void {
    this.room(10);
    let size = 1;
    for (let l = low, h = high; h !== 0 || l >= 0x80; size++) {
      l = ((l >>> 7) | (h << 25)) >>> 0;
      h >>>= 7;
    }
    this.at -= size;
    let { at } = this;
    for (; high !== 0 || low >= 0x80; high >>>= 7) {
      this.bytes[at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
    }
    this.bytes[at] = low;
  }

  private room(count: number): void {
    if (this.at >= count) return;
    const { written } = this;
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, written + count));
    this.bytes.copy(grown, grown.length - written, this.at);
    this.bytes = grown;
    this.at = grown.length - written;
  }
}

// Below this length a loop over the characters is faster than two calls into the runtime.
const SHORT = 32;

function badValue(expected: string, value: unknown): WireError {
  return new WireError(
    "bad_value",
    `expected ${expected}, got ${typeof value === "object" ? "an object" : String(value)}`,
  );
}
