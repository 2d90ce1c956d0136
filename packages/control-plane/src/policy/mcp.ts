// MCP calls: what a request says about itself, and lists of what is allowed.
// Owns:          which labels name an MCP call, and the check of the four pairs of lists.
// Must not know: where lists come from (a rule, a tenant, the effective config).
// M1. Per field, in the order server, tool, resource, action: deny list first, then allow list. An empty value is in no allow list.
// M2. A request that is no MCP call passes every check.

import { MCP_FIELDS, type McpField, type McpLists } from "./document.ts";
import { fold } from "./fold.ts";

export interface McpRequest {
  readonly used: boolean;
  /** Trimmed; the action in lower case. */
  readonly values: { readonly [field in McpField]: string };
  readonly folded: { readonly [field in McpField]: string };
}

/** Why the request fails, or undefined when it passes. */
export type McpCheck = (mcp: McpRequest) => string | undefined;

const LABELS: { readonly [field in McpField]: readonly string[] } = {
  server: ["mcp.server", "mcp_server", "mcpServer"],
  tool: ["mcp.tool", "mcp_tool", "mcpTool"],
  resource: ["mcp.resource", "mcp_resource", "mcpResource"],
  action: ["mcp.action", "mcp_action", "mcpAction"],
};

const NOTHING = { server: "", tool: "", resource: "", action: "" };
const NOT_USED: McpRequest = { used: false, values: NOTHING, folded: NOTHING };
/** A reason is stored with every decision; a label may be much longer. */
const SHOWN_CHARACTERS_MAX = 256;

export function mcpRequestOf(labels: { readonly [label: string]: string }): McpRequest {
  const server = firstNonBlank(labels, LABELS.server);
  const tool = firstNonBlank(labels, LABELS.tool);
  const resource = firstNonBlank(labels, LABELS.resource);
  const action = firstNonBlank(labels, LABELS.action).toLowerCase();
  if (server === "" && tool === "" && resource === "" && action === "") return NOT_USED;
  return {
    used: true,
    values: { server, tool, resource, action },
    folded: { server: fold(server), tool: fold(tool), resource: fold(resource), action: fold(action) },
  };
}

function firstNonBlank(labels: { readonly [label: string]: string }, names: readonly string[]): string {
  for (const name of names) {
    const value = Object.hasOwn(labels, name) ? labels[name]?.trim() : undefined;
    if (value !== undefined && value !== "") return value;
  }
  return "";
}

export function compileMcpCheck(lists: McpLists): McpCheck {
  const checks = MCP_FIELDS.map((field) => ({
    field,
    denied: new Set(lists[field].deny.map(fold)),
    allowed: new Set(lists[field].allow.map(fold)),
  })).filter(({ denied, allowed }) => denied.size + allowed.size > 0);
  return (mcp) => {
    if (!mcp.used) return undefined;
    for (const { field, denied, allowed } of checks) {
      const value = mcp.folded[field];
      if (value !== "" && denied.has(value)) return `mcp ${field} "${shown(mcp, field)}" denied`;
      if (allowed.size > 0 && (value === "" || !allowed.has(value))) {
        return `mcp ${field} "${shown(mcp, field)}" not allowed`;
      }
    }
    return undefined;
  };
}

function shown(mcp: McpRequest, field: McpField): string {
  return mcp.values[field].slice(0, SHOWN_CHARACTERS_MAX);
}
