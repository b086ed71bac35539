/** Bounds of what a task remembers. */
import assert from "node:assert/strict";
import { historyChars, withMessage } from "./history.ts";
import type { Message } from "./message.ts";

function message(id: number, chars: number): Message {
  return { messageId: String(id), role: "ROLE_USER", parts: [{ text: "x".repeat(chars) }] };
}

function talk(count: number, chars: number): Message[] {
  let history: Message[] = [];
  for (let id = 1; id <= count; id++) history = withMessage(history, message(id, chars));
  return history;
}

Deno.test("the newest messages are kept, so many and no longer than is allowed", () => {
  const many = talk(150, 1);
  assert.deepEqual([many.length, many[0]?.messageId], [100, "51"]);
  const long = talk(20, 200_000);
  assert.deepEqual(long.map((m) => m.messageId), ["16", "17", "18", "19", "20"]);
  assert(historyChars(long) <= 1 << 20);
  assert.deepEqual(talk(3, 2 << 20).map((m) => m.messageId), ["3"]);
});
