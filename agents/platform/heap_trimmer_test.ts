import assert from "node:assert/strict";
import { needs } from "../../tests/support/tools.ts";
import { openHeapTrimmer } from "./heap_trimmer.ts";

const MIB = 1 << 20;

Deno.test({
  ...needs("what malloc keeps goes back to the system, and what is in use stays as it is", "linux"),
  fn() {
    const c = Deno.dlopen("libc.so.6", {
      malloc: { parameters: ["usize"], result: "pointer" },
      free: { parameters: ["pointer"], result: "void" },
      memset: { parameters: ["pointer", "i32", "usize"], result: "pointer" },
    }).symbols;
    // Many small pieces with one in use above them: free alone gives nothing back.
    const pieces = Array.from({ length: 1024 }, () => c.malloc(64n * 1024n));
    for (const piece of pieces) c.memset(piece, 1, 64n * 1024n);
    const last = c.malloc(1000n);
    c.memset(last, 7, 1000n);
    for (const piece of pieces) c.free(piece);
    const before = Deno.memoryUsage().rss;
    openHeapTrimmer()();
    assert.ok(before - Deno.memoryUsage().rss > 32 * MIB);
    const kept = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(last!, 1000));
    assert.ok(kept.every((byte) => byte === 7));
    c.free(last);
  },
});
