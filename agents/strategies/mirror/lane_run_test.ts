import assert from "node:assert/strict";
import { settled } from "../../../tests/support/fake_threads.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { MIRROR_OPTIONS } from "../../../tests/support/mirror_engine.ts";
import { tableOfFiles } from "../../../tests/support/sample_table.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import type { Batch, DestinationQueue } from "../../queue/destination_queue.ts";
import type { FanOutReader } from "../../source/fan_out_reader.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import { STATUS_PUBLISHED, STATUS_STAGED, STATUS_VERIFIED, STATUS_WANTED } from "./entry_status.ts";
import { LaneRun } from "./lane_run.ts";
import { SourceProblems } from "./source_problems.ts";

const LOST = new BackupError("deadline", "It did not answer", { retry: "later" });
const NOTHING_MOVED = { published: 0, problems: [], warnings: [] };
const FILES = 3;

// deno-lint-ignore no-explicit-any -- the methods of a lane's thread, each with its own argument
type Answers = Record<string, (argument: any) => unknown>;

/** A lane run of three files whose thread and queue are the test's. */
class Scene {
  readonly clock = new ManualClock();
  readonly status = new SharedArrayBuffer(FILES + 1);
  readonly sourceProblems = new SourceProblems();
  readonly bytes = new Uint8Array(this.status);
  readonly calls: string[] = [];
  readonly run: LaneRun;
  control: ThreadClient;
  /** A row that is never read back. */
  forgotten: number | undefined;
  reads: () => Promise<unknown> = () => Promise.reject(LOST);
  /** What the queue does with files to copy and files to verify. */
  copyFiles: (rows: number[]) => Promise<void> = () => Promise.resolve();

  constructor() {
    this.control = this.thread("first", {});
    let work: Promise<void> = Promise.resolve();
    const queue = {
      addMany: (slot: number, rows: number[]) => {
        if (slot === 0) work = this.copyFiles([...rows]);
        else for (const row of rows) if (row !== this.forgotten) this.bytes[row] = STATUS_VERIFIED;
      },
      drained: () => work,
      progressed: () => {},
    };
    this.run = new LaneRun({
      destination: "to",
      share: {
        task: "task",
        name: "copy",
        bindingKey: "s1",
        sourcePath: "/s",
        runId: "run",
        stageName: "run-1",
        table: tableOfFiles([1, 1, 1]).freeze(),
        status: this.status,
        knownSha256: new SharedArrayBuffer(0),
      },
      filesTotal: FILES,
      bytesTotal: FILES,
      options: MIRROR_OPTIONS,
    }, {
      clock: this.clock,
      control: () => this.control,
      announce: () => Promise.resolve(),
      retract: () => Promise.resolve(),
      queue: queue as unknown as DestinationQueue<ThreadClient>,
      copySlot: 0,
      verifySlot: 1,
      reader: {
        files: () => this.reads(),
        open: () => this.reads(),
      } as unknown as FanOutReader,
      sourceProblems: this.sourceProblems,
      signal: new AbortController().signal,
      fatalError: () => undefined,
    });
  }

  thread(name: string, answers: Answers): ThreadClient & { isClosed: boolean } {
    const all: Answers = {
      compare: () => {
        this.bytes.fill(STATUS_WANTED, 1);
        return {
          warnings: [],
          problems: [],
          strangers: [],
          ownFiles: [],
          fileSystem: "ext4",
          keeps: { modes: true, owners: true },
          isFresh: true,
          filesUnchanged: 0,
          filesAdopted: 0,
        };
      },
      makeDirectories: () => ({ problems: [], warnings: [] }),
      publish: ({ rows }: { rows: Uint32Array }) => {
        for (const row of rows) this.bytes[row] = STATUS_PUBLISHED;
        return { ...NOTHING_MOVED, published: rows.length };
      },
      finishTask: () => ({ problems: [], warnings: [] }),
      ...answers,
    };
    const call = async (method: string, argument: unknown) => {
      this.calls.push(`${name}.${method}`);
      return await all[method]?.(argument);
    };
    return { isClosed: false, call, callFlush: call } as unknown as ThreadClient & {
      isClosed: boolean;
    };
  }

  /** Has the run's own method copy a batch, on a thread that stages whatever it is given. */
  async copyBatch(rows: number[], worker = this.stager()): Promise<void> {
    const batch: Batch = { slot: 0, rows, attempt: 1 };
    for (const { row, error } of await this.run.copy(worker, batch)) {
      this.run.copyFailed(row, error, 1);
    }
  }

  stager(): ThreadClient {
    return this.thread("worker", {
      writeFiles: ({ items }: { items: { row: number }[] }) => {
        for (const { row } of items) this.bytes[row] = STATUS_STAGED;
        return [];
      },
    });
  }

