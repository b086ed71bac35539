import assert from "node:assert/strict";
import { BackupError } from "../base/errors.ts";
import { fakeSignals } from "./fake_world.ts";
import { ignoredSignals, watchInterrupts } from "./interrupt.ts";

Deno.test("the first signal asks for a clean end, the second ends at once", () => {
  const signals = fakeSignals();
  const heard: string[] = [];
  const interrupts = watchInterrupts(signals, (signal) => heard.push(signal));
  signals.send("SIGTERM");
  assert.ok(interrupts.signal.aborted);
  assert.ok(interrupts.signal.reason instanceof BackupError);
  assert.equal(interrupts.signal.reason.code, "cancelled");
  assert.deepEqual([heard, signals.exitedWith], [["SIGTERM"], []]);
  signals.send("SIGINT");
  assert.deepEqual([heard, signals.exitedWith], [["SIGTERM"], [130]]);
});

Deno.test("who may hold a lock takes a hang-up for the end only when the terminal has gone", () => {
  const signals = fakeSignals();
  const interrupts = watchInterrupts(signals, () => {}, { mayHoldLocks: true });
  signals.send("SIGHUP");
  assert.equal(interrupts.signal.aborted, false);
  signals.terminalHasGone = true;
  signals.send("SIGHUP");
  assert.equal(interrupts.signal.aborted, true);
});

Deno.test("a closed watch listens to nothing", () => {
  const signals = fakeSignals();
  watchInterrupts(signals, () => {}).close();
  assert.equal(signals.listening.size, 0);
});

Deno.test("signals that the parent ignores are found in the process status", () => {
  assert.deepEqual(ignoredSignals("Name:\tx\nSigIgn:\t0000000000001001\n"), ["SIGHUP"]);
  assert.deepEqual(ignoredSignals("SigIgn:\t0000000000004003\n"), ["SIGINT", "SIGTERM", "SIGHUP"]);
  assert.deepEqual(ignoredSignals(""), []);
});

Deno.test({
  name: "a process started under nohup outlives a hang-up and still ends on SIGTERM",
  ignore: Deno.build.os === "windows",
  async fn() {
    const heard = async (trap: string) => {
      const program = `
        import { processSignals, watchInterrupts } from "${import.meta.resolve("./interrupt.ts")}";
        setInterval(() => {}, 1000);
        watchInterrupts(processSignals(), (signal) => {
          console.log(signal);
          Deno.exit(0);
        });
        Deno.kill(Deno.pid, "SIGHUP");
        queueMicrotask(() => Deno.kill(Deno.pid, "SIGTERM"));`;
      const { stdout } = await new Deno.Command("sh", {
        args: ["-c", `${trap} exec "$0" eval --no-config "$1"`, Deno.execPath(), program],
        stderr: "inherit",
      }).output();
      return new TextDecoder().decode(stdout).trim();
    };
    assert.equal(await heard("trap '' HUP;"), "SIGTERM");
    assert.match(await heard(""), /^SIG(HUP|TERM)$/);
  },
});
