// Real traffic: every recorded packet and gRPC message, read and written again.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { BusPacket, PolicyEvaluator, SafetyKernel } from "./gen/agent.ts";
import { ContextEngine, CordumApi, OutputPolicyService } from "./gen/control.ts";
import { jobRequestBytes } from "./job-request-bytes.ts";
import { decodeJobRequest, decodePacket, encodePacket, parsePacket } from "./packet.ts";
import { fromProtoJson } from "./wire/json-read.ts";
import { toProtoJson } from "./wire/json-write.ts";
import type { MessageType } from "./wire/schema.ts";
import type { UnaryMethod } from "./wire/unary.ts";
import { WireError } from "./wire/wire-error.ts";

interface Published {
  readonly subject: string;
  readonly hex: string;
  readonly packet: Record<string, unknown>;
}
interface Call {
  readonly name: string;
  readonly method: string;
  readonly code: string;
  readonly request_hex?: string;
  readonly request?: Record<string, unknown>;
  readonly response_hex?: string;
  readonly response?: Record<string, unknown>;
}
const file = JSON.parse(readFileSync(new URL("../../../test/vectors/recorded.json", import.meta.url), "utf8")) as {
  readonly scenarios: readonly { readonly name: string; readonly bus: readonly Published[] }[];
  readonly core_nats_success: { readonly bus: readonly Published[] };
  readonly grpc: { readonly calls: readonly Call[] };
};
const proto = { names: "proto" } as const;
const bytesOf = (hex: string): Buffer => Buffer.from(hex, "hex");

const published = [...file.scenarios, { name: "core", bus: file.core_nats_success.bus }].flatMap((scenario) =>
  scenario.bus.map((each, at) => [`${scenario.name} ${at} ${each.subject}`, each] as const),
);

describe("recorded packets", () => {
  it("has the whole set", () => expect(published.length).toBeGreaterThanOrEqual(132));

  it.each(published)("reads %s", (_, { hex, packet }) => {
    const parsed = parsePacket(bytesOf(hex));
    expect(parsed.kind).toBe("packet");
    if (parsed.kind !== "packet") return;
    expect(toProtoJson(BusPacket, parsed.packet, proto)).toEqual(packet);
    expect(decodePacket(encodePacket(parsed.packet))).toEqual(parsed.packet);
    expect(fromProtoJson(BusPacket, packet)).toEqual({ ...parsed.packet, unknownFields: undefined });
    const request = parsed.packet.payload?.kind === "jobRequest" ? parsed.packet.payload.value : undefined;
    const alone = jobRequestBytes(bytesOf(hex));
    expect(alone === undefined ? undefined : decodeJobRequest(alone)).toEqual(request);
  });
});

const services = [SafetyKernel, PolicyEvaluator, CordumApi, ContextEngine, OutputPolicyService];
const methods = new Map(
  services
    .flatMap((service) => Object.values(service))
    .map((method) => [method.path, method as unknown as UnaryMethod<object, object>]),
);

describe("recorded gRPC calls", () => {
  const known = file.grpc.calls.filter((call) => methods.has(call.method) && call.name !== "check-undecodable");
  it("knows every method but the one that does not exist", () => {
    expect(file.grpc.calls.filter((call) => !methods.has(call.method)).map((call) => call.code)).toEqual([
      "UNIMPLEMENTED",
    ]);
    expect(known.length).toBeGreaterThan(50);
  });

  it.each(known.map((call) => [call.name, call] as const))("reads %s", (_, call) => {
    const method = methods.get(call.method);
    if (method === undefined || call.request_hex === undefined) throw new Error("incomplete");
    const request = method.requestDeserialize(bytesOf(call.request_hex));
    expect(method.requestDeserialize(method.requestSerialize(request))).toEqual(request);
    expect(toProtoJson(method.requestType as MessageType<object>, request, proto)).toEqual(call.request);
    if (call.response_hex === undefined) return;
    const response = method.responseDeserialize(bytesOf(call.response_hex));
    expect(method.responseSerialize(response).toString("hex")).toBe(call.response_hex);
    expect(toProtoJson(method.responseType as MessageType<object>, response, proto)).toEqual(call.response);
  });

  it("refuses the undecodable request", () => {
    const call = file.grpc.calls.find((each) => each.name === "check-undecodable");
    expect(() => SafetyKernel.check.requestDeserialize(bytesOf(call?.request_hex ?? ""))).toThrow(WireError);
  });
});
