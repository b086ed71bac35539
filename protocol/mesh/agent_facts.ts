/** What an agent says about itself, in its card and when it registers. Rule: nothing here is secret, and roots are labels only. */
import * as v from "valibot";

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** 0.0 idle … 1.0 busy: the largest of slot use, processor use and waiting for disks. A reader clamps it. */
export const Load = v.object({
  score: v.number(),
  /** Milliseconds since the epoch, by the agent's own clock. */
  observedAtMs: count,
});
export type Load = v.InferOutput<typeof Load>;

export const AgentLimits = v.object({
  /** Directory tasks at once; one that waits only for slow destinations does not count. */
  slots: v.pipe(count, v.minValue(1), v.maxValue(1_000)),
});

/** The `params` of our extension in a card. */
export const AgentFacts = v.object({
  /** Stable over restarts: one per state folder and name. */
  agentId: id,
  /** Of this start of the process. */
  bootId: id,
  /** Of the machine: whose paths it means by a path. */
  hostId: id,
  /** Wire ids. */
  capabilities: v.array(id),
  /** Labels of the roots that sources can be named below. */
  roots: v.array(id),
  limits: AgentLimits,
  load: Load,
  /** `draining`: finishes what it has and takes nothing more. */
  state: v.picklist(["ready", "draining"]),
});
export type AgentFacts = v.InferOutput<typeof AgentFacts>;
