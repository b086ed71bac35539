/** The card as it changes: tags, dates, and what a reader asks again with. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { sampleAgentFacts } from "../../tests/support/sample_agent_facts.ts";
import { createCardEndpoint } from "./card_endpoint.ts";
import { taskAgentCard } from "./task_agent_card.ts";

function cardWith(score: number) {
  const facts = sampleAgentFacts({ load: { score, observedAtMs: 1 } });
  const about = { name: "Agent", version: "1", url: "http://127.0.0.1:8801/rpc", facts };
  return taskAgentCard(about, { hasToken: false, hasPush: false });
}

function endpoint() {
  const clock = new ManualClock();
  let card = cardWith(0);
  const get = createCardEndpoint(() => card, clock);
  return {
    clock,
    change: (score: number) => void (card = cardWith(score)),
    async ask(headers: Record<string, string> = {}) {
      const response = get(new Request("http://agent.test/agent-card", { headers }));
      return {
        status: response.status,
        body: await response.text(),
        etag: response.headers.get("etag")!,
        modified: response.headers.get("last-modified")!,
      };
    },
  };
}

Deno.test("the tag and date stay while the facts do, and change when they change", async () => {
  const { ask, change, clock } = endpoint();
  const first = await ask();
  await clock.advance(5_000);
  assert.deepEqual(await ask(), first);
  change(0);
  assert.deepEqual(await ask(), first);
  change(0.5);
  const second = await ask();
  assert.notEqual(second.etag, first.etag);
  assert(Date.parse(second.modified) > Date.parse(first.modified));
  assert.match(second.body, /"score":0\.5/);
});

Deno.test("a reader that has this version gets 304, and the new one after a change", async () => {
  const { ask, change } = endpoint();
  const { etag, modified } = await ask();
  for (
    const headers of [
      { "if-none-match": etag },
      { "if-none-match": `"other", W/${etag}` },
      { "if-none-match": "*" },
      { "if-modified-since": modified },
    ]
  ) assert.equal((await ask(headers)).status, 304, JSON.stringify(headers));
  for (
    const headers of [
      { "if-none-match": '"other"', "if-modified-since": modified },
      { "if-modified-since": "nonsense" },
    ]
  ) assert.equal((await ask(headers)).status, 200, JSON.stringify(headers));
  // Several versions within one second: none is taken for another.
  for (const score of [0.1, 0.2, 0.3]) {
    change(score);
    assert.equal((await ask({ "if-none-match": etag })).status, 200);
    assert.equal((await ask({ "if-modified-since": modified })).status, 200);
  }
});
