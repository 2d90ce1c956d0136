import { describe, expect, it } from "vitest";
import { memoryPayloads } from "../adapters/memory/memory-payloads.ts";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { auditLayout } from "../audit/audit-entry.ts";
import { readAudit } from "../audit/read-audit.ts";
import {
  type ArtifactParts,
  artifactLayout,
  artifactPointer,
  DEFAULT_ARTIFACT_SETTINGS,
  listArtifacts,
  readArtifact,
  removeArtifact,
  type Upload,
  uploadArtifact,
} from "./use-artifacts.ts";

const NEVER = new AbortController().signal;
const HOUR_MS = 3_600_000;
const SETTINGS = { ...DEFAULT_ARTIFACT_SETTINGS, bytesMax: 1_000 };
const actor = { tenant: "acme", principal: "ann", role: "submitter", keyId: "k" };
const own = { tenant: "acme", bytesMax: 0 };

function open() {
  const clock = virtualClock();
  const layout = { indexes: artifactLayout(SETTINGS.keep), logs: auditLayout(1_000_000_000_000) };
  const state = memoryState({ partitions: 3, layout, clock });
  const payloads = memoryPayloads({ clock, bytesMax: 4_096 });
  const parts: ArtifactParts = { state, payloads, clock, settings: SETTINGS, storeTimeoutMs: 1_000 };
  const upload = (over: Partial<Upload> = {}) =>
    uploadArtifact(
      {
        tenant: "acme",
        actor,
        bytes: Buffer.from("hello"),
        contentType: "text/plain",
        retention: "standard",
        labels: { a: "b" },
        bytesMax: 0,
        idempotencyKey: "",
        ...over,
      },
      parts,
      NEVER,
    );
  return { clock, parts, upload };
}

describe("artifacts", () => {
  it("U1 lie where workers look for them, with their hash beside", async () => {
    const { parts, upload } = open();
    const artifact = await upload();
    expect(artifactPointer(artifact)).toBe(`redis://art:${artifact.id}`);
    expect(Buffer.from((await parts.payloads.get(`art:${artifact.id}`, NEVER)) ?? []).toString()).toBe("hello");
    const { artifact: read, bytes } = await readArtifact(artifact.id, own, parts, NEVER);
    expect(Buffer.from(bytes).toString()).toBe("hello");
    expect(read).toMatchObject({
      sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
      labels: { a: "b", tenant_id: "acme" },
      sizeBytes: 5,
      createdBy: "ann",
    });
  });

  it.each([
    ["short", 24],
    ["standard", 168],
    ["audit", 720],
  ] as const)("of class %s are gone after %d hours, from the store and from the list", async (retention, hours) => {
    const { clock, parts, upload } = open();
    const { id, expiresAt } = await upload({ retention });
    expect(expiresAt - clock.now()).toBe(hours * HOUR_MS);
    await clock.advance(hours * HOUR_MS - 1);
    expect((await readArtifact(id, own, parts, NEVER)).artifact.id).toBe(id);
    await clock.advance(1);
    await expect(readArtifact(id, own, parts, NEVER)).rejects.toMatchObject({ code: "ARTIFACT_NOT_FOUND" });
    expect((await listArtifacts({ tenant: "acme", limit: 10 }, parts, NEVER)).artifacts).toEqual([]);
  });

  it("U2 of another tenant are not there: not to read, not to list, not to remove", async () => {
    const { parts, upload } = open();
    const { id } = await upload();
    const other = { tenant: "other", bytesMax: 0 };
    await expect(readArtifact(id, other, parts, NEVER)).rejects.toMatchObject({ code: "ARTIFACT_NOT_FOUND" });
    expect((await listArtifacts({ tenant: "other", limit: 10 }, parts, NEVER)).artifacts).toEqual([]);
    await removeArtifact(id, { tenant: "other", actor }, parts, NEVER);
    expect((await readArtifact(id, own, parts, NEVER)).artifact.id).toBe(id);
  });

  it("are bounded by the server, by the caller, and not empty", async () => {
    const { parts, upload } = open();
    const { id } = await upload({ bytes: Buffer.alloc(1_000) });
    for (const over of [{ bytes: Buffer.alloc(1_001) }, { bytes: Buffer.alloc(11), bytesMax: 10 }])
      await expect(upload(over)).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
    await expect(upload({ bytes: Buffer.alloc(0) })).rejects.toMatchObject({ message: "content required" });
    await expect(upload({ bytes: Buffer.alloc(1_001), bytesMax: 5_000 })).rejects.toMatchObject({
      code: "PAYLOAD_TOO_LARGE",
    });
    const asked = readArtifact(id, { ...own, bytesMax: 999 }, parts, NEVER);
    await expect(asked).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  });

  it("U3 are not handed out when somebody has put other bytes in their place", async () => {
    const { parts, upload } = open();
    const { id } = await upload();
    await parts.payloads.put(`art:${id}`, Buffer.from("HELLO"), HOUR_MS, NEVER);
    await expect(readArtifact(id, own, parts, NEVER)).rejects.toMatchObject({ code: "ARTIFACT_DAMAGED" });
  });

  it("U4 are one under one idempotency key of one principal", async () => {
    const { parts, upload } = open();
    const first = await upload({ idempotencyKey: "x" });
    expect(await upload({ idempotencyKey: "x" })).toEqual(first);
    const [a, b] = await Promise.all([upload({ idempotencyKey: "y" }), upload({ idempotencyKey: "y" })]);
    expect(a.id).toBe(b.id);
    for (const over of [{ bytes: Buffer.from("bye") }, { retention: "audit" as const }, { labels: {} }])
      await expect(upload({ idempotencyKey: "x", ...over })).rejects.toMatchObject({ code: "IDEMPOTENCY_CONFLICT" });
    const { bytes } = await readArtifact(first.id, own, parts, NEVER);
    expect(Buffer.from(bytes).toString()).toBe("hello");
    const bob = await upload({ idempotencyKey: "x", actor: { ...actor, principal: "bob" } });
    expect(bob.id).not.toBe(first.id);
  });

  it("that are removed are gone at once; who uploaded and who removed is in the audit", async () => {
    const { parts, upload } = open();
    const { id, sha256 } = await upload();
    const ops = { ...actor, principal: "ops" };
    for (let times = 0; times < 2; times++) await removeArtifact(id, { tenant: "acme", actor: ops }, parts, NEVER);
    await expect(readArtifact(id, own, parts, NEVER)).rejects.toMatchObject({ code: "ARTIFACT_NOT_FOUND" });
    expect(await parts.payloads.get(`art:${id}`, NEVER)).toBeUndefined();
    const of = { kind: "artifact", id };
    expect(await readAudit(parts.state, { tenant: "acme", limit: 10 }, NEVER)).toMatchObject([
      { action: "artifact.upload", actor, of, facts: { sha256, sizeBytes: 5, retention: "standard" } },
      { action: "artifact.delete", actor: ops, of },
    ]);
  });

  it("are listed newest first, page by page", async () => {
    const { clock, parts, upload } = open();
    const made: string[] = [];
    for (let n = 0; n < 7; n++) {
      await clock.advance(10);
      made.unshift((await upload()).id);
    }
    const seen: string[] = [];
    let after: Awaited<ReturnType<typeof listArtifacts>>["next"];
    do {
      const page = await listArtifacts(
        { tenant: "acme", limit: 3, ...(after === undefined ? {} : { after }) },
        parts,
        NEVER,
      );
      seen.push(...page.artifacts.map(({ id }) => id));
      after = page.next;
    } while (after !== undefined);
    expect(seen).toEqual(made);
  });
});
