/** One bar: copied fills it, verified replaces that. Rule: it speaks, and its meaning is never in the colour alone. */

export interface BarProps {
  /** What it is about. */
  label: string;
  /** What is said of it: phase, percent, counts. */
  text: string;
  /** Whole, 0–100. */
  percent: number;
  /** 0–1. */
  copied: number;
  verified: number;
  tone: string;
}

export function Bar({ label, text, percent, copied, verified, tone }: BarProps) {
  return (
    <div
      class={`bar is-${tone}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      aria-valuetext={text}
    >
      <div class="bar-copied" style={{ transform: `scaleX(${copied})` }} />
      <div class="bar-verified" style={{ transform: `scaleX(${verified})` }} />
    </div>
  );
}
