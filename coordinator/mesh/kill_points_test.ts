/** A coordinator killed before each of the things it stores, over every order in which two tasks can end. */
import assert from "node:assert/strict";
import { lane, laneReport, mirrorResult } from "../runs/testing/fake_agent_suite.ts";
import { jobOf } from "../runs/testing/harness_suite.ts";
import { LEASE_MS, Mesh, prepare, RUN } from "./testing/mesh_suite.ts";

const DESTINATIONS = ["/d", "/e"];
/** What the reports of before the kill say, and no later one does. */
const FILES = 7;

/** What an agent says of its task: the end of a lane while others go on, or at last its report. */
interface Word {
  source: string;
  says: "/d" | "/e" | "report";
}

const OTHERS = {
  code: "destination_missing",
  message: "Another run has it",
  retry: "no",
} as const;

/** False when the run was over before that. */
async function isKilledAt(words: readonly Word[], transactionsMax: number): Promise<boolean> {
  // What was said to be verified may be in another run's hands, or on another machine, a moment later.
  const taken = new Set<string>();
  const errorOf = (key: string) => taken.has(key) ? { error: OTHERS } : {};
  const m = new Mesh(undefined, { transactionsMax });
  for (const id of ["a", "b"]) {
    m.add(id, {
      prepare: (spec) => ({
        op: "prepare",
        destinations: prepare(spec).destinations
          .map((d) => ({ ...d, ...errorOf(d.destination) })),
      }),
      finish: ({ destination }) => ({ op: "finish", ...errorOf(destination) }),
    });
  }
  await m.start(jobOf(["x", "y"], DESTINATIONS));
  await say(m, words);
  const wasKilled = m.isKilled;
  m.isKilled = true;
  for (const { destination, state } of m.ends) if (state === "verified") taken.add(destination);
  const next = new Mesh(m);
  if (next.store.run(RUN)!.endedAtMs === null) {
    await next.start();
    await next.verifyAll();
  }
  const order = words.map(({ source, says }) => `${source} ${says}`).join(", ");
  const what = `${order}; killed after ${transactionsMax} transactions`;
  const { state, report } = next.store.run(RUN)!;
  assert.equal(state, "completed", `${what}: ${JSON.stringify(report?.destinations)}`);
  for (const task of next.store.tasks(RUN)) assert.equal(task.state, "succeeded", what);
  for (const { destination, lanes } of report!.destinations) {
    for (const { report } of lanes) {
      assert.deepEqual(report.warnings, [], what);
      if (taken.has(destination)) assert.equal(report.filesVerified, FILES, what);
    }
  }
  return wasKilled;
}

async function say(m: Mesh, words: readonly Word[]): Promise<void> {
  const ended = new Map<string, Set<string>>();
  for (const { source, says } of words) {
    if (m.isKilled) return;
    const call = [...m.agents.values()].flatMap(({ fake }) => fake.calls("mirror"))
      .findLast((c) => c.spec.source.name === source)!;
    const report = (key: string) => laneReport(key, "verified", { filesVerified: FILES });
    if (says === "report") {
      await call.succeed(mirrorResult(...DESTINATIONS.map(report)));
    } else {
      const known = ended.get(source) ?? new Set();
      ended.set(source, known.add(says));
      call.progress({
        seq: known.size,
        lanes: DESTINATIONS.map((key) => lane(key, known.has(key) ? "verified" : "copy")),
        verified: [...known].map(report),
      });
    }
    await m.settle();
  }
  await m.wait(LEASE_MS);
}

/** Every order of the words of both sources that keeps each one's own order. */
function* orders(a: readonly Word[], b: readonly Word[]): Generator<Word[]> {
  if (a.length === 0 || b.length === 0) return yield [...a, ...b];
  for (const rest of orders(a.slice(1), b)) yield [a[0]!, ...rest];
  for (const rest of orders(a, b.slice(1))) yield [b[0]!, ...rest];
}

Deno.test("D7: what was announced as verified stays so, and needs nobody, whenever the coordinator is killed", async () => {
  const x = (["/d", "/e", "report"] as const).map((says) => ({ source: "x", says }));
  const y = (["/e", "/d", "report"] as const).map((says) => ({ source: "y", says }));
  for (const words of orders(x, y)) {
    let transactions = 1;
    while (await isKilledAt(words, transactions)) transactions++;
  }
});
