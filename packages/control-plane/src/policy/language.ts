// The policy language: the text of a policy file to a document.
// Owns:          the top level of the format, tenants, and what is warned about across rules.
// Must not know: where the text comes from, how a request is judged.
// L1. Every fault of the file is reported at once, each with line, column, path and reason.
// L2. A file without a byte is no policy; a file without a document is a fault. "No policy" never passes a job.
// L3. What the original reads is read; what would make a rule silently inert or a limit silently ignored is a fault or a warning.

import type { PolicyDocument, TenantPolicy } from "./document.ts";
import { Findings, type PolicyWarning } from "./findings.ts";
import { fold } from "./fold.ts";
import { readGlobs, readMcpLists, readRule } from "./read-rule.ts";
import { Section } from "./section.ts";
import { parseYamlTree } from "./yaml-tree.ts";

export interface ParsedPolicy {
  /** "none": the text is empty, nothing is loaded. */
  readonly policy: PolicyDocument | "none";
  readonly warnings: readonly PolicyWarning[];
}

const DEFAULT_DECISIONS: ReadonlyMap<string, "allow" | "deny"> = new Map([
  ["allow", "allow"],
  ["deny", "deny"],
]);

/** Reads a policy file of at most 1 MiB. Throws POLICY_INVALID with one field per fault (field: path; reason begins with `line:column`). */
export function parsePolicy(text: string): ParsedPolicy {
  if (text === "") return { policy: "none", warnings: [] };
  const findings = new Findings();
  const tree = parseYamlTree(text, findings);
  if (tree !== undefined && tree.kind !== "map")
    findings.fault(tree.at, "", "a policy is a mapping with `rules` or `tenants`");
  const policy = tree?.kind === "map" ? readDocument(new Section(tree, "", findings)) : "none";
  findings.throwIfAny();
  return { policy, warnings: findings.warnings };
}

function readDocument(root: Section): PolicyDocument {
  const strict = root.flag("strict") === true;
  const defaultDecision = root.choice("default_decision", DEFAULT_DECISIONS);
  const ruleSections = root.sections("rules");
  const document: PolicyDocument = {
    version: root.text("version").trim(),
    defaultTenant: root.text("default_tenant").trim(),
    ...(defaultDecision !== undefined && { defaultDecision }),
    rules: ruleSections.map((section) => readRule(section, strict)),
    tenants: root.namedSections("tenants").map(({ name, section }) => readTenant(name, section, defaultDecision)),
  };
  reportUnknownKeys(root, strict);
  warnAboutRepeatedRules(ruleSections, document);
  warnAboutRepeatedTenants(root, document);
  return document;
}

// The original ignores unknown keys here. A misspelt `rules` would then be a policy that allows everything, hence the warning.
function reportUnknownKeys(root: Section, strict: boolean): void {
  for (const key of root.unknownKeys()) {
    const place = root.placeOf(key);
    if (strict) root.findings.fault(place, root.pathOf(key), "unknown key");
    else root.findings.warn("unknown_key", place, root.pathOf(key), "unknown key, ignored");
  }
}

function readTenant(name: string, section: Section, defaultDecision: "allow" | "deny" | undefined): TenantPolicy {
  const mcpSection = section.section("mcp");
  const mcp = mcpSection && readMcpLists(mcpSection);
  const maxConcurrentJobs = section.whole("max_concurrent_jobs", { min: 0, max: 2_147_483_647 });
  const tenant: TenantPolicy = {
    name,
    allowTopics: readGlobs(section, "allow_topics"),
    denyTopics: readGlobs(section, "deny_topics"),
    restrict: section.flag("restrict") === true,
    ...(maxConcurrentJobs > 0 && { maxConcurrentJobs }),
    ...(mcp !== undefined && { mcp }),
  };
  checkAllowTopics(section, tenant, defaultDecision);
  warnAboutUnenforced(section);
  section.finish();
  return tenant;
}

function checkAllowTopics(section: Section, tenant: TenantPolicy, defaultDecision: "allow" | "deny" | undefined): void {
  const place = section.placeOf("allow_topics");
  const path = section.pathOf("allow_topics");
  if (tenant.restrict && tenant.allowTopics.length === 0) {
    section.findings.fault(section.placeOf("restrict"), section.pathOf("restrict"), "`restrict` needs allow_topics");
  } else if (!tenant.restrict && tenant.allowTopics.length > 0 && defaultDecision !== "deny") {
    const reason = "other topics are allowed as well; set `restrict: true` to deny them";
    section.findings.warn("allow_topics_never_restrict", place, path, reason);
  }
}

function warnAboutUnenforced(section: Section): void {
  const unenforced = ["allowed_repo_hosts", "denied_repo_hosts"].filter((key) => section.texts(key).length > 0);
  for (const key of unenforced) {
    section.findings.warn("not_enforced", section.placeOf(key), section.pathOf(key), "read, but not enforced");
  }
}

function warnAboutRepeatedRules(sections: readonly Section[], document: PolicyDocument): void {
  const firstOf = new Map<string, Section>();
  for (const [index, section] of sections.entries()) {
    const id = document.rules[index]?.id ?? "";
    const first = firstOf.get(id);
    if (id === "") continue;
    if (first === undefined) firstOf.set(id, section);
    else {
      const reason = `the rule at line ${first.at.line} has the same id`;
      section.findings.warn("rule_id_repeated", section.placeOf("id"), section.pathOf("id"), reason);
    }
  }
}

function warnAboutRepeatedTenants(root: Section, document: PolicyDocument): void {
  const seen = new Map<string, string>();
  for (const { name } of document.tenants) {
    const folded = fold(name);
    const first = seen.get(folded);
    if (first === undefined) seen.set(folded, name);
    else {
      const reason = `"${first}" and "${name}" are one tenant, since case does not count; the lists of both apply`;
      root.findings.warn("tenant_repeated", root.placeOf("tenants"), "tenants", reason);
    }
  }
}
