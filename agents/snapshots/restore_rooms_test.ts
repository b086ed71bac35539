import assert from "node:assert/strict";
import fc from "fast-check";
import { RingRooms } from "./restore_rooms.ts";

const RING_BYTES = 4096;
const SLOTS = 8;

Deno.test("rooms of a ring: whatever is taken and given back, no two that are out overlap", () => {
  const step = fc.oneof(fc.constant("back" as const), fc.nat(RING_BYTES / 2));
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const rooms = new RingRooms(RING_BYTES, SLOTS);
    const out: { at: number; bytes: number }[] = [];
    for (const bytes of steps) {
      if (bytes === "back") {
        if (out.shift() !== undefined) rooms.giveBack();
      } else {
        const at = rooms.take(bytes);
        // What is at most half of an empty ring fits into it, wherever it begins.
        assert.ok(at !== undefined || out.length > 0);
        if (at !== undefined) {
          assert.ok(at >= 0 && at + bytes <= RING_BYTES);
          const meets = out.some((other) => at < other.at + other.bytes && other.at < at + bytes);
          assert.ok(!meets);
          out.push({ at, bytes });
        }
      }
      assert.equal(rooms.taken - rooms.returned, out.length);
      assert.ok(out.length <= SLOTS && rooms.usedShare <= 1);
    }
  }));
});
