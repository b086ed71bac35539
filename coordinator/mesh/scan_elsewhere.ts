/**
 * How a source is scanned that the home is not near. Rule: whoever is near it does it, and loses nothing but time when
 * it is lost; it is waited for only where waiting can help.
 */
import { backoffMs } from "../../protocol/base/backoff.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { SourceSpec } from "../../protocol/mesh/job.ts";
import type { ScanElsewhere, StageContext } from "../runs/run_context.ts";
import { isNear, type MatchTask, readinessOf } from "../scheduler/match.ts";
import { isAgentLost, isAgentsFault, UNREACHABLE_LEASES_MAX } from "./agent_faults.ts";
import { chooseScanner } from "./choose_home.ts";
import { FALLBACK_NOTE, HOME_FAULTS_MAX, type Homes, LOOK_AGAIN_MS } from "./homes.ts";
import type { Participants } from "./participants.ts";
import type { RunScope } from "./run_scope.ts";

export interface ScanElsewhereDeps {
  readonly scope: Pick<RunScope, "pool" | "clock" | "leaseMs" | "note">;
  readonly homes: Pick<Homes, "facts">;
  readonly participants: Pick<Participants, "join" | "drop" | "excluded">;
}

/** Undefined: the home is near it. */
export function scanElsewhere(
  { scope, homes, participants }: ScanElsewhereDeps,
  context: StageContext,
  source: SourceSpec,
): ScanElsewhere | undefined {
  const { pool, clock, leaseMs, note } = scope;
  const { signal } = context;
  const home = pool.views().find((a) => a.agentId === context.home.id);
  if (home === undefined || isNear(placed(source), home)) return undefined;
  return async (spec, options) => {
    const failed = new Map<string, string>();
    let giveUpMs: number | undefined;
    for (let faults = 0;;) {
      signal.throwIfAborted();
      const facts = homes.facts();
      const views = pool.views();
      const { agent } = chooseScanner(source, views, {
        ...facts,
        excluded: new Map([...facts.excluded, ...failed]),
      });
      if (agent === undefined) {
        const { reason } = chooseScanner(source, views, facts);
        // Those near it that live cannot take part: that does not pass by waiting.
        const near = views.filter((a) => isNear(placed(source), a) && readinessOf(a) !== "dead");
        if (near.length > 0 && near.every((a) => facts.excluded.has(a.agentId))) {
          throw new BackupError("rejected", `${source.name} cannot be copied: ${reason}`);
        }
        if (reason !== undefined) {
          note(`${source.name} waits: ${reason}`);
          giveUpMs = undefined;
        }
        failed.clear();
        await clock.sleep(LOOK_AGAIN_MS, signal);
        continue;
      }
      const { agentId } = agent;
      if (agent.isFallback) note(FALLBACK_NOTE);
      try {
        await participants.join(context, agentId);
        return await pool.client(agentId).run(spec, options);
      } catch (thrown) {
        signal.throwIfAborted();
        if (!isAgentsFault(thrown)) throw thrown;
        if (participants.excluded.has(agentId)) continue;
        failed.set(agentId, asBackupError(thrown).message);
        participants.drop(agentId);
        if (isAgentLost(thrown)) {
          // It says nothing about the source, and is soon known to be dead; not for ever, where only calls fail.
          giveUpMs ??= clock.monotonicMs() + leaseMs * UNREACHABLE_LEASES_MAX;
          if (clock.monotonicMs() >= giveUpMs) throw thrown;
        } else if (++faults >= HOME_FAULTS_MAX) throw thrown;
        await clock.sleep(backoffMs(Math.max(1, faults)), signal);
      }
    }
  };
}

function placed({ hostId, root }: SourceSpec): MatchTask {
  return { requires: [], onlyAgents: null, place: { hostId, root } };
}
