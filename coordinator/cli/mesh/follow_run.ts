/**
 * A run as its follower sees it, over whatever breaks. Rule: a coordinator that went away may come back and finish the run,
 * so a broken stream is picked up again for a while.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import type { Clock } from "../../../protocol/base/clock.ts";
import { FollowRun, type RunEvent } from "../../../protocol/mesh/methods.ts";
import type { RunDisplay } from "../run_display.ts";
import { type CoordinatorLink, explained } from "./coordinator_call.ts";

export type RunEnd = Extract<RunEvent, { kind: "end" }>;

/** Pauses before a lost coordinator is asked again; any event starts the list anew. Together two minutes. */
const AGAIN_AFTER_MS = [250, 500, 1_000, 2_000, 4_000, ...Array<number>(14).fill(8_000)] as const;

/**
 * Shows a run until its end and returns that.
 * @throws {BackupError} the signal's reason when it is aborted; `io` when the coordinator stays away.
 */
export async function followRun(
  link: CoordinatorLink,
  runId: string,
  display: RunDisplay,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<RunEnd> {
  const ended = new Set<string>();
  const noted = new Set<string>();
  let attempt = 0;
  for (;;) {
    let failure: BackupError;
    try {
      for await (const event of link.client.stream(FollowRun, { runId }, { signal })) {
        attempt = 0;
        const end = show(event);
        if (end !== undefined) return end;
      }
      failure = new BackupError("io", `The coordinator at ${link.url} ended its report`);
    } catch (thrown) {
      signal.throwIfAborted();
      failure = explained(thrown, link.url);
      if (failure.code !== "io") throw failure;
    }
    const waitMs = AGAIN_AFTER_MS[attempt++];
    if (waitMs === undefined) {
      throw new BackupError("io", failure.message, {
        hint: `The run may go on; look with backup-agent run ${runId}`,
        retry: "later",
      });
    }
    if (attempt === 1) display.note("The coordinator does not answer; trying again");
    await clock.sleep(waitMs, signal);
  }

  function show(event: RunEvent): RunEnd | undefined {
    switch (event.kind) {
      case "snapshot":
        if (event.run.progress !== null) display.progress(event.run.progress);
        for (const text of event.run.notes) note(text);
        return undefined;
      case "progress":
        display.progress(event.progress);
        return undefined;
      case "destination":
        // A snapshot after a gap may tell it again.
        if (ended.has(event.destination)) return undefined;
        ended.add(event.destination);
        display.destinationEnded(event);
        return undefined;
      case "note":
        note(event.text);
        return undefined;
      case "task":
        return undefined;
      case "end":
        return event;
    }
  }

  function note(text: string): void {
    if (noted.has(text)) return;
    noted.add(text);
    display.note(text);
  }
}
