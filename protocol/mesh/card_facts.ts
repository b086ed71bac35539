/** Our extension's part of a card, as a reader takes it. Rule: a card is somebody's word, so it is parsed, not believed. */
import * as v from "valibot";
import type { AgentCard } from "../a2a/agent_card.ts";
import { BackupError } from "../base/errors.ts";
import { AgentFacts } from "./agent_facts.ts";
import { EXTENSION_URI } from "./task_mapping.ts";

/** @throws {BackupError} `protocol` when the card is of no agent of ours, or says nonsense. */
export function factsOf(card: AgentCard): AgentFacts {
  const extension = card.capabilities.extensions?.find(({ uri }) => uri === EXTENSION_URI);
  if (extension === undefined) {
    throw new BackupError(
      "protocol",
      `${card.name} is no backup agent: its card lacks our extension`,
    );
  }
  const parsed = v.safeParse(AgentFacts, extension.params);
  if (!parsed.success) {
    const [first] = parsed.issues;
    const where = v.getDotPath(first) ?? "params";
    throw new BackupError("protocol", `Bad card of ${card.name}: ${where}: ${first.message}`);
  }
  const { load, ...facts } = parsed.output;
  return { ...facts, load: { ...load, score: clamp(load.score) } };
}

function clamp(score: number): number {
  return Math.min(1, Math.max(0, score));
}
