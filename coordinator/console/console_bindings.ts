/** The methods of a dashboard over its coordinator's service. Rule: one line of mapping each; what is expected to fail keeps its name. */
import * as ask from "../../protocol/mesh/console_methods.ts";
import { toRpcFailure } from "../../protocol/mesh/rpc_failure.ts";
import { RPC_CODES } from "../../protocol/rpc/error_codes.ts";
import { type Binding, onCall, onStream } from "../../protocol/rpc/method.ts";
import { RpcError } from "../../protocol/rpc/rpc_error.ts";
import type { MeshService } from "../mesh/mesh_service.ts";
import type { JobStore } from "../store/job_store.ts";
import type { LogLine } from "../../protocol/logs/json_log.ts";
import type { ConsoleService } from "./console_service.ts";
import { matchingLines } from "./log_files.ts";
import { machineFacts } from "./machine.ts";

export function consoleBindings(
  service: ConsoleService,
  deps: {
    store: JobStore;
    lines(): readonly LogLine[];
    mesh(): MeshService;
    nowMs(): number;
  },
): Binding[] {
  const { store, mesh, nowMs } = deps;
  const { places, schedules, restores, logFiles, files, model } = service;
  return [
    onCall(ask.GetConsole, () => told(() => ({ atMs: nowMs(), state: service.collect() }))),
    onCall(ask.GetPublicStatus, () => told(() => model.publicStatus())),
    onStream(ask.FollowConsole, () => {
      const events = service.feed.follow();
      if (events !== undefined) return events;
      throw new RpcError(RPC_CODES.unavailable, "Too many dashboards follow already");
    }),

    onCall(ask.StartRun, (wanted) => told(() => ({ runId: service.startRun(wanted) }))),
    onCall(ask.PauseRun, ({ runId, undo = false }) =>
      told(() => {
        mesh().pause(runId, !undo);
        return { isPaused: !undo };
      })),
    onCall(ask.RetryRun, ({ runId }) => told(() => ({ runId: service.retry(runId) }))),
    onCall(
      ask.ListRunFailures,
      ({ runId, offset, limit }) => told(() => service.failures(runId, offset, limit)),
    ),
    onCall(
      ask.ListRunFiles,
      ({ runId, offset, limit }) => told(() => files.page(runId, offset, limit)),
    ),
    onCall(ask.ListTasks, ({ runId, limit }) =>
      told(() => {
        const tasks = runId === undefined
          ? model.runs().filter((r) => !r.isOver).flatMap((run) => run.shownTasks())
          : model.tasksOf(runId);
        return { tasks: tasks.slice(0, limit) };
      })),
    onCall(ask.GetHistory, ({ limit }) => told(() => service.history(limit))),
    onCall(ask.GetRecentFiles, ({ runId }) => told(() => service.recentFiles(runId))),

    onCall(ask.ListPlaces, () => told(() => ({ places: places.cards() }))),
    onCall(ask.AddPlace, (wanted) => told(() => ({ place: places.add(wanted) }))),
    onCall(ask.TestPlace, ({ place, writes }) => told(() => places.test(place, writes))),
    onCall(
      ask.ForgetPlace,
      ({ placeId }) => told(() => ({ forgotten: places.forget(placeId) })),
    ),
    onCall(ask.DiscoverDirectories, (wanted) => told(() => service.discover(wanted))),
    onCall(
      ask.ListSelection,
      () => told(() => ({ directories: store.documents("directory") })),
    ),
    onCall(ask.SelectDirectory, (wanted) => told(() => ({ directory: service.select(wanted) }))),
    onCall(ask.DeselectDirectory, ({ directoryId }) =>
      told(() => ({
        deselected: store.transact((tx) => tx.dropDocument("directory", directoryId)),
      }))),

    onCall(ask.ListProfiles, () => told(() => ({ profiles: store.documents("profile") }))),
    onCall(
      ask.PutProfile,
      ({ name, job }) => told(() => ({ profile: service.putProfile(name, job) })),
    ),
    onCall(
      ask.DropProfile,
      ({ name }) =>
        told(() => ({ dropped: store.transact((tx) => tx.dropDocument("profile", name)) })),
    ),
    onCall(ask.ListSchedules, () => told(() => ({ schedules: schedules.cards() }))),
    onCall(
      ask.PutSchedule,
      ({ scheduleId, schedule }) => told(() => ({ schedule: schedules.put(scheduleId, schedule) })),
    ),
    onCall(
      ask.DropSchedule,
      ({ scheduleId }) => told(() => ({ dropped: schedules.drop(scheduleId) })),
    ),
    onCall(
      ask.StartSchedule,
      ({ scheduleId }) => told(() => ({ runId: schedules.start(scheduleId) })),
    ),
    onCall(ask.GetSettings, () => told(() => ({ settings: service.settings() }))),
    onCall(
      ask.ChangeSettings,
      (change) => told(() => ({ settings: service.changeSettings(change) })),
    ),

    onCall(ask.TailLog, (filter) => told(() => ({ lines: matchingLines(deps.lines(), filter) }))),
    onCall(ask.ListLogs, () => told(() => ({ logs: logFiles.list() }))),
    onCall(ask.ReadLog, ({ name, offset }) => told(() => logFiles.read(name, offset))),
    onCall(ask.GetMachine, () => machineFacts(nowMs() - service.startedAtMs)),

    onCall(ask.BrowseCopies, (what) => told(() => service.browse(what))),
    onStream(ask.DownloadFile, (what) => told(() => service.download(what))),
    onCall(ask.StartRestore, (wanted) => told(() => ({ restore: restores.start(wanted) }))),
    onCall(ask.ListRestores, () => told(() => ({ restores: restores.cards() }))),
    onCall(
      ask.CancelRestore,
      ({ restoreId }) => told(() => ({ restore: restores.cancel(restoreId) })),
    ),
  ];
}

async function told<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw toRpcFailure(thrown);
  }
}
