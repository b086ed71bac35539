/** Analyze › Manifest › Copy › Flush › Verify. Rule: each says in words what it is, beside its sign and colour. */
import type { PillState } from "../../../protocol/mesh/run.ts";
import { Icon, type IconName } from "../ui/icon.tsx";
import { pillsOf } from "./lane_facts.ts";

const SIGNS: Record<PillState, IconName> = {
  pending: "dash",
  active: "busy",
  done: "check",
  failed: "cross",
};
const WORDS: Record<PillState, string> = {
  pending: "not yet",
  active: "now",
  done: "done",
  failed: "failed",
};

export function Pills({ pills }: { pills: Readonly<Record<string, PillState>> }) {
  return (
    <ol class="pills">
      {pillsOf(pills).map(({ phase, name, state }) => (
        <li key={phase} class={`pill is-${state}`}>
          <Icon name={SIGNS[state]} />
          <span>{name}</span>
          <span class="unseen">, {WORDS[state]}</span>
        </li>
      ))}
    </ol>
  );
}
