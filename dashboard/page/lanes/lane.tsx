/** One destination of a run. Rule: all of it is told by the coordinator; the lane works nothing out but what it looks like. */
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatRate,
} from "../../../protocol/cli/format.ts";
import type { DestinationProgress } from "../../../protocol/mesh/run.ts";
import type { RateSample } from "../feed/rate_history.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { Bar } from "../ui/bar.tsx";
import { Icon, type IconName } from "../ui/icon.tsx";
import { memo } from "../ui/memo.ts";
import { type LaneFacts, laneFacts, workerDots } from "./lane_facts.ts";
import { Pills } from "./pills.tsx";
import { Sparkline } from "./sparkline.tsx";

const SIGNS: Record<LaneFacts["tone"], IconName> = {
  waiting: "busy",
  copying: "busy",
  verifying: "busy",
  verified: "check",
  failed: "cross",
  cancelled: "stop",
  stalled: "warn",
};

export interface LaneProps {
  runId: string;
  lane: DestinationProgress;
  /** Where it is, when that is not what it is called. */
  path: string | undefined;
  samples: readonly RateSample[];
  isPaused: boolean;
  isOver: boolean;
}

export const Lane = memo(({ runId, lane, path, samples, isPaused, isOver }: LaneProps) => {
  const { destination, gauges } = lane;
  const facts = laneFacts(lane, isPaused);
  const isOpen = !isOver && !["verified", "failed", "cancelled"].includes(lane.state);
  const dots = workerDots(gauges);
  const counts = `${formatCount(facts.files.done)} of ${formatCount(facts.files.total)} files, ` +
    `${formatBytes(facts.bytes.done)} of ${formatBytes(facts.bytes.total)}`;
  const current = gauges.currentFiles;
  return (
    <li class={`lane is-${facts.tone}`} data-run={runId} data-destination={destination}>
      <div class="lane-head">
        <h3 class="lane-name" title={path}>{destination}</h3>
        {lane.fastest && (
          <span class="badge">
            <Icon name="star" />
            fastest
          </span>
        )}
        <span class="lane-state">
          <Icon name={SIGNS[facts.tone]} />
          {facts.label}
        </span>
        {facts.left !== "" && <span class="lane-left">{facts.left}</span>}
        {isOpen && (
          <ActionButton
            action={{
              title: `Cancel ${destination}`,
              send: (api) =>
                api.api.runs[":runId"].destinations.cancel.$post({
                  param: { runId },
                  json: { destination },
                }),
              words: ["cancel", runId, "--destination", destination],
            }}
            question={`Give up ${destination} in this run? The other destinations go on.`}
            done={`${destination} is given up in this run`}
          />
        )}
      </div>
      <Bar
        label={destination}
        text={`${facts.label}, ${counts}${facts.left === "" ? "" : `, ${facts.left}`}`}
        percent={facts.percent}
        copied={facts.copied}
        verified={facts.verified}
        tone={facts.tone}
      />
      <div class="lane-body">
        <dl class="lane-numbers">
          <Fact
            name="Files"
            value={`${formatCount(facts.files.done)} / ${formatCount(facts.files.total)}`}
          />
          <Fact
            name="Bytes"
            value={`${formatBytes(facts.bytes.done)} / ${formatBytes(facts.bytes.total)}`}
          />
          {isOpen
            ? <Fact name="Speed" value={formatRate(gauges.bytesPerSecond)} />
            : <Fact name="Took" value={formatDuration(lane.elapsedMs)} />}
          {isOpen && <Fact name="Queue" value={formatCount(gauges.queueDepth)} />}
          {lane.freeBytes != null && <Fact name="Free" value={formatBytes(lane.freeBytes)} />}
          {isOpen && (
            <div class="fact is-workers">
              <dt>Workers</dt>
              <dd class="dots">
                <span class="unseen">{`${dots.busy} of ${dots.shown}`}</span>
                {Array.from(
                  { length: dots.shown },
                  (_, at) => (
                    <span
                      key={at}
                      class={at < dots.busy ? "dot is-on" : "dot"}
                      aria-hidden="true"
                    />
                  ),
                )}
              </dd>
            </div>
          )}
        </dl>
        <Sparkline samples={samples} tone={facts.tone} />
      </div>
      <div class="lane-foot">
        <Pills pills={lane.pills} />
        {/* What was in hand when the agent was heard last says less than that it is silent. */}
        {facts.waits !== "" && isOpen && (
          <p class="lane-wait">
            <Icon name="warn" />
            <bdi>{facts.waits}</bdi>
          </p>
        )}
        {facts.waits === "" && isOpen && current.length > 0 && (
          <p class="lane-file" title={current.join("\n")}>
            <bdi>{current[0]}</bdi>
            {current.length > 1 && ` and ${current.length - 1} more`}
          </p>
        )}
      </div>
    </li>
  );
});

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div class={`fact is-${name.toLowerCase()}`}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
