/** What shows a run while it goes on. Rule: a display prints and remembers what it printed; it decides nothing. */
import type { DestinationEnd } from "./embedded.ts";
import type { RunProgress, RunReport } from "../../protocol/mesh/run.ts";

export interface RunDisplay {
  progress(progress: RunProgress): void;
  /** A destination has reached its end while others may go on. */
  destinationEnded(end: DestinationEnd): void;
  /** Something to tell besides progress, one line. */
  note(text: string): void;
  /** Gives the terminal back; called once, on every way out. */
  close(): void;
  /** The result, after `close`. */
  report(report: RunReport): void;
}
