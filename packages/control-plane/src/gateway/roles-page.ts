// The reference page of roles: what each may do, and which right each route asks for.
// Owns:          its text.
// Must not know: single routes (they are handed in, as the API describes them).

import { isPermitted, PERMISSIONS, ROLES } from "./permissions.ts";

export interface DescribedRoute {
  readonly method: string;
  /** With {parameters}. */
  readonly path: string;
  readonly permission: string;
}

/** docs/reference/roles.md; a test keeps the two equal. */
export function rolesPage(routes: readonly DescribedRoute[]): string {
  const rights = PERMISSIONS.map((right) => {
    const marks = ROLES.map((role) => (isPermitted(role, right) ? "✓" : ""));
    return `| \`${right}\` | ${marks.join(" | ")} |`;
  });
  const rows = routes
    .toSorted((a, b) => (a.path === b.path ? (a.method < b.method ? -1 : 1) : a.path < b.path ? -1 : 1))
    .map(({ method, path, permission }) => `| ${method} \`${path}\` | ${permissionCell(permission)} |`);
  return [HEAD, ...rights, "", ROUTES_HEAD, ...rows, ""].join("\n");
}

function permissionCell(permission: string): string {
  return permission === "public" ? "none: no key is needed" : `\`${permission}\``;
}

const HEAD = `# Roles and rights

A key has one role or several; a route asks for one right. What this table does not grant is refused with 403 (\`FORBIDDEN\`). This page
is printed from the table that decides, and from the routes as they are served; a test keeps them equal.

| Right | ${ROLES.join(" | ")} |
|---|${ROLES.map(() => ":-:").join("|")}|`;

const ROUTES_HEAD = `## Routes

| Route | Right |
|---|---|`;
