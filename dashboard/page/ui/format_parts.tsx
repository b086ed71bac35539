/** Small pieces that several views show. */
import type { ComponentChildren } from "preact";

/** What a question came to: its problem, or that there is nothing. */
export function AnswerNote(
  { problem, isAsking, isEmpty, empty }: {
    problem: string | undefined;
    isAsking: boolean;
    isEmpty: boolean;
    empty: string;
  },
) {
  if (problem !== undefined) return <p class="problem" role="alert">{problem}</p>;
  if (!isEmpty) return null;
  return <p class="muted">{isAsking ? "Loading…" : empty}</p>;
}

export function Field(
  { label, hint, children }: { label: string; hint?: string; children: ComponentChildren },
) {
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      {children}
      {hint !== undefined && <span class="field-hint">{hint}</span>}
    </label>
  );
}
