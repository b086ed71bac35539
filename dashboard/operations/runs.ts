/** Operations about runs and their tasks. */
import * as v from "valibot";
import { JobRequest } from "../../protocol/mesh/console_documents.ts";
import * as ask from "../../protocol/mesh/console_methods.ts";
import { CancelRun, GetRun, HandoffTask, ListRuns } from "../../protocol/mesh/methods.ts";
import { operation } from "./operation.ts";
import { given, idText, page, PAGE_DEFAULT, wholeNumber } from "./query_values.ts";

const GROUP = "Runs";
const ofRun = v.object({ runId: idText });

const startBody = v.strictObject({
  /** Absent, with no profile: what is selected, to every place that is known. */
  job: v.exactOptional(JobRequest),
  profile: v.exactOptional(idText),
  /** The same key again gives the same run. */
  idempotencyKey: v.exactOptional(idText),
});

export const listRuns = operation({
  name: "listRuns",
  group: GROUP,
  method: "get",
  path: "/runs",
  summary: "Runs, the newest first",
  input: { query: v.object({ limit: v.exactOptional(wholeNumber(1, 1_000)) }) },
  output: ListRuns.result,
  handler: ({ query: { limit = PAGE_DEFAULT } }, { ask: question }) =>
    question(ListRuns, { limit }),
});

export const startRun = operation({
  name: "startRun",
  group: GROUP,
  method: "post",
  path: "/runs",
  summary: "Starts a run of a job, of a profile, or of what is selected",
  input: { body: startBody },
  status: 202,
  output: ask.StartRun.result,
  handler: ({ body }, { ask: question }) => question(ask.StartRun, body),
});

export const dryRun = operation({
  name: "dryRun",
  group: GROUP,
  method: "post",
  path: "/dry-runs",
  summary: "Compares and writes nothing; the run's report says what would be copied",
  input: { body: startBody },
  status: 202,
  output: ask.StartRun.result,
  handler: ({ body }, { ask: question }) => question(ask.StartRun, { ...body, isDryRun: true }),
});

export const getRun = operation({
  name: "getRun",
  group: GROUP,
  method: "get",
  path: "/runs/:runId",
  summary: "All that is known of a run: job, tasks, progress, report",
  input: { params: ofRun },
  output: GetRun.result,
  handler: ({ params }, { ask: question }) => question(GetRun, params),
});

export const pauseRun = operation({
  name: "pauseRun",
  group: GROUP,
  method: "post",
  path: "/runs/:runId/pause",
  summary:
    "Begins no further file, also after a restart, until it goes on; files in hand are copied to their end",
  input: { params: ofRun },
  output: ask.PauseRun.result,
  handler: ({ params }, { ask: question }) => question(ask.PauseRun, params),
});

export const resumeRun = operation({
  name: "resumeRun",
  group: GROUP,
  method: "post",
  path: "/runs/:runId/resume",
  summary: "Goes on with a paused run",
  input: { params: ofRun },
  output: ask.PauseRun.result,
  handler: ({ params }, { ask: question }) => question(ask.PauseRun, { ...params, undo: true }),
});

export const cancelRun = operation({
  name: "cancelRun",
  group: GROUP,
  method: "post",
  path: "/runs/:runId/cancel",
  summary: "Ends a run; what is verified stays verified",
  input: { params: ofRun },
  output: CancelRun.result,
  handler: ({ params }, { ask: question }) => question(CancelRun, params),
});

export const cancelDestination = operation({
  name: "cancelDestination",
  group: GROUP,
  method: "post",
  path: "/runs/:runId/destinations/cancel",
  summary: "Ends one destination of a run; the others go on",
  input: { params: ofRun, body: v.strictObject({ destination: idText }) },
  output: CancelRun.result,
  handler: ({ params, body }, { ask: question }) => question(CancelRun, { ...params, ...body }),
});

export const retryRun = operation({
  name: "retryRun",
  group: GROUP,
  method: "post",
  path: "/runs/:runId/retry",
  summary: "A new run for what an ended one did not get through",
  input: { params: ofRun },
  status: 202,
  output: ask.RetryRun.result,
  handler: ({ params }, { ask: question }) => question(ask.RetryRun, params),
});

export const listRunFailures = operation({
  name: "listRunFailures",
  group: GROUP,
  method: "get",
  path: "/runs/:runId/failures",
  summary: "What of a run is not safe, by name",
  input: { params: ofRun, query: v.object(page) },
  output: ask.ListRunFailures.result,
  handler: ({ params, query: { offset = 0, limit = PAGE_DEFAULT } }, { ask: question }) =>
    question(ask.ListRunFailures, { ...params, offset, limit }),
});

export const listRunFiles = operation({
  name: "listRunFiles",
  group: GROUP,
  method: "get",
  path: "/runs/:runId/files",
  summary: "The manifest: every file of a run and how far it is at every destination",
  input: { params: ofRun, query: v.object(page) },
  output: ask.ListRunFiles.result,
  handler: ({ params, query: { offset = 0, limit = PAGE_DEFAULT } }, { ask: question }) =>
    question(ask.ListRunFiles, { ...params, offset, limit }),
});

export const listTasks = operation({
  name: "listTasks",
  group: "Tasks",
  method: "get",
  path: "/tasks",
  summary: "Directory tasks of one run, or of all that go on, with who has them",
  input: {
    query: v.object({
      runId: v.exactOptional(idText),
      limit: v.exactOptional(wholeNumber(1, 1_000)),
    }),
  },
  output: ask.ListTasks.result,
  handler: ({ query: { limit = PAGE_DEFAULT, runId } }, { ask: question }) =>
    question(ask.ListTasks, { limit, ...given({ runId }) }),
});

export const handOffTask = operation({
  name: "handOffTask",
  group: "Tasks",
  method: "post",
  path: "/tasks/:taskId/handoff",
  summary: "Gives a task in hand to another agent, when that accepts",
  input: {
    params: v.object({ taskId: idText }),
    body: v.strictObject({
      agent: idText,
      epoch: v.exactOptional(v.pipe(v.number(), v.integer())),
    }),
  },
  output: HandoffTask.result,
  handler: ({ params: { taskId }, body: { agent, epoch } }, { ask: question }) =>
    question(HandoffTask, { task_id: taskId, target_agent: agent, ...given({ epoch }) }),
});

export const getHistory = operation({
  name: "getHistory",
  group: GROUP,
  method: "get",
  path: "/history",
  summary:
    "Ended and running runs with their verdicts, the last success, the last verification of each destination",
  input: { query: v.object({ limit: v.exactOptional(wholeNumber(1, 1_000)) }) },
  output: ask.GetHistory.result,
  handler: ({ query: { limit = PAGE_DEFAULT } }, { ask: question }) =>
    question(ask.GetHistory, { limit }),
});

export const getRecentFiles = operation({
  name: "getRecentFiles",
  group: GROUP,
  method: "get",
  path: "/recent-files",
  summary: "The 15 files handled last, with how far each is at every destination",
  input: { query: v.object({ runId: v.exactOptional(idText) }) },
  output: ask.GetRecentFiles.result,
  handler: ({ query }, { ask: question }) => question(ask.GetRecentFiles, given(query)),
});
