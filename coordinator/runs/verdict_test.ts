/** Every combination of what can happen to two sources and two destinations has its state and its exit code. */
import assert from "node:assert/strict";
import { type DestinationOutcome, type SourceOutcome, verdict } from "./verdict.ts";

const SOURCES: readonly SourceOutcome[] = ["read", "partly_unreadable", "unreadable"];
const V: DestinationOutcome = { state: "verified" };
const F: DestinationOutcome = { state: "failed" };
const C: DestinationOutcome = { state: "cancelled" };
const missing: DestinationOutcome = { state: "failed", errorCode: "destination_missing" };
const changed: DestinationOutcome = { state: "failed", errorCode: "destination_changed" };
const busy: DestinationOutcome = { state: "failed", errorCode: "destination_busy" };
const locked: DestinationOutcome = { state: "failed", errorCode: "wrong_key" };
const P: DestinationOutcome = { state: "planned" };

const TABLE: readonly [string, SourceOutcome[], DestinationOutcome[], string, number][] = [
  ["everything is verified", ["read"], [V, V], "completed", 0],
  ["a dry run planned everything", ["read"], [P, P], "completed", 0],
  ["a file of a source was unreadable", ["read", "partly_unreadable"], [V], "partial", 3],
  ["one of two sources was unreadable", ["read", "unreadable"], [V], "partial", 3],
  ["a dry run met an unreadable source", ["read", "unreadable"], [P], "partial", 3],
  ["the only source was unreadable", ["unreadable"], [F], "failed", 1],
  ["no destination is verified", ["read"], [F, F], "failed", 1],
  ["one of two destinations failed", ["read"], [V, F], "partial", 4],
  ["a destination failed and a source was unreadable", ["partly_unreadable"], [V, F], "partial", 4],
  ["a destination was missing and the other is verified", ["read"], [V, missing], "partial", 10],
  ["a destination was another one than before", ["read"], [changed], "failed", 10],
  ["a destination was busy and the other is verified", ["read"], [V, busy], "partial", 11],
  ["one was busy and one was missing", ["read"], [busy, missing], "failed", 10],
  ["one was busy and one failed", ["read"], [busy, F], "failed", 11],
  ["a key was wrong and one was missing", ["read"], [locked, missing], "failed", 12],
  ["it was cancelled, and one was missing", ["read"], [C, missing], "cancelled", 130],
  ["it was cancelled when one was verified", ["read"], [V, C], "cancelled", 130],
];

for (const [title, sources, destinations, state, exitCode] of TABLE) {
  Deno.test(`verdict: ${title} → ${state}, ${exitCode}`, () => {
    assert.deepEqual(verdict({ sources, destinations }), { state, exitCode });
  });
}

Deno.test("verdict: over all combinations, precedence is 130, 12, 10, 11, 1, 4, 3, 0 and completed means 0", () => {
  const all = [V, F, C, missing, changed, busy, locked, P];
  let seen = 0;
  for (const s1 of SOURCES) {
    for (const s2 of SOURCES) {
      for (const d1 of all) {
        for (const d2 of all) {
          seen++;
          const { state, exitCode } = verdict({ sources: [s1, s2], destinations: [d1, d2] });
          const both = [d1, d2];
          const good = both.filter((d) => d === V || d === P).length;
          const expected = both.includes(C)
            ? 130
            : both.includes(locked)
            ? 12
            : both.includes(missing) || both.includes(changed)
            ? 10
            : both.includes(busy)
            ? 11
            : good === 0 || (s1 === "unreadable" && s2 === "unreadable")
            ? 1
            : good === 1
            ? 4
            : s1 !== "read" || s2 !== "read"
            ? 3
            : 0;
          assert.equal(exitCode, expected);
          assert.equal(state === "completed", exitCode === 0);
          assert.equal(state === "cancelled", exitCode === 130);
          if (state === "failed") assert.ok([1, 10, 11, 12].includes(exitCode));
          if (state === "partial") assert.ok(good > 0 && [3, 4, 10, 11, 12].includes(exitCode));
        }
      }
    }
  }
  assert.equal(seen, 9 * 64);
});
