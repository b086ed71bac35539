/** A thread that looks at places, since any of them may hang. Rule: it opens nothing outside its roots. */
import type { Clock } from "../../protocol/base/clock.ts";
import type { Posix } from "../platform/posix.ts";
import type { Methods, ThreadCells } from "../threads/thread_rpc.ts";
import { compareFile, type Comparison, type RecordedFile } from "./compare_file.ts";
import { inspectPlace, type PlaceFound } from "./inspect_place.ts";
import { listDirectories, type ListedFolder } from "./list_directories.ts";

export interface PlaceThreadStart {
  /** Where it may look; empty: anywhere. */
  roots: readonly string[];
}

export function openPlaceThread(
  posix: Posix,
  cells: ThreadCells,
  clock: Pick<Clock, "monotonicMs">,
): Methods {
  const tick = (): void => void Atomics.add(cells.operations, 0, 1);
  const tools = { posix, tick, monotonicMs: () => clock.monotonicMs() };
  return {
    listDirectories: ({ path, withinMs }: { path: string; withinMs: number }): ListedFolder =>
      listDirectories(tools, path, withinMs),
    inspectPlace: (
      { path, ...how }: { path: string; writes: boolean; probeName: string },
    ): PlaceFound => {
      tick();
      return inspectPlace(posix, path, how);
    },
    compareFile: (file: RecordedFile): Comparison => compareFile(posix, file, tick),
  };
}
