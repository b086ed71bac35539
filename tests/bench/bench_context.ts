/** What every part of a bench works with. */
import type { Processes } from "./processes.ts";

export interface BenchContext {
  processes: Processes;
  /** The file system that is measured. */
  mountPoint: string;
  /** A folder elsewhere, for lists and state. */
  workFolder: string;
  /** How often each thing is measured. */
  rounds: number;
  /** Tells the person who waits; not part of the result. */
  say(line: string): void;
}
