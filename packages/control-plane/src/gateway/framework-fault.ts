// Errors of the HTTP framework, as faults of ours.
// Owns:          which of its errors means what to a caller.
// Must not know: how a fault is rendered.

import { Fault } from "../ports/fault.ts";
import type { BodyFailure } from "./whole-body.ts";

/** What the original says of a body that is not what a route takes: routes whose body may be left out say it otherwise. */
export function bodyComplaint(schema: unknown): "invalid json" | "invalid body" {
  const isOptional = typeof schema === "object" && schema !== null && Reflect.get(schema, "x-invalid") === "body";
  return isOptional ? "invalid body" : "invalid json";
}

/** `bodySchema`: of the route. The fault that `error` stands for; `error` itself when it is a Fault or nothing that the framework blames on the caller.
 *  The framework's classes are not part of its contract, its codes are. */
export function asFault(error: unknown, bodySchema: unknown): unknown {
  if (error instanceof Fault || !(error instanceof Error)) return error;
  const statusCode = Reflect.get(error, "statusCode");
  if (typeof statusCode !== "number" || statusCode < 400 || statusCode >= 500) return error;
  switch (Reflect.get(error, "code")) {
    case "FST_ERR_CTP_INVALID_JSON_BODY":
      return invalid(
        bodyComplaint(bodySchema),
        "body",
        "not a JSON document, or one with members that no document needs (__proto__)",
        error,
      );
    case "FST_ERR_BAD_URL":
      return invalid("the path is not a valid URL path", "path", "malformed percent-encoding", error);
    case "FST_ERR_MAX_PARAM_LENGTH":
      return new Fault("ROUTE_NOT_FOUND", "a part of the path is too long", { cause: error });
    default:
      return new Fault("INVALID_REQUEST", UNREADABLE, { cause: error });
  }
}

/** Why a body cannot be had. */
export function bodyFault(failure: BodyFailure): Fault {
  return failure === "too large"
    ? new Fault("BODY_TOO_LARGE", TOO_LARGE, { fields: [{ field: "body", reason: TOO_LARGE }] })
    : new Fault("INVALID_REQUEST", UNREADABLE);
}

const UNREADABLE = "the request could not be read";
const TOO_LARGE = "the request body is larger than this route accepts";

function invalid(detail: string, field: string, reason: string, cause: Error): Fault {
  return new Fault("INVALID_REQUEST", detail, { cause, fields: [{ field, reason }] });
}
