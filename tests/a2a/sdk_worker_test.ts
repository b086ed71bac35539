/** The stock SDK with a real worker, which copies real files. Rule: nothing of ours speaks for the client. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { CancelTaskRequest, SendMessageRequest, StreamResponse, Task } from "@a2a-js/sdk";
import {
  ClientFactory,
  ClientFactoryOptions,
  createAuthenticatingFetchWithRetry,
  JsonRpcTransportFactory,
} from "@a2a-js/sdk/client";
import { assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles } from "../support/fill_tree.ts";
import { createMesh } from "../support/mesh_processes.ts";
import { MIRROR_OPTIONS } from "../support/mirror_engine.ts";
import { needs } from "../support/tools.ts";

// deno-lint-ignore no-explicit-any -- what a stranger's library makes of our JSON
type Json = any;

Deno.test({
  ...needs(
    "the stock client discovers a worker, has it back a folder up while it follows, and cancels another task",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using mesh = createMesh();
    const words = ["--name", "w1", "--coordinator", "http://127.0.0.1:9"];
    const worker = await mesh.startRole("worker", { words });
    const fetchImpl = createAuthenticatingFetchWithRetry(fetch, {
      headers: () => Promise.resolve({ authorization: `Bearer ${mesh.token}` }),
      shouldRetryWithHeaders: () => Promise.resolve(undefined),
    });
    const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
      transports: [new JsonRpcTransportFactory({ fetchImpl })],
    });
    const client = await new ClientFactory(options).createFromUrl(worker.url);
    assert.equal((await client.getAgentCard()).name, "w1");

    const [source, slow, one] = ["source", "slow", "one"].map((name) => `${mesh.folder}/${name}`);
    for (const folder of [source!, slow!]) mkdirSync(folder, { recursive: true });
    fillFiles(source!, 20, 10_000);
    fillFiles(slow!, 4, 100_000);
    const jobs = [source!, slow!].map((path, at) => ({
      runId: `run-of-the-sdk-${at}`,
      source: { path, name: path.split("/").at(-1)! },
      destination: {
        ...{ key: `${one}-${at}`, path: `${one}-${at}`, kind: "local", isNew: false },
        ...(at === 1 && { limitBytesPerSecond: 1_000 }),
      },
    }));
    const messageOf = (data: unknown, returnImmediately = false) =>
      SendMessageRequest.fromJSON({
        message: {
          messageId: crypto.randomUUID(),
          role: "ROLE_USER",
          parts: [{ data, mediaType: "application/json" }],
        },
        configuration: { returnImmediately },
      });
    const ask = async (data: unknown): Promise<Json> => {
      const task = Task.toJSON(await client.sendMessage(messageOf(data)) as Task) as Json;
      assert.equal(task.status.state, "TASK_STATE_COMPLETED", JSON.stringify(task));
      return task;
    };
    const mirrorOf = ({ runId, source, destination }: typeof jobs[number]) => ({
      ...{ op: "mirror", runId, taskId: `task of ${runId}`, epoch: 1, source },
      ...{ destinations: [destination.key], options: MIRROR_OPTIONS },
    });
    for (const { runId, source, destination } of jobs) {
      await ask({
        ...{ op: "prepare", runId, sources: [source] },
        ...{ destinations: [destination], options: MIRROR_OPTIONS },
      });
      await ask({ op: "scan", runId, source, options: MIRROR_OPTIONS });
    }

    const [copied, cancelled] = jobs as [typeof jobs[number], typeof jobs[number]];
    const events: Json[] = [];
    for await (const event of client.sendMessageStream(messageOf(mirrorOf(copied)))) {
      events.push(StreamResponse.toJSON(event));
    }
    const progress = events.flatMap((event) =>
      Object.values(event.statusUpdate?.metadata ?? {}).flatMap((own: Json) => own.progress ?? [])
    );
    assert.ok(progress.length > 0, "its progress was told");
    assert.equal(events.at(-1).statusUpdate.status.state, "TASK_STATE_COMPLETED");
    const report = events.find((event) => event.artifactUpdate)!.artifactUpdate.artifact;
    assert.equal(report.parts[0].data.lanes[0].state, "verified");
    await ask({ op: "finish", runId: copied.runId, destination: copied.destination.key });
    await ask({ op: "release", runId: copied.runId });
    await assertCopies(source!, [copied.destination.path]);

    const open = Task.toJSON(
      await client.sendMessage(messageOf(mirrorOf(cancelled), true)) as Task,
    ) as Json;
    const end = await client.cancelTask(CancelTaskRequest.fromJSON({ id: open.id }));
    assert.equal((Task.toJSON(end) as Json).status.state, "TASK_STATE_CANCELED");
    await ask({ op: "release", runId: cancelled.runId });
  },
});
