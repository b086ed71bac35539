import assert from "node:assert/strict";
import { fakeTerminal } from "./fake_world.ts";
import { createLiveArea } from "./live_area.ts";
import { streamWriter } from "./terminal.ts";

Deno.test("a picture is drawn over the one before, and the cursor comes back", () => {
  const terminal = fakeTerminal({ isLive: true, columns: 10 });
  const area = createLiveArea(terminal);
  area.draw(["one", "two"]);
  area.draw(["three"]);
  area.close();
  area.draw(["late"]);
  assert.equal(
    terminal.written.err,
    "\x1b[?25lone\x1b[K\ntwo\x1b[K\n\x1b[J" + "\r\x1b[2Athree\x1b[K\n\x1b[J" + "\x1b[?25h",
  );
});

Deno.test("after the window got narrower the rows that old lines now fill are drawn over", () => {
  const terminal = fakeTerminal({ isLive: true, columns: 20 });
  const area = createLiveArea(terminal);
  area.draw(["\x1b[32m" + "x".repeat(20) + "\x1b[0m", ""]);
  terminal.columns = 8;
  terminal.written.err = "";
  area.draw(["y"]);
  assert.ok(terminal.written.err.startsWith("\r\x1b[4A"), JSON.stringify(terminal.written.err));
});

Deno.test("lines that stay are printed above, with the picture below them", () => {
  const terminal = fakeTerminal({ isLive: true });
  const area = createLiveArea(terminal);
  area.draw(["lane"]);
  terminal.written.err = "";
  area.printAbove(["note"]);
  assert.equal(terminal.written.err, "\r\x1b[1Anote\x1b[K\nlane\x1b[K\n\x1b[J");
});

Deno.test("the cursor comes back when the process ends in the middle, once", () => {
  const terminal = fakeTerminal({ isLive: true });
  createLiveArea(terminal).draw(["lane"]);
  terminal.written.err = "";
  terminal.exit();
  terminal.exit();
  assert.equal(terminal.written.err, "\x1b[?25h");
});

Deno.test("text reaches a slow stream whole and in order", () => {
  let received = "";
  let calls = 0;
  const passing = [Deno.errors.WouldBlock, Deno.errors.Interrupted, Deno.errors.Busy];
  const write = streamWriter({
    writeSync(bytes) {
      const Passing = passing[calls % 4];
      calls++;
      if (Passing !== undefined) throw new Passing();
      received += new TextDecoder().decode(bytes.subarray(0, 3));
      return Math.min(3, bytes.length);
    },
  });
  write("hello ");
  write("world");
  assert.equal(received, "hello world");
});

Deno.test("a reader that has gone away stops the output, never the program", () => {
  let calls = 0;
  const write = streamWriter({
    writeSync() {
      calls++;
      throw new Deno.errors.BrokenPipe();
    },
  });
  write("one");
  write("two");
  assert.equal(calls, 1);
});
