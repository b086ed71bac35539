import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { checkNames } from "./check_names.ts";
import { jobOf } from "./testing/harness_suite.ts";

function jobAfter(after: Record<string, string[]>) {
  const job = jobOf(["a", "b", "c"], ["/d"]);
  const sources = job.sources.map((s) => ({
    ...s,
    ...(after[s.name] && { after: after[s.name]! }),
  }));
  return { ...job, sources };
}

Deno.test("an order of sources that can never come to an end is refused, one that can is taken", () => {
  checkNames(jobAfter({ b: ["a"], c: ["a", "b"] }));
  const isUsage = (pattern: RegExp) => (e: unknown) =>
    e instanceof BackupError && e.code === "usage" && pattern.test(e.message);
  assert.throws(() => checkNames(jobAfter({ a: ["a"] })), isUsage(/a, after a/));
  assert.throws(() => checkNames(jobAfter({ a: ["b"], b: ["c"], c: ["a"] })), isUsage(/circle/));
  assert.throws(() => checkNames(jobAfter({ a: ["x"] })), isUsage(/a waits for x/));
});

Deno.test("a chain of ten thousand sources is taken, and a circle of them refused, without a deep stack", () => {
  const names = Array.from({ length: 10_000 }, (_, i) => `s${i}`);
  const chain = names.map((name, i) => ({
    name,
    path: "/",
    ...(i > 0 && { after: [names[i - 1]!] }),
  })).reverse();
  const job = jobOf(["a"], ["/d"]);
  checkNames({ ...job, sources: chain });
  const circle = [...chain.slice(0, -1), { ...chain.at(-1)!, after: ["s9999"] }];
  assert.throws(
    () => checkNames({ ...job, sources: circle }),
    ({ message }: Error) => /circle/.test(message) && message.length < 500,
  );
});
