// The recorded exchange of the original, as a test walks through it.
// Owns:          reading the file; the policy and the pools of the recording; the order of what happened.
// Must not know: what we make of it.

import { readFileSync } from "node:fs";

export interface Published {
  readonly at_ms: number;
  readonly subject: string;
  readonly hex: string;
  readonly packet: PacketJson;
}
/** Protobuf JSON with the names of the .proto files. */
export interface PacketJson {
  readonly trace_id?: string;
  readonly sender_id?: string;
  readonly created_at?: string;
  readonly job_request?: RequestJson;
  readonly job_result?: { readonly job_id: string } & Readonly<Record<string, unknown>>;
  readonly job_cancel?: { readonly job_id: string } & Readonly<Record<string, unknown>>;
}
export interface RequestJson {
  readonly job_id: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly dispatch?: unknown;
}
export interface Called {
  readonly at_ms: number;
  readonly request: string;
  readonly body: unknown;
  readonly status: number;
  readonly response: unknown;
}
export interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly bus: readonly Published[];
  readonly http: readonly Called[];
}
export type Happening =
  | { readonly kind: "packet"; readonly packet: Published }
  | { readonly kind: "call"; readonly call: Called };

const file = JSON.parse(readFileSync(new URL("../vectors/recorded.json", import.meta.url), "utf8")) as {
  readonly scenarios: readonly Scenario[];
};
export const SCENARIOS = file.scenarios;

/** Calls were noted when their answers came, a moment after what they caused. */
const ANSWER_MS = 5;

export function happeningsOf({ bus, http }: Scenario): readonly Happening[] {
  const all = [
    ...bus.map((packet) => ({ at: packet.at_ms, happening: { kind: "packet", packet } as const })),
    ...http.map((call) => ({ at: call.at_ms - ANSWER_MS, happening: { kind: "call", call } as const })),
  ];
  return all.toSorted((a, b) => a.at - b.at).map(({ happening }) => happening);
}

/** Rebuilt from the description of the recording and from its answers. */
export const RECORDED_POLICY = `version: "1"
default_tenant: default
rules:
  - { id: deny-secret-scan, match: { topics: [job.deny] }, decision: deny, reason: not allowed here }
  - { id: need-human, match: { topics: [job.approve] }, decision: require_approval, reason: a person must agree }
  - id: limit-it
    match: { topics: [job.limited] }
    decision: allow_with_constraints
    constraints:
      budgets: { max_runtime_ms: 60000, max_retries: 2, max_artifact_bytes: 1048576, max_concurrent_jobs: 3 }
      sandbox: { isolated: true, network_allowlist: [api.example.org], fs_read_only: [/usr], fs_read_write: [/scratch] }
      toolchain: { allowed_tools: [git], allowed_commands: [git status] }
      diff: { max_files: 5, max_lines: 100, deny_path_globs: ["**/.env"] }
      redaction_level: strict
  - { id: slow-down, match: { topics: [job.throttled] }, decision: throttle, reason: too many }
`;
const ECHO = ["approve", "cancelme", "deny", "each", "echo", "fail", "hang", "limited", "slow", "step.a", "step.b"];
export const RECORDED_POOLS = `topics:
  job.default: default
  job.noworker: empty
  job.throttled: echo
${ECHO.map((topic) => `  job.${topic}: echo\n`).join("")}`;
export const RECORDED_TIMEOUTS = "topics: { job.hang: { timeout_seconds: 4 } }\n";
