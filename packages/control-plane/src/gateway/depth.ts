// How deep a JSON value is nested, for bodies.
// Owns:          nothing: the measure is records/depth.ts.
// Must not know: why there is a limit.

export { isDeeperThan } from "../records/depth.ts";
