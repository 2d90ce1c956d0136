// Shapes of API keys over HTTP.
// Owns:          what is asked for a key, and how one is shown.
// Must not know: what the members mean (keys/managed-key.ts).

import { Type } from "@fastify/type-provider-typebox";
import { ROLES } from "../permissions.ts";
import { maybe, PageQuery } from "./schemas.ts";

const when = (says: string) => Type.String({ description: `${says} RFC 3339.` });

export const KeySchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  tenants: Type.Array(Type.String(), { description: "The first is meant when a request names none." }),
  all_tenants: Type.Boolean(),
  roles: Type.Array(Type.String()),
  principal_id: Type.String({ description: "Who acts when the key is used." }),
  acts_for_others: Type.Boolean({ description: "May say in X-Principal-Id in whose name it calls." }),
  state: Type.Union([Type.Literal("active"), Type.Literal("expired"), Type.Literal("revoked")]),
  created_at: when("When it was made."),
  created_by: Type.String({ description: "Principal." }),
  expires_at: Type.Optional(when("Absent: never.")),
  last_used_at: Type.Optional(when("To the minute. Absent: not yet.")),
  revoked_at: Type.Optional(when("When it was revoked.")),
  secrets: Type.Array(
    Type.Object({
      created_at: when("When it was made."),
      valid_until: Type.Optional(when("Absent: as long as the key.")),
    }),
    {
      description: "Valid ones, newest first: two during the grace of a rotation.",
    },
  ),
});
export const MadeKeySchema = Type.Intersect([
  KeySchema,
  Type.Object({ secret: Type.String({ description: "The key itself. Shown this once." }) }),
]);
export const WishSchema = Type.Object({
  name: Type.String({ description: "1 to 128 characters." }),
  roles: Type.Array(Type.String(), { description: `Of ${ROLES.join(", ")}.` }),
  tenants: maybe(Type.Array(Type.String(), { description: "Absent: the tenant that the request works for." })),
  all_tenants: maybe(Type.Boolean()),
  principal_id: maybe(Type.String({ description: "Absent: `key:` and the id." })),
  acts_for_others: maybe(Type.Boolean()),
  expires_at: maybe(Type.String({ description: "RFC 3339. Absent: never." })),
});
export const RotateSchema = Type.Object({
  grace_seconds: Type.Integer({
    description: "How long the secret before stays valid; 0 ends it at once. At most 30 days.",
  }),
  reason: maybe(Type.String()),
});
export const RevokeSchema = Type.Object({ reason: maybe(Type.String()) });
export const KeyListQuery = Type.Object({
  ...PageQuery.properties,
  state: Type.Optional(Type.String({ description: "`active` (default) or `ended`: revoked and expired ones." })),
});
