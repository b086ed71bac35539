/** The platform port of a thread that is watched. Rule: each call counts as an operation before it begins. */
import type { Posix } from "../platform/posix.ts";
import type { ThreadCells } from "./thread_rpc.ts";

/** `before`: told of each call too, and may throw to end the work in hand. */
export function countingPosix(
  posix: Posix,
  { operations }: Pick<ThreadCells, "operations">,
  before: (call: keyof Posix) => void = () => {},
): Posix {
  const counted: Record<string, unknown> = { ...posix };
  for (const [name, value] of Object.entries(posix)) {
    if (typeof value !== "function") continue;
    counted[name] = (...words: unknown[]) => {
      Atomics.add(operations, 0, 1);
      before(name as keyof Posix);
      return (value as (...words: unknown[]) => unknown)(...words);
    };
  }
  return counted as unknown as Posix;
}
