import assert from "node:assert/strict";
import fc from "fast-check";
import type { LaneState } from "../../protocol/mesh/progress.ts";
import { createLaneLedger, type LaneLedger } from "./lane_ledger.ts";
import { lane, laneReport, mirrorResult } from "./testing/fake_agent_suite.ts";

const KEYS = ["/mnt/a", "/mnt/b"] as const;
const STATES: readonly LaneState[] = ["copy", "verify", "verified", "failed", "cancelled"];

/** What happened, as the test knows it: which own words each (task, destination) got in its current attempt. */
type Step =
  | { kind: "heard"; task: number; key: string; state: LaneState }
  | { kind: "reported"; task: number; key: string; state: LaneState }
  | { kind: "broke"; task: number; mayRetry: boolean };

function word<K extends "heard" | "reported">(kind: K) {
  return fc.record({
    kind: fc.constant(kind),
    task: fc.nat(1),
    key: fc.constantFrom(...KEYS),
    state: fc.constantFrom(...STATES),
  });
}

const step: fc.Arbitrary<Step> = fc.oneof(
  word("heard" as const),
  word("reported" as const),
  fc.record({ kind: fc.constant("broke" as const), task: fc.nat(1), mayRetry: fc.boolean() }),
);

function apply(ledger: LaneLedger, s: Step): void {
  if (s.kind === "heard") ledger.heard(s.task, [lane(s.key, s.state)]);
  else if (s.kind === "reported") {
    const state = s.state === "copy" || s.state === "verify" ? "failed" : s.state;
    ledger.reported(s.task, mirrorResult(laneReport(s.key, state as "verified")));
  } else {
    const error = { code: "io", message: "x", retry: "later" as const };
    if (ledger.broke(s.task, error, s.mayRetry)) ledger.begin(s.task);
  }
}

Deno.test("D9: a lane is verified only by its own task's word about its own destination, whatever else is said", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const ledger = createLaneLedger(KEYS, 2);
    ledger.begin(0);
    ledger.begin(1);
    for (const s of steps) apply(ledger, s);
    for (const key of KEYS) {
      ledger.accounts(key).forEach((account, task) => {
        if (account.state !== "verified") return;
        const ownWord = steps.some((s) =>
          s.kind !== "broke" && s.task === task && s.key === key && s.state === "verified"
        );
        assert.ok(ownWord, `task ${task} at ${key} was paid by another`);
      });
    }
  }));
});

Deno.test("a destination once settled and closed is served by no later attempt and stays settled", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const ledger = createLaneLedger(KEYS, 2);
    ledger.begin(0);
    ledger.begin(1);
    const closed = new Set<string>();
    for (const s of steps) {
      apply(ledger, s);
      for (const key of KEYS) {
        if (ledger.isSettled(key) && !closed.has(key)) {
          ledger.close(key);
          closed.add(key);
        }
      }
      for (const key of closed) {
        assert.ok(ledger.isSettled(key));
        assert.ok(!ledger.begin(0).includes(key));
      }
    }
  }));
});

Deno.test("while others go on an end stands; when all lanes of a task have ended, it waits for the task's own word", () => {
  const ledger = createLaneLedger(KEYS, 1);
  ledger.begin(0);
  ledger.heard(0, [lane(KEYS[0], "failed"), lane(KEYS[1], "verified")]);
  assert.ok(!ledger.isSettled(KEYS[0]) && !ledger.isSettled(KEYS[1]));
  ledger.reported(
    0,
    mirrorResult(laneReport(KEYS[0], "verified"), laneReport(KEYS[1], "verified")),
  );
  assert.ok(ledger.isSettled(KEYS[0]));
  assert.equal(ledger.accounts(KEYS[0])[0]!.state, "failed");
});

Deno.test("a lane that was verified with the end of its task is looked at again when the task's report is lost", () => {
  const lost = { code: "io", message: "x", retry: "elsewhere" } as const;
  for (const mayRetry of [true, false]) {
    const ledger = createLaneLedger(KEYS, 1);
    ledger.begin(0);
    ledger.heard(0, [lane(KEYS[0], "verified"), lane(KEYS[1], "copy")]);
    ledger.heard(0, [lane(KEYS[0], "verified"), lane(KEYS[1], "verified")]);
    assert.equal(ledger.broke(0, lost, mayRetry), mayRetry);
    assert.deepEqual(KEYS.map((key) => ledger.isSettled(key)), [true, !mayRetry]);
    assert.deepEqual(ledger.begin(0), mayRetry ? [KEYS[1]] : []);
  }
});

Deno.test("lanes that an agent gives up one after the other are all given to the next attempt", () => {
  const ledger = createLaneLedger(KEYS, 1);
  ledger.begin(0);
  ledger.heard(0, [lane(KEYS[0], "cancelled"), lane(KEYS[1], "copy")]);
  assert.ok(!ledger.isSettled(KEYS[0]));
  assert.ok(ledger.broke(0, { code: "superseded", message: "x", retry: "elsewhere" }, true));
  assert.deepEqual(ledger.begin(0), [...KEYS]);
});
