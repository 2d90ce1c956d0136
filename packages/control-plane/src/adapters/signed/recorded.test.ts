// Packets that other SDKs signed, through the bus, as they were recorded.

import { readFileSync } from "node:fs";
import { decodePacket, epochMsOf, SUBJECTS } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { openSignedStage, type SignedStage } from "../../testing/signed-stage.ts";

interface Recorded {
  readonly name: string;
  /** Whose key it is judged by, whoever the packet says it is from. */
  readonly key: string;
  readonly packet_hex: string;
  readonly raw_bytes_verify?: boolean;
}
const file = JSON.parse(
  readFileSync(new URL("../../../../../test/vectors/signatures.json", import.meta.url), "utf8"),
) as {
  readonly keys: readonly { readonly sender_id: string; readonly public_spki_pem: string }[];
  readonly signed: readonly Recorded[];
  readonly tampered: readonly Recorded[];
  readonly unusual_but_valid: readonly Recorded[];
  readonly signed_by_sdk: readonly Recorded[];
};
const keyOf = (name: string): string => file.keys.find((key) => key.sender_id === name)?.public_spki_pem ?? "";
const SUBJECT_OF = new Map<string, string>([
  ["jobRequest", SUBJECTS.jobSubmit],
  ["jobResult", SUBJECTS.jobResult],
  ["jobProgress", SUBJECTS.jobProgress],
  ["jobCancel", SUBJECTS.jobCancel],
  ["heartbeat", SUBJECTS.heartbeat],
  ["handshake", SUBJECTS.handshake],
]);
const bytesOf = ({ packet_hex }: Recorded): Uint8Array => new Uint8Array(Buffer.from(packet_hex, "hex"));
const subjectOf = (recorded: Recorded): string | undefined =>
  SUBJECT_OF.get(decodePacket(bytesOf(recorded)).payload?.kind ?? "");
/** Of kinds that nobody but ourselves sends to us there are two: alerts and answers of the trust handshake. */
const heardByUs = (all: readonly Recorded[]) =>
  all.filter((recorded) => subjectOf(recorded) !== undefined).map((recorded) => [recorded.name, recorded] as const);

/** At the time of the packet. */
async function pass(recorded: Recorded): Promise<{ readonly isHeard: boolean; readonly stage: SignedStage }> {
  const { createdAt, senderId } = decodePacket(bytesOf(recorded));
  const trusted = { [senderId]: [keyOf(recorded.key)] };
  const at = createdAt === undefined ? undefined : epochMsOf(createdAt);
  const stage = openSignedStage({ verify: "require", trusted, ...(at === undefined ? {} : { startAt: at + 1_000 }) });
  return { isHeard: await stage.isHeard(subjectOf(recorded) ?? "", bytesOf(recorded)), stage };
}

describe("recorded packets", () => {
  const signed = heardByUs([...file.signed, ...file.unusual_but_valid]);
  it("are most of the vectors", () => {
    expect([file.signed.length, file.unusual_but_valid.length, signed.length]).toEqual([27, 2, 25]);
  });

  it.each(signed)("%s is heard", async (_, recorded) => {
    expect((await pass(recorded)).isHeard).toBe(true);
  });

  it.each(heardByUs(file.tampered))("%s is refused", async (name, recorded) => {
    const { isHeard, stage } = await pass(recorded);
    expect(isHeard).toBe(false);
    const reason = name === "signature-missing" ? "missing" : "invalid";
    expect([...stage.counts.keys()]).toEqual([`cordum_scheduler_signature_refused_total ${reason}`]);
  });

  it.each(heardByUs(file.signed_by_sdk))("%s of a real SDK is heard where its bytes verify", async (_, recorded) => {
    const { isHeard } = await pass(recorded);
    // Where they do not, the packet was signed in another order of its maps than it was sent in: nobody can tell what its sender signed.
    expect(isHeard || recorded.raw_bytes_verify === false).toBe(true);
  });
});
