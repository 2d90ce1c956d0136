// What the original published, published again by us: the same bytes arrive, under the same message ids.
import { encodePacket } from "@cordum/protocol";
import { headers } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import recorded from "../../../../../test/vectors/recorded.json" with { type: "json" };
import { never } from "../../conformance/bus-conformance.ts";
import { type NatsServer, startNats } from "../../testing/nats-servers.ts";
import { natsStage } from "../../testing/nats-stage.ts";
import { messageId } from "./message-id.ts";
import { DURABLE_SUBJECTS } from "./subjects.ts";

interface Packet {
  readonly subject: string;
  readonly hex: string;
  readonly id: string | undefined;
}
const packets: readonly Packet[] = recorded.scenarios.flatMap((scenario) =>
  scenario.bus.map((packet) => {
    const sent: { readonly "Nats-Msg-Id"?: string } = ("headers" in packet ? packet.headers : undefined) ?? {};
    return { subject: packet.subject, hex: packet.hex, id: sent["Nats-Msg-Id"] };
  }),
);
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

describe("messageId", () => {
  it("is the recording's wherever the original set one", () => {
    const withId = packets.filter(({ id }) => id !== undefined);
    expect(withId.length).toBeGreaterThan(70);
    for (const { subject, hex, id } of withId) expect(messageId(subject, bytesOf(hex))).toBe(id);
  });

  const request = (jobId: string, labels: Record<string, string> = {}): Uint8Array =>
    encodePacket({ payload: { kind: "jobRequest", value: { jobId, labels } } });

  it("takes the label before the job id, and then names the subject", () => {
    const id = (bytes: Uint8Array): string | undefined => messageId("sys.job.submit", bytes);
    expect(id(request("j1"))).toBe("jobreq:j1");
    expect(id(request("j1", { "cordum.bus_msg_id": " m7 " }))).toBe("jobreq:sys.job.submit:m7");
    expect(id(request("j1", { "cordum.bus_msg_id": "  " }))).toBe("jobreq:j1");
    expect(id(encodePacket({ payload: { kind: "jobResult", value: { jobId: "j2" } } }))).toBe("sys.job.submit:j2");
  });

  it("tells the results of one job's attempts apart, where they name their dispatch", () => {
    const result = (dispatchId: string) =>
      encodePacket({ payload: { kind: "jobResult", value: { jobId: "j", dispatch: { dispatchId } } } });
    const ids = ["a", "b", "a"].map((dispatchId) => messageId("sys.job.result", result(dispatchId)));
    expect(ids).toEqual(["sys.job.result:j:a", "sys.job.result:j:b", "sys.job.result:j:a"]);
  });

  it("is none for what has no id, cannot be read, or would not come through a header unchanged", () => {
    const hostile = ["", "a\r\nX: y", "a b", " a", "ä", "x".repeat(2_000), "\u0000"];
    for (const jobId of hostile) expect(messageId("s", request(jobId)), JSON.stringify(jobId)).toBeUndefined();
    expect(messageId("s", request("j", { "cordum.bus_msg_id": "a\nb" }))).toBeUndefined();
    expect(messageId("s", new Uint8Array([255, 255, 255]))).toBeUndefined();
    expect(messageId("s", new Uint8Array(0))).toBeUndefined();
  });
});

describe("the recording on a server", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNats({ jetstream: true });
  });
  afterAll(() => server.stop());

  it("arrives byte for byte, with the recording's ids, and each job's submit once", async () => {
    await using stage = natsStage(server.url, { mode: "jetstream" });
    const [bus, tap] = [await stage.open(), await stage.raw()];
    const wire: Packet[] = [];
    const heard = (subject: string): boolean => /^(sys|job|worker)\./.test(subject);
    tap.subscribe(">", {
      callback: (_, message) => {
        if (!heard(message.subject)) return;
        const id = message.headers?.get("Nats-Msg-Id");
        wire.push({
          subject: message.subject,
          hex: Buffer.from(message.data).toString("hex"),
          id: id === "" ? undefined : id,
        });
      },
    });
    await tap.flush();
    for (const { subject, hex } of packets) await bus.publish(subject, bytesOf(hex), never);
    await expect.poll(() => wire.length).toBe(packets.length);
    for (const [n, packet] of packets.entries()) {
      // Only durable subjects have ids now: no stream stores dispatches. A worker's result has none on its way, and gets one from us.
      const isDurable = DURABLE_SUBJECTS.includes(packet.subject);
      const id = isDurable ? (packet.id ?? messageId(packet.subject, bytesOf(packet.hex))) : undefined;
      expect(wire[n]).toEqual({ subject: packet.subject, hex: packet.hex, id });
    }
  });

  it("is received through the durable consumer unchanged, duplicates of two minutes left out", async () => {
    await using stage = natsStage(server.url, { mode: "jetstream" });
    const bus = await stage.open();
    const submits = packets.filter(({ subject }) => subject === "sys.job.submit");
    const got: string[] = [];
    await bus.subscribe(
      { subject: "sys.job.submit", group: "recorded", keep: true, inFlightMax: 16 },
      async (bytes) => {
        got.push(Buffer.from(bytes).toString("hex"));
        return { kind: "ack" };
      },
    );
    const firsts = [...new Map(submits.map(({ id, hex }) => [id, hex])).keys()];
    await expect.poll(() => got.length).toBe(firsts.length);
    for (const { subject, hex } of submits) await bus.publish(subject, bytesOf(hex), never);
    const raw = await stage.raw();
    const foreign = headers();
    foreign.set("Nats-Msg-Id", submits[0]?.id ?? "");
    raw.publish("sys.job.submit", bytesOf(submits[0]?.hex ?? ""), { headers: foreign }); // a member of the original's fleet
    await raw.flush();
    await bus.publish("sys.job.submit", new Uint8Array([1]), never);
    await expect.poll(() => got.at(-1)).toBe("01");
    expect(got.length).toBe(firsts.length + 1);
    expect(got.slice(0, -1).every((hex) => submits.some((submit) => submit.hex === hex))).toBe(true);
  });
});
