/** Last completed · now · next, left to right. Rule: an estimate is called one. */
import {
  formatBytes,
  formatDuration,
  formatPlural,
  formatRate,
} from "../../../protocol/cli/format.ts";
import type { DirectoryCard, RunLive } from "../../../protocol/mesh/console_state.ts";
import { memo } from "../ui/memo.ts";
import { lastPart } from "../words.ts";

export const Directories = memo(({ directories }: { directories: RunLive["directories"] }) => {
  const { lastCompleted, now, next } = directories;
  return (
    <section class="directories" aria-label="Directories">
      <DirectoryBox title="Last completed" card={lastCompleted} empty="None yet" />
      <DirectoryBox title="Now" card={now[0] ?? null} more={now.length - 1} empty="Nothing" isNow />
      <DirectoryBox title="Next" card={next} empty="Nothing waits" />
    </section>
  );
});

interface DirectoryBoxProps {
  title: string;
  card: DirectoryCard | null;
  empty: string;
  more?: number;
  isNow?: boolean;
}

function DirectoryBox({ title, card, empty, more = 0, isNow = false }: DirectoryBoxProps) {
  return (
    <div class={`box directory ${isNow && card !== null ? "is-now" : ""}`}>
      <h3>{title}</h3>
      {card === null ? <p class="muted">{empty}</p> : (
        <>
          <p class="directory-name" title={card.label}>
            <bdi>{lastPart(card.label)}</bdi>
            {more > 0 && <span class="muted">{` and ${more} more`}</span>}
          </p>
          <p class="muted digits">{factsOf(card).join(" · ")}</p>
        </>
      )}
    </div>
  );
}

function factsOf(card: DirectoryCard): string[] {
  const size = formatBytes(card.sizeBytes);
  return [
    ...(card.endedAtMs === null ? [] : [clockTime(card.endedAtMs)]),
    ...(card.durationMs === null ? [] : [formatDuration(card.durationMs)]),
    ...(card.bytesPerSecond === null ? [] : [`${formatRate(card.bytesPerSecond)} on average`]),
    `${card.isEstimate ? "about " : ""}${formatPlural(card.files, "file")}`,
    `${card.isEstimate ? "about " : ""}${size}`,
    ...(card.agentName === null ? [] : [card.agentName]),
  ];
}

function clockTime(atMs: number): string {
  const at = new Date(atMs);
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map((n) => String(n).padStart(2, "0"))
    .join(":");
}
