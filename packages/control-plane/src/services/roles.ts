// What a process of the control plane can be.
// Owns:          the names of the roles.
// Must not know: how a role is filled (node.ts).

export const ROLES = ["gateway", "scheduler"] as const;
export type Role = (typeof ROLES)[number];
export const ALL_ROLES: ReadonlySet<Role> = new Set(ROLES);
