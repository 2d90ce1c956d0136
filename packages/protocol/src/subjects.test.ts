// Subjects: what may stand in one, and what a pattern covers.

import { describe, expect, it } from "vitest";
import { directCancelSubject, directSubject, isTopic, matchesSubject, workerIdForm } from "./subjects.ts";

describe("directSubject", () => {
  it.each([
    ["worker-1", "plain", "worker.worker-1.jobs"],
    ["a_B-9", "plain", "worker.a_B-9.jobs"],
    ["host.example.org", "dotted", "worker.host.example.org.jobs"],
    ["x".repeat(65), "dotted", `worker.${"x".repeat(65)}.jobs`],
  ])("takes %s as it is", (id, form, subject) => {
    expect(workerIdForm(id)).toBe(form);
    expect(directSubject(id)).toBe(subject);
  });

  it.each(["", " ", "a b", "*", ">", "a.*", "a..b", ".a", "a.", "ключ", "a\n", "~x", "x".repeat(256)])(
    "replaces %j by a hash",
    (id) => {
      expect(workerIdForm(id)).toBe("unsafe");
      expect(directSubject(id)).toMatch(/^worker\.~[0-9a-f]{32}\.jobs$/);
      expect(directCancelSubject(id)).toMatch(/^worker\.~[0-9a-f]{32}\.cancel$/);
      expect(workerIdForm(directSubject(id).split(".")[1] ?? "")).toBe("unsafe"); // so no worker can call itself that
    },
  );

  it("tells different unsafe ids apart, always in the same way", () => {
    expect(directSubject("a b")).not.toBe(directSubject("a  b"));
    expect(directSubject("a b")).toBe(directSubject("a b"));
  });
});

describe("isTopic", () => {
  it.each(["job.echo", "job.repo.scan", "job.a-b_c", "job.9", "job.cordum.approval-gate", `job.${"x".repeat(252)}`])(
    "accepts %s",
    (topic) => {
      expect(isTopic(topic)).toBe(true);
    },
  );

  const refused = [
    "",
    "job",
    "job.",
    "job..a",
    "job.a.",
    "jobs.a",
    "Job.a",
    "job.*",
    "job.>",
    "job.a b",
    "job.-a",
    "job.a_",
    "job.ü",
    "xjob.a",
  ];
  it.each([...refused, "job.a\n", `job.${"x".repeat(253)}`])("refuses %j", (topic) => {
    expect(isTopic(topic)).toBe(false);
  });

  it("answers at once for hostile text", () => {
    expect(isTopic(`job.${"a_".repeat(125)}`)).toBe(false);
    expect(isTopic(`job.${"a_".repeat(5_000_000)}`)).toBe(false);
  });
});

describe("matchesSubject", () => {
  it.each([
    ["sys.job.submit", "sys.job.submit", true],
    ["sys.job.>", "sys.job.submit", true],
    ["sys.job.>", "sys.job.a.b", true],
    ["sys.job.>", "sys.job", false],
    ["worker.*.jobs", "worker.w1.jobs", true],
    ["worker.*.jobs", "worker.a.b.jobs", false],
    ["*", "a", true],
    ["*", "a.b", false],
    [">", "a.b", true],
    ["job.*", "job", false],
    ["job.a", "job.a.b", false],
    ["job.a.b", "job.a", false],
    ["a.>.c", "a.b.c", false],
    ["job.echo", "job.Echo", false],
  ])("%s covers %s: %s", (pattern, subject, covered) => {
    expect(matchesSubject(pattern, subject)).toBe(covered);
  });
});
