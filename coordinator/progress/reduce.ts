/**
 * How an event changes the picture of a run. Rule: pure; late and repeated events are recognised by epoch and number
 * and give back the very same model; a lane is changed only by its own task's word about its own destination.
 */
import { assertNever } from "../../protocol/base/errors.ts";
import {
  type LaneGauges,
  type LaneProgress,
  type LaneState,
  type Phase,
  PHASES,
  ZERO_COUNTERS,
} from "../../protocol/mesh/progress.ts";
import { withRecentFiles } from "./recent_files.ts";
import { mergeCounters } from "./merge_counters.ts";
import type { DestinationModel, LaneModel, ProgressEvent, ProgressModel } from "./model.ts";

type LanesEvent = Extract<ProgressEvent, { kind: "lanes" }>;

export function reduce(model: ProgressModel, event: ProgressEvent): ProgressModel {
  switch (event.kind) {
    case "run_state":
      return model.state === event.state ? model : { ...model, state: event.state };
    case "scan": {
      const known = model.scans.get(event.source);
      if (known !== undefined && known.seq >= event.seq) return model;
      const scans = new Map(model.scans);
      scans.set(event.source, { seq: event.seq, counters: event.counters });
      return { ...model, scans };
    }
    case "planned":
      return withDestinations(
        model,
        (d) => d.end === null && d.lanes.size === 0 ? planned(d, event) : d,
      );
    case "lanes": {
      const next = withDestinations(model, (d) => {
        const word = event.lanes.find((lane) => lane.destination === d.key);
        return word === undefined ? d : withLane(d, event, word);
      });
      // A late word changes no lane, and says nothing new of files either.
      return next === model ? model : withRecentFiles(next, event);
    }
    case "silence": {
      if (event.silence === null && !model.silences.has(event.taskId)) return model;
      const silences = new Map(model.silences);
      if (event.silence === null) silences.delete(event.taskId);
      else silences.set(event.taskId, event.silence);
      return { ...model, silences };
    }
    case "opened":
      return withDestinations(
        model,
        (d) => d.key === event.destination ? { ...d, freeBytes: event.freeBytes } : d,
      );
    case "destination_ended": {
      const place = model.destinations.filter((d) => d.end !== null).length;
      const { state, elapsedMs } = event;
      return withDestinations(
        model,
        (d) =>
          d.key !== event.destination || d.end !== null
            ? d
            : { ...d, gauges: new Map(), end: { state, elapsedMs, place } },
      );
    }
    default:
      return assertNever(event);
  }
}

/** The place of a phase in the order of phases; an ended lane comes after all of them. */
export function rank(state: LaneState): number {
  const index = PHASES.indexOf(state as Phase);
  return index < 0 ? PHASES.length : index;
}

function withDestinations(
  model: ProgressModel,
  change: (destination: DestinationModel) => DestinationModel,
): ProgressModel {
  const destinations = model.destinations.map(change);
  return destinations.every((d, i) => d === model.destinations[i])
    ? model
    : { ...model, destinations };
}

function planned(
  destination: DestinationModel,
  event: Extract<ProgressEvent, { kind: "planned" }>,
): DestinationModel {
  const lanes = new Map<string, LaneModel>(event.tasks.map(({ taskId, scan }) => [taskId, {
    agentId: null,
    epoch: 0,
    seq: -1,
    state: "manifest",
    phase: "manifest",
    counters: { ...ZERO_COUNTERS, filesTotal: scan.files, bytesTotal: scan.bytes },
  }]));
  return { ...destination, lanes };
}

function withLane(
  destination: DestinationModel,
  event: LanesEvent,
  word: LaneProgress,
): DestinationModel {
  const old = destination.lanes.get(event.taskId);
  if (old === undefined || destination.end !== null || isLate(old, event)) return destination;
  const isRetry = event.epoch > old.epoch && old.epoch > 0;
  // Verified is verified, whatever a later attempt of the same task has to do elsewhere.
  const keepsState = old.state === "verified" || (!isRetry && rank(word.state) < rank(old.state));
  const state = keepsState || (!isRetry && rank(old.state) === PHASES.length)
    ? old.state
    : word.state;
  const isFirstTotal = rank(word.state) >= rank("copy") && rank(old.phase) < rank("copy");
  const lane: LaneModel = {
    agentId: event.agentId,
    epoch: event.epoch,
    seq: event.seq,
    state,
    phase: rank(state) < PHASES.length ? state as Phase : old.phase,
    counters: mergeCounters(old.counters, word.counters, isFirstTotal),
  };
  const lanes = new Map(destination.lanes).set(event.taskId, lane);
  return { ...destination, lanes, gauges: gaugesAfter(destination, lanes, event.agentId, word) };
}

function isLate(lane: LaneModel, event: LanesEvent): boolean {
  return event.epoch < lane.epoch || (event.epoch === lane.epoch && event.seq <= lane.seq);
}

/** Tasks on one agent share a destination's queue, so the agent's last word stands while any of them works there. */
function gaugesAfter(
  destination: DestinationModel,
  lanes: ReadonlyMap<string, LaneModel>,
  agentId: string,
  word: LaneProgress,
): ReadonlyMap<string, LaneGauges> {
  const gauges = new Map(destination.gauges);
  const works = [...lanes.values()].some((l) =>
    l.agentId === agentId && rank(l.state) < PHASES.length
  );
  if (!works) gauges.delete(agentId);
  else if (rank(word.state) < PHASES.length) gauges.set(agentId, word.gauges);
  return gauges;
}
