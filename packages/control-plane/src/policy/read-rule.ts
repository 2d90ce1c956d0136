// Reading one rule of a policy file.
// Owns:          the fields of a rule, its match, constraints and remediations (policy format of section 2).
// Must not know: YAML, the rest of the document, how a rule is matched.

import type { Constraints, Decision, Remediation } from "./decision.ts";
import { MATCH_ALL, type Match, MCP_FIELDS, type McpFieldLists, type McpLists, type Rule } from "./document.ts";
import { parseGlob } from "./glob.ts";
import type { Section } from "./section.ts";

/** All spellings; only exact lower case counts. */
const DECISIONS: ReadonlyMap<string, Decision["kind"]> = new Map([
  ["allow", "allow"],
  ["permit", "allow"],
  ["deny", "deny"],
  ["block", "deny"],
  ["require_approval", "require_approval"],
  ["require-approval", "require_approval"],
  ["require_human", "require_approval"],
  ["throttle", "throttle"],
  ["allow_with_constraints", "allow_with_constraints"],
  ["allow-with-constraints", "allow_with_constraints"],
]);

const INT32 = { min: 0, max: 2_147_483_647 };
const INT64 = { min: 0, max: Number.MAX_SAFE_INTEGER };
const RETRY_AFTER_MS = { min: 1_000, max: 3_600_000 };
/** Every topic that a job can have begins so. */
const TOPIC_PREFIX = "job.";

/** `strict`: a rule without decision is a fault instead of a warning. */
export function readRule(section: Section, strict: boolean): Rule {
  const match = section.section("match");
  const retryAfterMs = section.whole("retry_after_ms", RETRY_AFTER_MS);
  const constraints = readConstraints(section.section("constraints"));
  const rule: Rule = {
    id: section.text("id"),
    match: match === undefined ? MATCH_ALL : readMatch(match),
    decision: readDecision(section, strict),
    reason: section.text("reason"),
    ...(retryAfterMs > 0 && { retryAfterMs }),
    ...(constraints !== undefined && { constraints }),
    remediations: section.sections("remediations").map(readRemediation),
  };
  section.finish();
  warnAboutRule(section, rule);
  return rule;
}

function readDecision(section: Section, strict: boolean): Decision["kind"] {
  const { findings } = section;
  const decision = section.choice("decision", DECISIONS);
  if (section.has("decision")) return decision ?? "deny"; // a fault was reported, so nothing is decided by this value
  const path = section.pathOf("decision");
  if (strict) findings.fault(section.at, path, "a rule needs a decision when `strict` is set");
  else findings.warn("decision_missing", section.at, path, "a rule without decision allows what it matches");
  return "allow";
}

function warnAboutRule(section: Section, rule: Rule): void {
  const { findings } = section;
  if (rule.retryAfterMs !== undefined && rule.decision !== "throttle") {
    const path = section.pathOf("retry_after_ms");
    findings.warn(
      "no_effect",
      section.placeOf("retry_after_ms"),
      path,
      "only a rule that throttles uses retry_after_ms",
    );
  }
  const { mcp, mcpUsed, ...rest } = rule.match;
  const others = Object.values(rest).some((condition) => typeof condition === "boolean" || condition.length > 0);
  if (mcp !== undefined && mcpUsed === undefined && !others) {
    const reason = "a rule with only `mcp` also matches every request that is no MCP call; add `used: true`";
    findings.warn("rule_only_mcp", section.placeOf("match"), `${section.pathOf("match")}.mcp`, reason);
  }
}

function readMatch(section: Section): Match {
  const secretsPresent = section.flag("secrets_present");
  const mcpSection = section.section("mcp");
  const mcpUsed = mcpSection?.flag("used");
  const mcp = mcpSection && readMcpLists(mcpSection);
  const match: Match = {
    tenants: section.texts("tenants"),
    topics: readGlobs(section, "topics"),
    capabilities: section.texts("capabilities"),
    riskTags: section.texts("risk_tags"),
    requires: section.texts("requires"),
    packIds: section.texts("pack_ids"),
    actorIds: section.texts("actor_ids"),
    actorTypes: section.texts("actor_types"),
    labels: section.pairs("labels").map(([label, value]) => ({ label, value })),
    ...(secretsPresent !== undefined && { secretsPresent }),
    ...(mcpUsed !== undefined && { mcpUsed }),
    ...(mcp !== undefined && { mcp }),
  };
  section.finish();
  return match;
}

