/** What a lane run uses of its destination and of the run. Rule: a thread can be replaced, so it is asked for each time. */
import type { Clock } from "../../../protocol/base/clock.ts";
import type { BackupError } from "../../../protocol/base/errors.ts";
import type { DestinationQueue } from "../../queue/destination_queue.ts";
import type { FanOutReader } from "../../source/fan_out_reader.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import type { LaneTaskShare } from "./lane_task.ts";
import type { SourceProblems } from "./source_problems.ts";

export interface LaneTools {
  clock: Clock;
  /** The thread for comparing, publishing, flushing; it also copies. */
  control(): ThreadClient;
  /** Calls a method on every open worker thread, and on those opened later. */
  announce(share: LaneTaskShare): Promise<void>;
  retract(task: string): Promise<void>;
  queue: DestinationQueue<ThreadClient>;
  /** Queue slots of this run: files to copy, files to verify. */
  copySlot: number;
  verifySlot: number;
  reader: FanOutReader;
  sourceProblems: SourceProblems;
  signal: AbortSignal;
  /** Why the destination cannot go on, when it cannot. */
  fatalError(): BackupError | undefined;
}
