/** Ctrl-C and its kin. Rule: the program ends within a second, says so, and the next run completes. */
import assert from "node:assert/strict";
import { assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles } from "../support/fill_tree.ts";
import { createScene, destinationOf, parseLines } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const CANCEL_MS_MAX = 1000;

for (
  const [signal, phase] of [
    ["SIGINT", "copy"],
    ["SIGINT", "verify"],
    ["SIGTERM", "copy"],
    ["SIGHUP", "copy"],
  ] as const
) {
  Deno.test({
    ...needs(
      `D14: ${signal} during ${phase} ends a throttled run within a second with exit code 130, and the next run completes`,
      "linux",
      ...STOCK_TOOLS,
    ),
    async fn() {
      await using scene = createScene();
      const { source, one, two } = scene;
      fillFiles(source, 150, 20_000);
      const limit = phase === "copy" ? "700kB" : "3MB";
      const words = ["source", "--to", one, "--to", two, "--limit", `${two}=${limit}`, "--json"];
      await using running = scene.startBackup(words);
      await running.saw(`"destination":"${two}","phase":"${phase}"`);
      await running.saw(`"message_type":"destination","destination":"${one}","state":"verified"`);
      const signalledAtMs = performance.now();
      running.kill(signal);
      const { code, out } = await running.outcome;
      const tookMs = performance.now() - signalledAtMs;
      assert.equal(code, 130, out);
      assert.ok(tookMs < CANCEL_MS_MAX, `${tookMs} ms`);

      const lines = parseLines(out);
      const summary = lines.find((line) => line.message_type === "summary")!;
      assert.equal(summary["state"], "cancelled");
      assert.equal(destinationOf(summary, two)["state"], "cancelled");
      // What was safe before stays safe, and is said to be.
      assert.equal(destinationOf(summary, one)["state"], "verified");
      const last = lines.findLast((line) =>
        line.message_type === "status" && line["destination"] === two
      )!;
      assert.equal(last["phase"], "cancelled");
      assert.deepEqual(last["current_files"], []);

      const again = await scene.backup(["source", "--to", one, "--to", two]);
      assert.equal(again.code, 0, again.out);
      await assertCopies(source, [one, two]);
    },
  });
}

Deno.test("SIGINT while waiting for a busy destination ends the wait with exit code 130", async () => {
  await using scene = createScene();
  fillFiles(scene.source, 60, 50_000);
  const words = ["source", "--to", scene.one, "--limit", "500kB", "--json"];
  await using first = scene.startBackup(words);
  await first.saw(`"destination":"${scene.one}","phase":"copy"`);
  await using second = scene.startBackup(["source", "--to", scene.one, "--wait", "60s", "--json"]);
  await second.saw(`"phase":"analyze"`);
  second.kill("SIGINT");
  const startedAtMs = performance.now();
  const { code } = await second.outcome;
  assert.equal(code, 130);
  assert.ok(performance.now() - startedAtMs < 2 * CANCEL_MS_MAX);
});

Deno.test("SIGINT during verify DEST ends it with exit code 130 and changes nothing", async () => {
  await using scene = createScene();
  fillFiles(scene.source, 2000, 20_000);
  assert.equal((await scene.backup(["source", "--to", scene.one])).code, 0);
  await using verifying = scene.start(["verify", scene.one, "--json"]);
  await verifying.saw(`"message_type":"status"`);
  verifying.kill("SIGINT");
  const { code, signal } = await verifying.outcome;
  assert.deepEqual({ code, signal }, { code: 130, signal: null });
  assert.equal((await scene.run(["verify", scene.one])).code, 0);
});
