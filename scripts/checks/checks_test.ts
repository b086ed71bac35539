import assert from "node:assert/strict";
import { needs } from "../../tests/support/tools.ts";
import { createStepRunner } from "./deadline.ts";
import { DEBIAN_PACKAGES, missingPackages, missingPrograms } from "./debian_tools.ts";
import { readFailures } from "./test_failures.ts";
import { GROUPS_ALONE, inOrder, OutputInTurn, TEST_GROUPS } from "./test_groups.ts";
import { addSummaries, formatSummary, readSummary } from "./test_summary.ts";

Deno.test("the counts are read from deno's summary, with and without colours and steps", () => {
  const cases: [string, string][] = [
    ["ok | 3 passed | 0 failed (12ms)\n", "3 passed, 0 failed, 0 skipped"],
    [
      "\x1b[0m\x1b[31mFAILED\x1b[0m | 1 passed (1 step) | 5 failed (2 steps) | 1 ignored (1 step) | 4 filtered out (189ms)\n",
      "1 passed, 5 failed, 1 skipped",
    ],
    ["ok | 0 passed | 0 failed | 5 filtered out (3ms)\n", "0 passed, 0 failed, 0 skipped"],
    [
      "ok | 9 passed | 0 failed (1s)\nsome test ran deno test itself\n\nFAILED | 1 passed | 1 failed | 20 ignored (2m10s)\n",
      "1 passed, 1 failed, 20 skipped",
    ],
  ];
  for (const [output, expected] of cases) {
    const summary = readSummary(output);
    assert.ok(summary !== undefined, output);
    assert.equal(formatSummary(summary), expected);
  }
});

Deno.test("output without a summary has no counts", () => {
  assert.equal(readSummary(""), undefined);
  assert.equal(readSummary("running 3 tests from ./x_test.ts\na ... ok (1ms)\n"), undefined);
});

Deno.test("a package is missing when one of its programs is", () => {
  assert.deepEqual(missingPackages(() => true), []);
  assert.deepEqual(missingPackages((program) => program !== "setfattr"), ["attr"]);
  assert.deepEqual(missingPrograms((program) => program !== "setfattr"), ["setfattr"]);
  assert.deepEqual(missingPackages(() => false), Object.keys(DEBIAN_PACKAGES));
});

Deno.test("a step shows and returns its output and reports failure", async () => {
  const steps = createStepRunner(60_000);
  assert.deepEqual(await steps.run("/bin/sh", ["-c", "echo one; exit 3"]), {
    success: false,
    output: "one\n",
  });
  assert.equal((await steps.run("/bin/sh", ["-c", "exit 0"])).success, true);
});

Deno.test({
  ...needs("what a step leaves running is ended with it", "linux"),
  fn: endsWhatIsLeft,
});

async function endsWhatIsLeft(): Promise<void> {
  const steps = createStepRunner(60_000);
  const script = "sleep 300 >/dev/null 2>&1 & echo $!";
  const pid = Number((await steps.run("/bin/sh", ["-c", script])).output);
  assert.ok(pid > 1);
  // Gone, or dead and not yet collected by its new parent.
  const isAlive = `grep -q '^State:.[^Z]' /proc/${pid}/status 2>/dev/null`;
  const waiting = await steps.run("/bin/sh", [
    "-c",
    `for i in 1 2 3 4 5 6 7 8 9 10; do ${isAlive} || exit 0; sleep 0.1; done; exit 1`,
  ]);
  assert.ok(waiting.success, `process ${pid} is still there`);
}

Deno.test("after the deadline the running step is ended and no other starts", async () => {
  const steps = createStepRunner(1);
  assert.equal((await steps.run("/bin/sh", ["-c", "sleep 300"])).success, false);
  assert.ok(steps.isLate());
  assert.deepEqual(await steps.run("/bin/sh", ["-c", "echo late"]), { success: false, output: "" });
});

Deno.test("every test file is in one group", async () => {
  const files: string[] = [];
  const collect = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (name.startsWith(".") || name === "node_modules" || name === "dist") continue;
      if (isDirectory) await collect(`${folder}/${name}`);
      else if (name.endsWith("_test.ts")) files.push(`${folder}/${name}`.slice(2));
    }
  };
  await collect(".");
  assert.ok(files.length > 200);
  const isBelow = (file: string) => (path: string) =>
    path === "." || file === path || file.startsWith(`${path}/`);
  for (const file of files) {
    const groups = [...TEST_GROUPS, ...GROUPS_ALONE].filter(({ paths, ignored }) =>
      paths.some(isBelow(file)) && !ignored.some(isBelow(file))
    );
    assert.equal(groups.length, 1, file);
  }
});

Deno.test("what runs beside each other is begun in order, and no more than asked for at a time", async () => {
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const begun: number[] = [];
  const all = inOrder([0, 1, 2, 3], 2, async (item) => {
    begun.push(item);
    await gates[item]!.promise;
    return item * 10;
  });
  assert.deepEqual(begun, [0, 1]);
  gates[1]!.resolve();
  await gates[1]!.promise.then(() => {}).then(() => {}).then(() => {});
  assert.deepEqual(begun, [0, 1, 2]);
  gates.forEach(({ resolve }) => resolve());
  assert.deepEqual(await all, [0, 10, 20, 30]);
});

Deno.test("output is shown in turn: the first as it comes, the others whole, whatever ends first", () => {
  const shown: string[] = [];
  const output = new OutputInTurn((part) => shown.push(new TextDecoder().decode(part)));
  const say = (at: number, text: string) => output.show(at, new TextEncoder().encode(text));
  say(1, "b1");
  say(0, "a1");
  say(2, "c1");
  output.end(2);
  assert.deepEqual(shown, ["a1"]);
  output.end(0);
  say(1, "b2");
  assert.deepEqual(shown, ["a1", "b1", "b2"]);
  output.end(1);
  assert.deepEqual(shown, ["a1", "b1", "b2", "c1"]);
});

Deno.test("counts add up, and one run that did not finish leaves none", () => {
  const one = { passed: 1, failed: 2, skipped: 3 };
  assert.deepEqual(addSummaries([one, one]), { passed: 2, failed: 4, skipped: 6 });
  assert.equal(addSummaries([one, undefined]), undefined);
});

Deno.test("what failed is read with its files and errors: tests, steps and whole files", () => {
  const output =
    "x ... FAILED\n\n\x1b[0m ERRORS \x1b[0m\n\na => b => ./one/a_test.ts:1:6\nerror: Error: x\n\n FAILURES \n\n" +
    "a => b => ./one/a_test.ts:1:6\nother => ./one/a_test.ts:9:6\nsteps ... one => ./c_test.ts:2:43\n" +
    "./b_test.ts (uncaught error)\n\nFAILED | 0 passed | 3 failed (1 step) (60ms)\n";
  const failures = readFailures(output);
  assert.deepEqual(failures?.files, ["./one/a_test.ts", "./c_test.ts", "./b_test.ts"]);
  assert.match(failures.errors, /^ERRORS[^]*Error: x$/);
  assert.equal(readFailures("ok | 3 passed | 0 failed (12ms)\n"), undefined);
  assert.equal(readFailures("running 1 test\nkilled"), undefined);
});
