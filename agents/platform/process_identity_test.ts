import assert from "node:assert/strict";
import { isProcessAlive, type ProcessFiles, thisProcess } from "./process_identity.ts";

/** A machine whose files say what is given; everything else is not there. */
function machine(texts: Record<string, string>, links: Record<string, string> = {}): ProcessFiles {
  const from = (known: Record<string, string>) => (path: string) => {
    const text = known[path];
    if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    return text;
  };
  return { readText: from(texts), readLink: from(links) };
}

const stat = (start: number, state = "S", name = "x") =>
  `7 (${name}) ${state} 1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 ${start} 1 1`;

Deno.test("a process is known by its machine, its boot, its number and when it began", () => {
  const texts = {
    "/proc/sys/kernel/random/boot_id": "boot-1\n",
    "/proc/sys/kernel/hostname": "desk\n",
    "/proc/7/stat": stat(4711, "R", "odd) (name"),
  };
  const links = { "/proc/self/ns/pid": "pid:[1]" };
  const files = machine(texts, links);
  const me = thisProcess("machine", 7, files);
  assert.deepEqual([me.pid, me.boot, me.start], [7, "boot-1", "4711"]);
  assert.match(me.host, /^[0-9a-f]{24}$/);
  // Numbers count within a machine and a container of it.
  assert.equal(thisProcess("machine", 8, files).host, me.host);
  assert.notEqual(thisProcess("other", 7, files).host, me.host);
  // A copy of the machine that runs beside it has another boot, which must not be taken for a later one.
  const copy = machine({ ...texts, "/proc/sys/kernel/hostname": "desk-2\n" }, links);
  assert.notEqual(thisProcess("machine", 7, copy).host, me.host);
  assert.notEqual(thisProcess("machine", 7, machine({})).host, me.host);
});

Deno.test("a process is dead only when that is certain", () => {
  const own = { "/proc/self/stat": stat(1), "/proc/self/mounts": "proc /proc proc rw,nosuid 0 0" };
  const files = machine({ ...own, "/proc/7/stat": stat(100), "/proc/8/stat": stat(100, "Z") });
  assert.equal(isProcessAlive(7, "100", files), true);
  assert.equal(isProcessAlive(7, undefined, files), true);
  // Another process has the number now; a zombie and what is not there have ended.
  assert.equal(isProcessAlive(7, "99", files), false);
  assert.equal(isProcessAlive(8, "100", files), false);
  assert.equal(isProcessAlive(9, "100", files), false);
  // Without /proc, or one that hides others, the system is asked itself; this very process lives.
  for (
    const mounts of ["proc /proc proc rw,hidepid=2 0 0", "proc /proc proc hidepid=invisible 0 0"]
  ) {
    const hidden = machine({ ...own, "/proc/self/mounts": mounts });
    assert.equal(isProcessAlive(Deno.pid, "1", hidden), true, mounts);
  }
  assert.equal(isProcessAlive(Deno.pid, "1", machine({})), true);
});

Deno.test("this very process lives, and one that has ended does not", async () => {
  const me = thisProcess("machine");
  assert.equal(isProcessAlive(me.pid, me.start), true);
  const child = new Deno.Command(Deno.execPath(), { args: ["--version"], stdout: "null" }).spawn();
  await child.status;
  assert.equal(isProcessAlive(child.pid), false);
});
