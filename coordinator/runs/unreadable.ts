/**
 * What of a source attempts could not read. Rule: it is kept from the moment a destination may be told as verified without
 * it, and a later attempt that has nothing to do there takes nothing of it back.
 */
import type { Unreadable } from "../../protocol/mesh/progress.ts";
import type { MirrorResult } from "../../protocol/mesh/task.ts";

export const NOTHING_UNREADABLE: Unreadable = { named: [], count: 0 };

/** A result that says nothing but this. */
export function resultOf({ named, count }: Unreadable): MirrorResult {
  return { op: "mirror", lanes: [], unreadable: named, unreadableCount: count };
}

/** Two words about the same files: each name once, and never fewer than either counts. */
export function joinUnreadable(one: Unreadable | undefined, other: Unreadable): Unreadable {
  if (one === undefined) return other;
  const byPath = new Map([...one.named, ...other.named].map((failure) => [failure.path, failure]));
  return { named: [...byPath.values()], count: Math.max(byPath.size, one.count, other.count) };
}

/** What the last attempt at a task reports, with what was told before it. */
export function withUnreadable(before: Unreadable | undefined, result: MirrorResult): MirrorResult {
  if (before === undefined) return result;
  const { walked, unreadable, unreadableCount, ...rest } = result;
  const unlisted = walked?.unreadable ?? [];
  const { named, count } = joinUnreadable(before, {
    named: [...unreadable, ...unlisted],
    count: unreadableCount + unlisted.length,
  });
  return { ...rest, unreadable: named, unreadableCount: count };
}
