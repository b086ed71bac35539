import assert from "node:assert/strict";
import fc from "fast-check";
import { applyChange } from "../../../protocol/mesh/apply_change.ts";
import {
  CONSOLE_COLLECTION_NAMES,
  type ConsoleChange,
  type ConsoleState,
} from "../../../protocol/mesh/console_state.ts";
import { EMPTY_CONSOLE_STATE } from "../../../tests/support/empty_console_state.ts";
import type { SocketMessage } from "../../socket_messages.ts";
import { EMPTY_FEED, type FeedState, polled, receive, reconnected } from "./feed_state.ts";

const emptyState = (): ConsoleState => structuredClone(EMPTY_CONSOLE_STATE);

/** Rows are told apart by a number; what else is in them does not matter to the feed. */
const changes: fc.Arbitrary<ConsoleChange> = fc.record({
  put: fc.dictionary(
    fc.constantFrom(...CONSOLE_COLLECTION_NAMES),
    fc.dictionary(fc.constantFrom("a", "b", "c"), fc.nat(9).map((n) => ({ n }))),
  ),
  gone: fc.dictionary(
    fc.constantFrom(...CONSOLE_COLLECTION_NAMES),
    fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 2 }),
  ),
}) as fc.Arbitrary<ConsoleChange>;

type Step =
  | { do: "change"; change: ConsoleChange; fate: "comes" | "lost" | "twice" | "late" }
  | { do: "resync" | "reconnect" | "away" };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("change" as const),
        change: changes,
        fate: fc.constantFrom("comes", "comes", "comes", "lost", "twice", "late" as const),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constantFrom("resync", "reconnect", "away" as const),
      }),
    },
  ),
  { maxLength: 40 },
);

Deno.test("whatever is lost, doubled or late, the page has the server's state at its number, or waits for a snapshot", () => {
  fc.assert(fc.property(steps, (all) => {
    let seq = 0;
    let server: ConsoleState | null = emptyState();
    const history = new Map<number, ConsoleState | null>([[0, server]]);
    let page: FeedState = receive(EMPTY_FEED, snapshot(server, seq));
    let late: SocketMessage[] = [];
    for (const step of all) {
      if (step.do === "change") {
        if (server === null) {
          seq++;
          server = emptyState();
          history.set(seq, server);
          page = receive(page, snapshot(server, seq));
        }
        seq++;
        server = applyChange(server, step.change);
        history.set(seq, server);
        const message: SocketMessage = { kind: "change", seq, atMs: seq, change: step.change };
        if (step.fate === "comes" || step.fate === "twice") page = receive(page, message);
        if (step.fate === "twice") page = receive(page, message);
        if (step.fate === "late") late.push(message);
        else {
          for (const old of late) page = receive(page, old);
          late = [];
        }
      } else if (step.do === "resync" && server !== null) {
        page = receive(page, snapshot(server, seq));
      } else if (step.do === "reconnect" && server !== null) {
        late = [];
        page = receive(reconnected(page), snapshot(server, seq));
      } else if (step.do === "away") {
        seq++;
        server = null;
        history.set(seq, null);
        page = receive(page, { kind: "away", seq, atMs: seq, reason: "gone" });
      }
      // What the page shows was true at its own number, always.
      if (page.state !== null) assert.deepEqual(page.state, history.get(page.seq!));
      // And it is true now, unless the page knows better.
      if (!page.needsSnapshot && late.length === 0 && page.seq === seq) {
        assert.deepEqual(page.state, server as unknown);
      }
    }
    const latest = server ?? emptyState();
    page = receive(page, snapshot(latest, seq));
    assert.deepEqual(page.state, latest as unknown);
  }));
});

Deno.test("a missing message is noticed with the next one, and nothing but a snapshot helps", () => {
  const change: ConsoleChange = { put: {}, gone: {} };
  let page = receive(EMPTY_FEED, snapshot(emptyState(), 5));
  page = receive(page, { kind: "change", seq: 7, atMs: 7, change });
  assert.equal(page.needsSnapshot, true);
  assert.equal(receive(page, { kind: "change", seq: 6, atMs: 6, change }), page);
  assert.equal(receive(page, { kind: "change", seq: 8, atMs: 8, change }), page);
  assert.equal(receive(page, snapshot(emptyState(), 8)).needsSnapshot, false);
});

Deno.test("after polling, messages of the socket count from a snapshot on", () => {
  const page = polled(EMPTY_FEED, emptyState(), 100);
  const change: ConsoleChange = { put: {}, gone: {} };
  assert.equal(receive(page, { kind: "change", seq: 1, atMs: 101, change }), page);
  assert.equal(receive(page, snapshot(emptyState(), 1)).needsSnapshot, false);
});

function snapshot(state: ConsoleState, seq: number): SocketMessage {
  return { kind: "snapshot", seq, atMs: seq, state };
}
