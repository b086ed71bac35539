/** The one sentence. Rule: icon, colour and words say the same; a screen reader hears it when it matters, not four times a second. */
import { useRef } from "preact/hooks";
import type { Verdict } from "../../../protocol/mesh/console_state.ts";
import { Icon, type IconName } from "../ui/icon.tsx";

const ICONS: Record<Verdict["tone"], IconName> = {
  good: "check",
  working: "busy",
  paused: "pause",
  bad: "warn",
};
/** At least so long between two sentences that differ in numbers only. */
const SPOKEN_EVERY_MS = 60_000;

export interface VerdictLineProps {
  verdict: Verdict | null;
  /** For when there is no verdict. */
  otherwise: string;
  nowMs: number;
}

export function VerdictLine({ verdict, otherwise, nowMs }: VerdictLineProps) {
  const tone = verdict?.tone ?? "paused";
  const text = verdict === null ? otherwise : capital(verdict.text);
  const spoken = useRef({ key: "", atMs: -Infinity, text: "" });
  const key = verdict === null
    ? otherwise
    : `${verdict.tone} ${verdict.verified}/${verdict.total} ${verdict.open.map((o) => o.phase)}`;
  if (key !== spoken.current.key || nowMs - spoken.current.atMs > SPOKEN_EVERY_MS) {
    spoken.current = { key, atMs: nowMs, text };
  }
  return (
    <div class={`verdict is-${tone}`}>
      <span class="verdict-icon">
        <Icon name={verdict === null ? "dash" : ICONS[tone]} />
      </span>
      <p class="verdict-text">{text}</p>
      <p class="unseen" role="status" aria-live="polite">{spoken.current.text}</p>
    </div>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