  /** Gives every file its byte. */
  readable(): void {
    this.reads = () =>
      Promise.resolve({
        value: [1, 2, 3].map((row) => ({ row, offset: 0, sizeBytes: 1 })),
        release: () => {},
      });
    this.copyFiles = (rows) => this.copyBatch(rows);
  }
}

async function ended(scene: Scene): Promise<LaneReport> {
  let report: LaneReport | undefined;
  void scene.run.run().then((one) => report = one);
  for (let k = 0; k < 100 && report === undefined; k++) {
    await settled();
    await scene.clock.advance(1000);
  }
  assert.ok(report !== undefined, "the lane run waits for something that never comes");
  return report;
}

Deno.test("a lane is verified when every file was copied and read back", async () => {
  const scene = new Scene();
  scene.readable();
  const report = await ended(scene);
  assert.deepEqual([report.state, report.filesCopied, report.failures], ["verified", 3, []]);
});

Deno.test("a file that was forgotten on the way is a failure by name, not verified", async () => {
  const scene = new Scene();
  scene.readable();
  // It is published, nobody reads it back, and nobody says so.
  scene.forgotten = 2;
  const report = await ended(scene);
  assert.equal(report.state, "failed");
  assert.deepEqual(report.failures.map(({ path, code }) => [path, code]), [
    ["copy/f000001", "internal"],
  ]);
});

Deno.test("what a control thread did not publish before it was given up its successor does", async () => {
  const scene = new Scene();
  scene.readable();
  const first = scene.thread("first", {
    publish: () => {
      scene.bytes[1] = STATUS_PUBLISHED;
      first.isClosed = true;
      throw LOST;
    },
  });
  scene.control = first;
  let published: number[] = [];
  const second = scene.thread("second", {
    publish: ({ rows }: { rows: Uint32Array }) => {
      published = [...rows];
      for (const row of rows) scene.bytes[row] = STATUS_PUBLISHED;
      return { ...NOTHING_MOVED, published: rows.length };
    },
  });
  void scene.clock.sleep(2000).then(() => scene.control = second);
  const report = await ended(scene);
  assert.deepEqual(published, [2, 3]);
  const at = scene.calls.indexOf("second.publish");
  assert.equal(scene.calls[at - 1], "second.addTask");
  assert.deepEqual([report.state, report.filesCopied], ["verified", 3]);
});

Deno.test("a control thread that nobody replaces fails its lane", async () => {
  const scene = new Scene();
  scene.readable();
  const first = scene.thread("first", {
    publish: () => {
      first.isClosed = true;
      throw LOST;
    },
  });
  scene.control = first;
  const report = await ended(scene);
  assert.deepEqual([report.state, report.error?.code], ["failed", "deadline"]);
});

Deno.test("a source that does not answer fails no destination", async () => {
  const scene = new Scene();
  scene.copyFiles = async (rows) => {
    const batch: Batch = { slot: 0, rows, attempt: 1 };
    await scene.run.copy(scene.stager(), batch).catch((error: BackupError) => {
      for (const row of rows) scene.run.copyFailed(row, error, 1);
    });
  };
  const report = await ended(scene);
  assert.deepEqual([report.state, report.failures], ["verified", []]);
  assert.deepEqual(scene.sourceProblems.named.map(({ code }) => code), Array(3).fill("deadline"));
});

Deno.test("a stale file of the source is no lost destination", async () => {
  const scene = new Scene();
  scene.reads = () =>
    Promise.resolve({
      value: [{
        row: 1,
        offset: 0,
        sizeBytes: 0,
        problem: { code: "destination_lost", message: "Stale file handle", retry: false },
      }],
      release: () => {},
    });
  const outcomes = await scene.run.copy(scene.stager(), { slot: 0, rows: [1], attempt: 1 });
  assert.deepEqual(outcomes.map(({ error }) => error.code), ["io"]);
});

Deno.test("a writer that fails while the next chunk is awaited leaves no rejection behind", async () => {
  const scene = new Scene();
  const unhandled: unknown[] = [];
  const note = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.push(event.reason);
  };
  addEventListener("unhandledrejection", note);
  const next = Promise.withResolvers<unknown>();
  scene.reads = () =>
    Promise.resolve({
      sizeBytes: 2,
      chunkCount: 2,
      chunk: (k: number) =>
        k === 0
          ? Promise.resolve({ value: { offset: 0, bytes: 1, isLast: false }, release: () => {} })
          : next.promise,
    });
  const worker = scene.thread("worker", { writeChunk: () => Promise.reject(LOST) });
  const copied = scene.run.copy(worker, { slot: 0, rows: [1], attempt: 2 });
  try {
    // A task of its own, after which the runtime looks for rejections that nobody handles.
    await settled();
    await Deno.stat(".");
    await Deno.stat(".");
    next.reject(LOST);
    assert.deepEqual((await copied).map(({ error }) => error.code), ["deadline"]);
    assert.deepEqual(unhandled, []);
  } finally {
    removeEventListener("unhandledrejection", note);
  }
});
