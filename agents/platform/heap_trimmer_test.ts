import assert from "node:assert/strict";
import { runProgram } from "../../tests/support/run_program.ts";
import { needs } from "../../tests/support/tools.ts";

/** In a process of its own: in this one other tests use memory. */
const PROGRAM = `
import { openHeapTrimmer } from "${import.meta.resolve("./heap_trimmer.ts")}";
const c = Deno.dlopen("libc.so.6", {
  malloc: { parameters: ["usize"], result: "pointer" },
  free: { parameters: ["pointer"], result: "void" },
  memset: { parameters: ["pointer", "i32", "usize"], result: "pointer" },
}).symbols;
const trim = openHeapTrimmer();
// Many small pieces with one in use above them: free alone gives nothing back.
const pieces = Array.from({ length: 1024 }, () => c.malloc(65536n));
for (const piece of pieces) c.memset(piece, 1, 65536n);
const last = c.malloc(65536n);
c.memset(last, 7, 65536n);
for (const piece of pieces) c.free(piece);
const before = Deno.memoryUsage().rss;
trim();
const given = before - Deno.memoryUsage().rss;
const kept = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(last, 65536));
console.log(JSON.stringify({ given, isWhole: kept.every((byte) => byte === 7) }));
`;

Deno.test({
  ...needs("what malloc keeps goes back to the system, and what is in use stays as it is", "linux"),
  async fn() {
    const { out, err } = await runProgram(Deno.execPath(), ["eval", PROGRAM]);
    const { given, isWhole } = JSON.parse(out || `"${err}"`);
    assert.ok(given > 32 << 20, `${given}`);
    assert.ok(isWhole);
  },
});
