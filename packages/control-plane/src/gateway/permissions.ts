// Who may do what.
// Owns:          roles, permissions, and the one table that joins them.
// Must not know: routes (each names its permission), keys, tenants.
// M1. What the table does not grant is denied. M2. Every permission is held by at least one role (a test says so).
// M3. `public` is a permission too: a route that needs no key says so, it cannot forget to say anything.

export const ROLES = ["admin", "operator", "approver", "submitter", "viewer", "worker"] as const;
export type Role = (typeof ROLES)[number];

const PEOPLE = ["admin", "operator", "approver", "submitter", "viewer"] as const satisfies readonly Role[];
const OPERATORS = ["admin", "operator"] as const satisfies readonly Role[];

const GRANTS = {
  "status.read": ROLES,
  "jobs.read": PEOPLE,
  "jobs.write": ["admin", "operator", "submitter"],
  "jobs.cancel": OPERATORS,
  "jobs.remediate": OPERATORS,
  "approvals.read": ["admin", "operator", "approver", "viewer"],
  "approvals.answer": ["admin", "operator", "approver"],
  "dlq.read": ["admin", "operator", "viewer"],
  "dlq.write": OPERATORS,
  "workers.read": ["admin", "operator", "viewer"],
  "workers.drain": OPERATORS,
  "workers.revoke": OPERATORS,
  "stream.read": OPERATORS,
  "workers.connect": ["admin", "worker"],
  "locks.read": ROLES,
  "locks.write": ["admin", "operator", "submitter", "worker"],
  "locks.break": OPERATORS,
  "config.read": PEOPLE,
  "config.effective": PEOPLE,
  "config.write": ["admin"],
  "config.system": ["admin"],
  "schemas.read": ROLES,
  "schemas.write": ["admin"],
  "artifacts.read": ROLES,
  "artifacts.write": ["admin", "operator", "submitter", "worker"],
  "artifacts.delete": OPERATORS,
  "memory.read": OPERATORS,
  "keys.read": ["admin"],
  "keys.write": ["admin"],
} as const satisfies { readonly [permission: string]: readonly Role[] };

export type Permission = keyof typeof GRANTS;
export const PERMISSIONS: readonly Permission[] = Object.keys(GRANTS).filter(isPermission);

const HOLDERS: ReadonlyMap<Permission, ReadonlySet<Role>> = new Map(
  PERMISSIONS.map((permission) => [permission, new Set<Role>(GRANTS[permission])]),
);

export function isPermitted(role: Role, permission: Permission): boolean {
  return HOLDERS.get(permission)?.has(role) ?? false;
}

/** Whether one of the roles holds it. */
export function mayDo(roles: readonly Role[], permission: Permission): boolean {
  for (const role of roles) if (isPermitted(role, permission)) return true;
  return false;
}

/** Whether whoever has `roles` holds every right of the role `name`. */
export function mayGive(roles: readonly Role[], name: string): boolean {
  const role = ROLES.find((each) => each === name);
  return role !== undefined && PERMISSIONS.every((right) => !isPermitted(role, right) || mayDo(roles, right));
}

/** Other names that keys of older installations carry. */
const ALIASES: ReadonlyMap<string, Role> = new Map([
  ["secops", "operator"],
  ["user", "submitter"],
]);

/** The role that a name stands for, whatever its case; undefined for names that nobody knows. */
export function parseRole(name: string): Role | undefined {
  const lower = name.trim().toLowerCase();
  return ROLES.find((role) => role === lower) ?? ALIASES.get(lower);
}

function isPermission(name: string): name is Permission {
  return Object.hasOwn(GRANTS, name);
}
