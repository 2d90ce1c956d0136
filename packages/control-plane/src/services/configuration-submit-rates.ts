// Settings of the rate at which tenants submit.
// Owns:          from the settings to what the gateway is told.
// Must not know: how a rate is kept.

import type { SubmitRates } from "../jobs/submit-rate.ts";
import type { Reader } from "./configuration-reader.ts";
import { SETTINGS } from "./configuration-settings.ts";

export function readSubmitRates(reader: Reader): SubmitRates {
  const { submitRatePerSecond, submitRateBurst, submitRates } = SETTINGS.Limits;
  const perSecond = reader.read(submitRatePerSecond) ?? 0;
  const burst = reader.read(submitRateBurst) ?? perSecond * 2;
  return { preset: { perSecond, burst }, ofTenant: reader.read(submitRates) ?? new Map() };
}
