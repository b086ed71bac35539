/** Cards both ways: what we serve is valid, and what others serve is parsed and never believed. */
import assert from "node:assert/strict";
import * as v from "valibot";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { sampleAgentFacts } from "../../tests/support/sample_agent_facts.ts";
import { AgentCard } from "../a2a/agent_card.ts";
import { fetchAgentCard } from "../a2a/client.ts";
import { BackupError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { createTaskAgentApp } from "../http/task_agent_app.ts";
import { factsOf } from "./card_facts.ts";
import { EXTENSION_URI } from "./task_over_a2a.ts";

const FACTS = sampleAgentFacts({ capabilities: ["backup.parallel", "mirror", "compress"] });
const { app } = createTaskAgentApp({
  card: { name: "Agent", version: "0.1.0", url: "http://agent.test/rpc", facts: FACTS },
  handler: () => Promise.resolve({ op: "release" }),
  clock: new ManualClock(),
  log: silentLog,
  token: "secret",
});

/** The card as it is served, with one thing changed. */
async function served(change: (card: Record<string, unknown>) => unknown = (card) => card) {
  const card = change(await (await app.request("/agent-card")).json());
  return await fetchAgentCard(() => Response.json(card), "http://agent.test/agent-card");
}

function withParams(change: Record<string, unknown>) {
  const extensions = [{ uri: EXTENSION_URI, params: { ...FACTS, ...change } }];
  return (card: Record<string, unknown>) => ({ ...card, capabilities: { extensions } });
}

Deno.test("D2: a card is valid JSON that the schema of cards takes without a word left over", async () => {
  const text = await (await app.request("/agent-card")).text();
  const parsed = v.parse(v.pipe(v.string(), v.parseJson(), AgentCard), text);
  assert.deepEqual(parsed, JSON.parse(text));
  assert.deepEqual(factsOf(parsed), FACTS);
  assert.deepEqual(parsed.skills.map(({ id }) => id), FACTS.capabilities);
  assert(!text.includes("secret"));
});

Deno.test("D2: a card that is none, or lacks what a card must have, is refused by the place", async () => {
  const bad: [change: (card: Record<string, unknown>) => unknown, where: RegExp][] = [
    [() => null, /card/],
    [() => [], /card/],
    [({ name: _, ...card }) => card, /name/],
    [(card) => ({ ...card, skills: [] }), /skills/],
    [(card) => ({ ...card, skills: [{ id: "mirror" }] }), /skills\.0/],
    [(card) => ({ ...card, supportedInterfaces: "http://a" }), /supportedInterfaces/],
  ];
  for (const [change, where] of bad) {
    await assert.rejects(served(change), (thrown) => {
      assert(thrown instanceof BackupError && thrown.code === "protocol");
      assert.match(thrown.message, where);
      return true;
    });
  }
});

Deno.test("D2: our part of a card is refused by the place that is wrong, and a lie about load is cut", async () => {
  const bad: [change: Record<string, unknown>, where: RegExp][] = [
    [{ agentId: "" }, /agentId/],
    [{ agentId: 7 }, /agentId/],
    [{ bootId: undefined }, /bootId/],
    [{ capabilities: "mirror" }, /capabilities/],
    [{ limits: { slots: 0 } }, /limits\.slots/],
    [{ load: { score: "idle", observedAtMs: 1 } }, /load\.score/],
    [{ state: "asleep" }, /state/],
  ];
  for (const [change, where] of bad) {
    const card = await served(withParams(change));
    assert.throws(() => factsOf(card), (thrown) => {
      return thrown instanceof BackupError && where.test(thrown.message);
    });
  }
  for (const [score, taken] of [[-5, 0], [7, 1]] as const) {
    const card = await served(withParams({ load: { score, observedAtMs: 1 } }));
    assert.equal(factsOf(card).load.score, taken);
  }
  const foreign = await served((card) => ({ ...card, capabilities: {} }));
  assert.throws(() => factsOf(foreign), /no backup agent/);
});