/** Trimmed patterns; a malformed one is a fault. */
export function readGlobs(section: Section, key: string): readonly string[] {
  const patterns: string[] = [];
  for (const { text, at, path } of section.placedTexts(key)) {
    const glob = parseGlob(text);
    if (glob.kind === "malformed") {
      section.findings.fault(at, path, `malformed pattern: ${glob.reason}`);
      continue;
    }
    patterns.push(glob.pattern);
    const reachable = glob.exact === undefined ? TOPIC_PREFIX.startsWith(glob.prefix) : false;
    if (!reachable && !glob.prefix.startsWith(TOPIC_PREFIX)) {
      section.findings.warn("topic_unreachable", at, path, `matches no job: every topic begins with ${TOPIC_PREFIX}`);
    } else if (/(^|\.)>$/.test(glob.pattern)) {
      section.findings.warn("topic_unreachable", at, path, "`>` is no wildcard here; use `*`, which spans dots");
    }
  }
  return patterns;
}

/** Undefined when all lists are empty. Ends the section. */
export function readMcpLists(section: Section): McpLists | undefined {
  const lists = (field: string): McpFieldLists => ({
    allow: section.texts(`allow_${field}`),
    deny: section.texts(`deny_${field}`),
  });
  const mcp: McpLists = {
    server: lists("servers"),
    tool: lists("tools"),
    resource: lists("resources"),
    action: lists("actions"),
  };
  section.finish();
  return MCP_FIELDS.some((field) => mcp[field].allow.length + mcp[field].deny.length > 0) ? mcp : undefined;
}

function readConstraints(section: Section | undefined): Constraints | undefined {
  if (section === undefined) return undefined;
  const budgets = readBudgets(section.section("budgets"));
  const sandbox = readSandbox(section.section("sandbox"));
  const toolchain = readToolchain(section.section("toolchain"));
  const diff = readDiff(section.section("diff"));
  const redactionLevel = section.text("redaction_level").trim();
  section.finish();
  const constraints: Constraints = {
    ...(isSet(budgets) && { budgets }),
    ...(isSet(sandbox) && { sandbox }),
    ...(isSet(toolchain) && { toolchain }),
    ...(isSet(diff) && { diff }),
    ...(redactionLevel !== "" && { redactionLevel }),
  };
  return isSet(constraints) ? constraints : undefined;
}

function isSet<T extends object>(part: T | undefined): part is T {
  return part !== undefined && Object.keys(part).length > 0;
}

function readBudgets(section: Section | undefined): Constraints["budgets"] {
  if (section === undefined) return undefined;
  const maxRuntimeMs = section.whole("max_runtime_ms", INT64);
  const maxRetries = section.whole("max_retries", INT32);
  const maxArtifactBytes = section.whole("max_artifact_bytes", INT64);
  const maxConcurrentJobs = section.whole("max_concurrent_jobs", INT32);
  section.finish();
  return {
    ...(maxRuntimeMs > 0 && { maxRuntimeMs }),
    ...(maxRetries > 0 && { maxRetries }),
    ...(maxArtifactBytes > 0 && { maxArtifactBytes }),
    ...(maxConcurrentJobs > 0 && { maxConcurrentJobs }),
  };
}

function readSandbox(section: Section | undefined): Constraints["sandbox"] {
  if (section === undefined) return undefined;
  const isolated = section.flag("isolated") === true;
  const networkAllowlist = section.texts("network_allowlist");
  const fsReadOnly = section.texts("fs_read_only");
  const fsReadWrite = section.texts("fs_read_write");
  section.finish();
  return {
    ...(isolated && { isolated }),
    ...(networkAllowlist.length > 0 && { networkAllowlist }),
    ...(fsReadOnly.length > 0 && { fsReadOnly }),
    ...(fsReadWrite.length > 0 && { fsReadWrite }),
  };
}

function readToolchain(section: Section | undefined): Constraints["toolchain"] {
  if (section === undefined) return undefined;
  const allowedTools = section.texts("allowed_tools");
  const allowedCommands = section.texts("allowed_commands");
  section.finish();
  return { ...(allowedTools.length > 0 && { allowedTools }), ...(allowedCommands.length > 0 && { allowedCommands }) };
}

function readDiff(section: Section | undefined): Constraints["diff"] {
  if (section === undefined) return undefined;
  const maxFiles = section.whole("max_files", INT32);
  const maxLines = section.whole("max_lines", INT32);
  const denyPathGlobs = section.texts("deny_path_globs");
  section.finish();
  return {
    ...(maxFiles > 0 && { maxFiles }),
    ...(maxLines > 0 && { maxLines }),
    ...(denyPathGlobs.length > 0 && { denyPathGlobs }),
  };
}

function readRemediation(section: Section): Remediation {
  const remediation: Remediation = {
    id: section.text("id"),
    title: section.text("title"),
    summary: section.text("summary"),
    replacementTopic: section.text("replacement_topic"),
    replacementCapability: section.text("replacement_capability"),
    addLabels: Object.fromEntries(section.pairs("add_labels")),
    removeLabels: section.texts("remove_labels"),
  };
  section.finish();
  return remediation;
}
