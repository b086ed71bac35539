/**
 * The final word on a run: its state and its exit code. Rule: pure, and never better than the worst thing that
 * happened; `completed` means every file of every source is verified at every destination.
 */
import type { RunState } from "../../protocol/mesh/job.ts";

export type SourceOutcome = "read" | "partly_unreadable" | "unreadable";

export interface DestinationOutcome {
  readonly state: "verified" | "failed" | "cancelled" | "planned";
  /** Code of the error that kept it out or ended it. */
  readonly errorCode?: string | undefined;
}

export interface Outcome {
  readonly sources: readonly SourceOutcome[];
  readonly destinations: readonly DestinationOutcome[];
}

export interface Verdict {
  readonly state: Extract<RunState, "completed" | "partial" | "failed" | "cancelled">;
  readonly exitCode: 0 | 1 | 3 | 4 | 10 | 11 | 12 | 130;
}

/**
 * 0 all verified · 1 no source could be read or no destination verified · 3 some source unreadable, the rest safe ·
 * 4 some destinations verified, some not · 10 a destination missing or changed · 11 one in use · 12 a key or passphrase
 * missing or wrong · 130 cancelled. When several apply: 130, 12, 10, 11, 1, 4, 3. A run was cancelled when it cut a destination short. In a dry run,
 * planned counts as verified.
 */
export function verdict(outcome: Outcome): Verdict {
  const { sources, destinations } = outcome;
  if (destinations.some((d) => d.state === "cancelled")) {
    return { state: "cancelled", exitCode: 130 };
  }
  const good = destinations.filter((d) => d.state === "verified" || d.state === "planned").length;
  const isAllGood = good === destinations.length;
  const isAllRead = sources.every((s) => s === "read");
  const isNothingSafe = good === 0 || sources.every((s) => s === "unreadable");
  const state = isNothingSafe ? "failed" : isAllGood && isAllRead ? "completed" : "partial";
  return { state, exitCode: exitCode() };

  function exitCode(): Verdict["exitCode"] {
    const codes = new Set(destinations.map((d) => d.errorCode));
    if (codes.has("wrong_key")) return 12;
    if (codes.has("destination_missing") || codes.has("destination_changed")) return 10;
    if (codes.has("destination_busy")) return 11;
    if (isNothingSafe) return 1;
    if (!isAllGood) return 4;
    return isAllRead ? 0 : 3;
  }
}
