/** What was said in a task. Rule: a history is bounded in number and in size, and the oldest goes first. */
import type { Message } from "./message.ts";

/** Messages kept per task. */
const HISTORY_MAX = 100;
/** Their text as JSON, in UTF-16 units; the newest message is kept whatever its size. */
const HISTORY_CHARS_MAX = 1 << 20;

/** Messages are never changed, so each is measured once. */
const sizes = new WeakMap<Message, number>();

/** How long a message is as JSON, in UTF-16 units. */
export function messageChars(message: Message): number {
  const known = sizes.get(message);
  if (known !== undefined) return known;
  const chars = JSON.stringify(message).length;
  sizes.set(message, chars);
  return chars;
}

export function historyChars(history: readonly Message[] = []): number {
  return history.reduce((sum, message) => sum + messageChars(message), 0);
}

export function withMessage(history: readonly Message[] = [], message: Message): Message[] {
  const next = [...history, message].slice(-HISTORY_MAX);
  let chars = historyChars(next);
  let dropped = 0;
  while (chars > HISTORY_CHARS_MAX && dropped < next.length - 1) {
    chars -= messageChars(next[dropped++]!);
  }
  return dropped === 0 ? next : next.slice(dropped);
}
