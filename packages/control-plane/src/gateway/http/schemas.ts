// Schemas that several resources share.
// Owns:          the shapes of problems and of the small building blocks of bodies.
// Must not know: routes.

import { type TSchema, Type } from "@fastify/type-provider-typebox";

/** A member that may be absent or null: older clients send null for what they do not set. */
export const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String(),
    code: Type.String({ description: "Stable; listed in docs/reference/problems.md." }),
    traceId: Type.String(),
    retryable: Type.Boolean(),
    errors: Type.Array(Type.Object({ field: Type.String(), reason: Type.String() })),
    error: Type.String({ description: "The text that clients of the original display." }),
  },
  { description: "RFC 9457, with our members." },
);

/** Answers that every route may give besides its own. */
export const problemResponses = {
  "4xx": { description: "The caller's fault.", content: { "application/problem+json": { schema: ProblemSchema } } },
  "5xx": { description: "Ours.", content: { "application/problem+json": { schema: ProblemSchema } } },
} as const;

export const TextMap = Type.Record(Type.String(), Type.String());
export const NextCursor = Type.Union([Type.Integer(), Type.Null()], {
  description: "Hand it back as `cursor`. The exact cursor is in the Link header; prefer that one.",
});

const limit = Type.Optional(Type.Integer({ minimum: 1, maximum: 500 }));
export const LimitQuery = Type.Object({ limit });
export const PageQuery = Type.Object({
  limit,
  cursor: Type.Optional(Type.String({ description: "From `next_cursor` or from the Link header of the page before." })),
});
