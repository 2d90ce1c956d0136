// Signing: whose packets a worker trusts, and how others can trust its own.
// Owns:          the keys, and what happens to packets that are not signed or signed by nobody we know.
// Must not know: what packets mean.
// Y1. A worker with a private key signs every packet it sends.
// Y2. `require`: only packets with a valid signature of a sender whose key is known. `if_present`: unsigned ones as well, but a
//     signature that is there must be valid. `off`: signatures are not looked at. Public keys without a word mean `require`.
// Y3. A sender without name or without known key never counts as verified.
// Y4. A sender may have several keys while it changes from one to the next: a signature by any of them is valid.
// Y5. A key that cannot be read is a TypeError at the start, never a silent "off".

import {
  BusPacket,
  encode,
  type Init,
  parseSigningKey,
  parseVerifyingKey,
  signPacket,
  type VerifyingKey,
  verifyPacket,
} from "@cordum/protocol";

export type VerifyMode = "off" | "if_present" | "require";

export interface SigningOptions {
  /** PEM, PKCS#8 or SEC 1, P-256. */
  readonly privateKey?: string;
  /** PEM (SPKI, P-256) by sender id, such as `cordum-scheduler` and `api-gateway`; several during a change of keys. */
  readonly publicKeys?: { readonly [senderId: string]: string | readonly string[] };
  readonly verify?: VerifyMode;
}

export interface Signing {
  readonly signs: boolean;
  /** Bytes of a packet, signed when there is a key. */
  seal(packet: Init<BusPacket>): Uint8Array;
  /** Why a packet is not accepted; undefined when it is. */
  refusal(bytes: Uint8Array, packet: BusPacket): string | undefined;
}

/** Throws TypeError for keys that cannot be read and for `verify` without keys. */
export function createSigning(options: SigningOptions = {}): Signing {
  const keys = new Map(
    Object.entries(options.publicKeys ?? {}).map(([senderId, pems]) => [senderId, readPublics(senderId, pems)]),
  );
  const mode = options.verify ?? (options.publicKeys === undefined ? "off" : "require");
  if (mode !== "off" && keys.size === 0) throw new TypeError(`signing.verify is ${mode}, but there are no publicKeys`);
  return {
    signs: options.privateKey !== undefined,
    seal: sealer(options.privateKey),
    refusal:
      mode === "off"
        ? () => undefined
        : (bytes, packet) => judge({ bytes, packet, keys, isRequired: mode === "require" }),
  };
}

interface Judged {
  readonly bytes: Uint8Array;
  readonly packet: BusPacket;
  readonly keys: ReadonlyMap<string, readonly VerifyingKey[]>;
  readonly isRequired: boolean;
}

function judge({ bytes, packet, keys, isRequired }: Judged): string | undefined {
  if (packet.signature.length === 0) return isRequired ? "signature missing" : undefined;
  const known = keys.get(packet.senderId);
  if (known === undefined) return "signed by an unknown sender";
  return known.some((key) => verifyPacket(bytes, key).kind === "verified") ? undefined : "signature invalid";
}

function sealer(privateKey: string | undefined): Signing["seal"] {
  if (privateKey === undefined) return (packet) => encode(BusPacket, packet);
  const parsed = parseSigningKey(privateKey);
  if (parsed.kind === "refused") throw new TypeError(`signing.privateKey: ${parsed.reason}`);
  return (packet) => signPacket(packet, parsed.key);
}

const KEYS_MAX = 8;

function readPublics(senderId: string, pems: string | readonly string[]): readonly VerifyingKey[] {
  const texts = typeof pems === "string" ? [pems] : pems;
  if (texts.length === 0 || texts.length > KEYS_MAX)
    throw new TypeError(`signing.publicKeys of ${senderId}: 1 to ${KEYS_MAX} keys are expected, got ${texts.length}`);
  return texts.map((pem) => readPublic(senderId, pem));
}

function readPublic(senderId: string, pem: string): VerifyingKey {
  const parsed = parseVerifyingKey(pem);
  if (parsed.kind === "refused") throw new TypeError(`signing.publicKeys of ${senderId}: ${parsed.reason}`);
  return parsed.key;
}
