import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { inScratch } from "../../tests/support/small_tree.ts";
import type { Command } from "./command.ts";
import { fakeSignals, fakeSurroundings, fakeTerminal } from "./fake_world.ts";
import { runProgram } from "./program.ts";
import { END_WITHIN_MS, type RoleInstance, runRole } from "./role_process.ts";

const OPTIONS = [
  "port",
  "host",
  "root",
  "destRoot",
  "publicUrl",
  "tokenFile",
  "tlsCert",
  "tlsKey",
  "tlsClientCa",
  "insecure",
  "logDir",
  "json",
  "quiet",
  "verbose",
  "stateDir",
] as const;

/** A role of the program, asked to end once it serves. */
async function play(folder: string, instance: Pick<RoleInstance, "drain" | "close">) {
  const serving = Promise.withResolvers<void>();
  const role = {
    role: "tester",
    defaultPort: 0,
    start: (): RoleInstance => ({
      fetch: () => new Response(),
      says: "It serves",
      facts: {},
      metrics: () => [],
      ...instance,
    }),
  };
  const command: Command = {
    ...{ name: "--role tester", summary: "", synopsis: [], about: [], examples: [] },
    ...{ options: OPTIONS, exitCodes: [0], exitMeanings: {} },
    run: (call) => runRole(call, [role]),
  };
  const terminal = fakeTerminal();
  const [clock, signals] = [new ManualClock(), fakeSignals()];
  const world = {
    ...{ clock, signals, surroundings: fakeSurroundings() },
    terminal: { ...terminal, out: () => serving.resolve() },
  };
  const words = ["--role", "tester", "--port", "0", "--state-dir", folder];
  const code = runProgram(words, { version: "1", commands: [], roles: { tester: command } }, world);
  await Promise.race([serving.promise, code.then((c) => assert.fail(`ended with ${c}`))]);
  signals.send("SIGTERM");
  return { clock, code };
}

Deno.test("a role that cannot hand on what it has is told when its time is over, and still gives back what it holds", () =>
  inScratch(async (folder) => {
    const said: string[] = [];
    const { clock, code } = await play(folder, {
      drain: (signal) =>
        new Promise((resolve) =>
          signal.addEventListener("abort", () => {
            said.push("late");
            resolve();
          })
        ),
      close: () => Promise.resolve(void said.push("closed")),
    });
    const startMs = clock.monotonicMs();
    while (said.length < 2) await clock.advance(100);
    assert.deepEqual(said, ["late", "closed"]);
    assert.ok(clock.monotonicMs() - startMs < END_WITHIN_MS, "before everything is cut off");
    assert.equal(await code, 0);
  }));

Deno.test("a role that does not answer any more ends all the same", () =>
  inScratch(async (folder) => {
    const { clock, code } = await play(folder, {
      drain: () => new Promise(() => {}),
      close: () => new Promise(() => {}),
    });
    let isOver = false;
    const ended = code.finally(() => isOver = true);
    const startMs = clock.monotonicMs();
    while (!isOver) await clock.advance(100);
    assert.equal(await ended, 0);
    assert.ok(clock.monotonicMs() - startMs <= END_WITHIN_MS + 1_000);
  }));
