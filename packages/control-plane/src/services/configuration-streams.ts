// Streams in the configuration.
// Owns:          what their settings become.
// Must not know: the environment.

import type { Ms } from "../ports/time.ts";
import { SETTINGS, type Setting } from "./configuration-settings.ts";

export interface StreamsConfig {
  readonly max: number;
  readonly ofKeyMax: number;
  readonly waitingMax: number;
  readonly pingMs: Ms;
  readonly pongMs: Ms;
}

export function readStreams(reader: { read<T>(setting: Setting<T>): T }): StreamsConfig {
  const { streamsMax, streamsOfKeyMax, streamWaitingMax, pingMs, pongMs } = SETTINGS.Limits;
  return {
    max: reader.read(streamsMax),
    ofKeyMax: reader.read(streamsOfKeyMax),
    waitingMax: reader.read(streamWaitingMax),
    pingMs: reader.read(pingMs),
    pongMs: reader.read(pongMs),
  };
}
