// Bytes that no HTTP client would send.
// Owns:          sending them and reading what comes back.
// Must not know: what they mean.

import { connect } from "node:net";

/** Sends raw bytes to the server at `url` and reads until it closes. */
export function raw(url: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.setEncoding("latin1").on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("close", () => resolve(answer)).on("error", reject);
  });
}
