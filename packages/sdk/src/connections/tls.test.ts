// TLS with real certificates, on both ways.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type NatsServer, startNats } from "../../../control-plane/src/testing/nats-servers.ts";
import { freePort, type RedisServer, startRedis } from "../../../control-plane/src/testing/servers.ts";
import { notedLog } from "../testing/fleet.ts";
import { connect } from "./connect.ts";
import type { TlsFiles } from "./tls.ts";

let folder = "";
let nats: NatsServer;
let redis: RedisServer;
let redisTlsPort = 0;
const path = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "cordum-tls-"));
  certify("ca", []);
  for (const name of ["server", "client"]) certify(name, ["-CA", path("ca.pem"), "-CAkey", path("ca.key")]);
  nats = await startNats({
    args: [
      "--tls",
      "--tlsverify",
      "--tlscert",
      path("server.pem"),
      "--tlskey",
      path("server.key"),
      "--tlscacert",
      path("ca.pem"),
    ],
  });
  redisTlsPort = await freePort();
  const files = [
    "--tls-cert-file",
    path("server.pem"),
    "--tls-key-file",
    path("server.key"),
    "--tls-ca-cert-file",
    path("ca.pem"),
  ];
  redis = await startRedis({ args: ["--tls-port", String(redisTlsPort), ...files] });
});
afterAll(async () => {
  await nats?.stop();
  await redis?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function certify(name: string, by: readonly string[]): void {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path(`${name}.key`)];
  const names = path(`${name}.cnf`);
  const kind = name === "ca" ? "basicConstraints=critical,CA:true" : "subjectAltName=DNS:localhost";
  writeFileSync(
    names,
    `[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\nCN=${name}\n[ext]\n${kind}\n`,
  );
  const args = ["req", "-x509", "-days", "2", "-config", names, ...key, "-out", path(`${name}.pem`), ...by];
  const made = spawnSync("openssl", args, { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`These tests make certificates with openssl: ${made.error ?? made.stderr}`);
}

const opens = async (natsTls: TlsFiles, redisTls: TlsFiles) => {
  const target = {
    nats: { servers: `tls://localhost:${nats.port}`, tls: natsTls },
    redis: { url: `rediss://localhost:${redisTlsPort}`, tls: redisTls },
  };
  const connection = await connect(target, { log: notedLog(), connectTimeoutMs: 2_000 });
  await connection.storePayload("ctx:tls", Buffer.from("1"), 60_000);
  await connection.close();
};

describe("TLS", () => {
  const own = () => ({ caFile: path("ca.pem"), certFile: path("client.pem"), keyFile: path("client.key") });

  it("shows who we are, and knows who the server is", async () => {
    await opens(own(), own());
    await opens({ ...own(), serverName: "localhost" }, { ...own(), serverName: "localhost" });
  });

  it("refuses a server that nobody vouches for, or under another name", async () => {
    const { caFile: _unknown, ...withoutCa } = own();
    await expect(opens(withoutCa, own())).rejects.toThrow("NATS cannot be reached");
    await expect(opens(own(), withoutCa)).rejects.toThrow("Redis cannot be reached");
    await expect(opens({ ...own(), serverName: "elsewhere" }, own())).rejects.toThrow("NATS cannot be reached");
    await expect(opens(own(), { ...own(), serverName: "elsewhere" })).rejects.toThrow("Redis cannot be reached");
    await opens({ ...withoutCa, insecure: true }, { ...withoutCa, insecure: true });
  });

  it("is refused without a certificate where the server wants one", async () => {
    await expect(opens({ caFile: path("ca.pem") }, own())).rejects.toThrow("NATS cannot be reached");
    await expect(opens(own(), { caFile: path("ca.pem") })).rejects.toThrow("Redis cannot be reached");
  });
});
