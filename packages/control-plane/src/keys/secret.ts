// The secret of a managed key: how it is made, written and checked.
// Owns:          the form, the checksum, the hash that is kept.
// Must not know: what a key may do, where it lies.
// T1. `cordum_` + id (11) + random part (43) + checksum (6), all of them 0-9 A-Z a-z: one word that a double click takes as a whole and that
//     scanners for leaked secrets find and tell from chance: /cordum_[0-9A-Za-z]{60}/, and the last six are the CRC-32 of what stands before.
// T2. The id is no secret: it finds the record, so that a guess costs no search, and both secrets of a key lie in one record.
// T3. Only the SHA-256 is kept. The random part has 256 bits, so nobody tries them all and a slow hash would protect nothing; it would only
//     let strangers burn our CPU. (Passwords are another matter: people choose them.)

import { hash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Clock } from "../ports/clock.ts";

const PREFIX = "cordum_";
const ID_CHARS = 11;
const RANDOM_CHARS = 43;
const CHECK_CHARS = 6;
const ID_BYTES = 8;
const RANDOM_BYTES = 32;
const SECRET_CHARS = PREFIX.length + ID_CHARS + RANDOM_CHARS + CHECK_CHARS;
const SECRET_FORM = /^cordum_[0-9A-Za-z]{60}$/;
const ID_FORM = /^[0-9A-Za-z]{11}$/;
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

export function newKeyId(clock: Pick<Clock, "id">): string {
  return inBase62(Buffer.from(clock.id(ID_BYTES), "base64url"), ID_CHARS);
}

/** The id that belongs to `cause`: the same cause, the same id. */
export function keyIdFor(cause: string): string {
  return inBase62(Buffer.from(hash("sha256", cause, "hex").slice(0, ID_BYTES * 2), "hex"), ID_CHARS);
}

export function isKeyId(text: string): boolean {
  return ID_FORM.test(text);
}

/** A new secret of the key. It is shown to whoever asked for it and kept nowhere. */
export function newSecret(keyId: string, clock: Pick<Clock, "id">): string {
  const head = `${PREFIX}${keyId}${inBase62(Buffer.from(clock.id(RANDOM_BYTES), "base64url"), RANDOM_CHARS)}`;
  return `${head}${checksumOf(head)}`;
}

/** The key that `presented` says it is a secret of; undefined when it cannot be one of ours. On the way of every request: length and prefix
 *  alone. What follows is judged by its hash, or by hasSecretForm before State is asked. */
export function keyIdOfSecret(presented: string): string | undefined {
  return presented.length === SECRET_CHARS && presented.startsWith(PREFIX)
    ? presented.slice(PREFIX.length, PREFIX.length + ID_CHARS)
    : undefined;
}

/** Whether alphabet and checksum fit: a secret that was mistyped or cut is not looked for. */
export function hasSecretForm(secret: string): boolean {
  return SECRET_FORM.test(secret) && secret.slice(-CHECK_CHARS) === checksumOf(secret.slice(0, -CHECK_CHARS));
}

/** Lower-case hex SHA-256. */
export function hashSecret(secret: string): string {
  return hash("sha256", secret, "hex");
}

function checksumOf(head: string): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(head));
  return inBase62(bytes, CHECK_CHARS);
}

/** Padded with zeros; `chars` is enough for all values of so many bytes. */
function inBase62(bytes: Uint8Array, chars: number): string {
  let rest = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  let text = "";
  for (let at = 0; at < chars; at++) {
    text = (DIGITS[Number(rest % 62n)] ?? "") + text;
    rest /= 62n;
  }
  return text;
}
