import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { silentLog } from "../../protocol/base/log.ts";
import type { TaskClient } from "../../protocol/mesh/task_port.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import type { AgentReach } from "../mesh/mesh_coordinator.ts";
import type { AgentView } from "../scheduler/view.ts";
import type { JobStore } from "../store/job_store.ts";
import { openMemoryStore } from "../store/open_store.ts";
import { createRestores, type Restores } from "./restores.ts";

const AGENT: AgentView = {
  ...{ agentId: "a", hostId: "h", load: 0, readiness: "ready", slots: 1 },
  capabilities: ["mirror", "backup.restore"],
};
const WANTED = { place: "p", target: "/back", paths: ["Photos"] };

/** A coordinator's restores, over one store; `again` is the next process. */
class Desk {
  readonly clock: ManualClock;
  readonly store: JobStore;
  readonly restores: Restores;
  agents: readonly AgentView[] = [AGENT];
  /** Which agents were asked to restore. */
  readonly asked: string[] = [];
  end!: (result: unknown) => void;
  fail!: (error: Error) => void;
  tell!: (progress: unknown) => void;

  constructor(before?: Desk) {
    this.clock = before?.clock ?? new ManualClock(1_000_000);
    this.store = before?.store ?? openMemoryStore(this.clock);
    const run: TaskClient["run"] = (_spec, { signal, onProgress } = {}) =>
      new Promise((resolve, reject) => {
        this.end = resolve as never;
        this.fail = reject;
        this.tell = (restore) => onProgress?.({ restore } as never);
        signal?.addEventListener("abort", () => reject(new BackupError("cancelled", "over")));
      }) as never;
    const reach = {
      views: () => this.agents,
      nameOf: (id: string) => id,
      tasks: (agentId: string) => {
        this.asked.push(agentId);
        return { run };
      },
    } as unknown as AgentReach;
    this.restores = createRestores({
      store: this.store,
      clock: this.clock,
      log: silentLog,
      reach: () => reach,
      places: { find: () => ({ path: "/mnt/nas", hostId: "h", label: "NAS" }) },
    });
    this.restores.recover();
  }

  again(): Desk {
    return new Desk(this);
  }
}

const PROGRESS = { filesDone: 3, filesTotal: 9, bytesDone: 30, bytesTotal: 90 };
const WELL = { files: 9, alreadyThere: 0, bytes: 90, kept: 0, failureCount: 0, failures: [] };

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

Deno.test("how a restore ended is known to the next process, with all that it did not restore", async () => {
  const desk = new Desk();
  const { restoreId } = desk.restores.start(WANTED);
  await settle();
  await desk.clock.advance(5_000);
  desk.end({ ...WELL, failureCount: 1, failures: [{ path: "x", message: "no room" }] });
  await settle();
  const [card] = desk.restores.cards();
  assert.deepEqual([card!.state, card!.endedAtMs], ["failed", 1_005_000]);
  const next = desk.again();
  assert.deepEqual(next.restores.cards(), [card]);
  assert.deepEqual(card!.failures, [{ path: "x", message: "no room" }]);
  assert.equal(next.restores.cancel(restoreId).state, "failed");
});

Deno.test("a restore that went on when its coordinator was killed is told as interrupted, as far as it had come", async () => {
  const desk = new Desk();
  desk.restores.start(WANTED);
  await settle();
  await desk.clock.advance(6_000);
  desk.tell(PROGRESS);
  const next = desk.again();
  const [card] = next.restores.cards();
  assert.equal(card!.state, "interrupted");
  assert.equal(card!.endedAtMs, 1_006_000);
  assert.equal(card!.filesDone, 3);
  assert.match(card!.error!, /start it again/);
  assert.deepEqual(next.again().restores.cards(), [card]);
});

Deno.test("a coordinator that is ended says so at once, and what its agent tells afterwards changes nothing", async () => {
  const desk = new Desk();
  desk.restores.start(WANTED);
  await settle();
  desk.restores.close();
  await settle();
  assert.equal(desk.store.documents("restore")[0]!.state, "interrupted");
  desk.tell(PROGRESS);
  await settle();
  assert.deepEqual(desk.restores.cards(), desk.store.documents("restore"));
});

Deno.test("a restore that was cancelled stays that, and of ended ones the last 50 are kept", async () => {
  const desk = new Desk();
  const { restoreId } = desk.restores.start(WANTED);
  await settle();
  desk.restores.cancel(restoreId);
  await settle();
  assert.equal(desk.again().restores.cards()[0]!.state, "cancelled");
  for (let k = 0; k < 50; k++) {
    desk.restores.start(WANTED);
    await settle();
    desk.end(WELL);
    await settle();
  }
  const kept = desk.again().restores.cards();
  assert.equal(kept.length, 50);
  assert.ok(kept.every(({ state }) => state === "completed"));
});

Deno.test("only an agent that offers it is given a restore, however idle another is", async () => {
  const desk = new Desk();
  const idle = { ...AGENT, agentId: "idle", capabilities: ["mirror", "backup.verify"] };
  desk.agents = [idle, { ...AGENT, load: 0.9 }];
  desk.restores.start(WANTED);
  await settle();
  assert.deepEqual(desk.asked, ["a"]);
  desk.agents = [idle];
  assert.throws(() => desk.restores.start(WANTED), /No agent of that machine offers restore/);
  desk.agents = [];
  assert.throws(() => desk.restores.start(WANTED), /No agent of that machine is there/);
  assert.deepEqual(desk.asked, ["a"]);
});
