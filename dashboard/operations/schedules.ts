/** Operations about profiles and schedules. */
import * as v from "valibot";
import { JobRequest, NewSchedule } from "../../protocol/mesh/console_documents.ts";
import * as ask from "../../protocol/mesh/console_methods.ts";
import { operation } from "./operation.ts";
import { idText } from "./query_values.ts";

const PROFILES = "Profiles";
const SCHEDULES = "Schedules";
const ofProfile = v.object({ name: idText });
const ofSchedule = v.object({ scheduleId: idText });

export const listProfiles = operation({
  name: "listProfiles",
  group: PROFILES,
  method: "get",
  path: "/profiles",
  summary: "Jobs that were given a name",
  input: {},
  output: ask.ListProfiles.result,
  handler: (_, { ask: question }) => question(ask.ListProfiles, {}),
});

export const putProfile = operation({
  name: "putProfile",
  group: PROFILES,
  method: "put",
  path: "/profiles/:name",
  summary: "Keeps a job under a name, in the place of what had that name",
  input: { params: ofProfile, body: v.strictObject({ job: JobRequest }) },
  output: ask.PutProfile.result,
  handler: ({ params, body }, { ask: question }) =>
    question(ask.PutProfile, { ...params, ...body }),
});

export const dropProfile = operation({
  name: "dropProfile",
  group: PROFILES,
  method: "delete",
  path: "/profiles/:name",
  summary: "Forgets a profile",
  input: { params: ofProfile },
  output: ask.DropProfile.result,
  handler: ({ params }, { ask: question }) => question(ask.DropProfile, params),
});

export const startProfile = operation({
  name: "startProfile",
  group: PROFILES,
  method: "post",
  path: "/profiles/:name/start",
  summary: "Starts a run of a profile",
  input: { params: ofProfile },
  status: 202,
  output: ask.StartRun.result,
  handler: ({ params: { name } }, { ask: question }) => question(ask.StartRun, { profile: name }),
});

export const listSchedules = operation({
  name: "listSchedules",
  group: SCHEDULES,
  method: "get",
  path: "/schedules",
  summary: "What begins by itself, with when it is due next",
  input: {},
  output: ask.ListSchedules.result,
  handler: (_, { ask: question }) => question(ask.ListSchedules, {}),
});

export const addSchedule = operation({
  name: "addSchedule",
  group: SCHEDULES,
  method: "post",
  path: "/schedules",
  summary: "Runs a job or a profile by a cron expression or at an interval",
  input: { body: NewSchedule },
  status: 201,
  output: ask.PutSchedule.result,
  handler: ({ body }, { ask: question }) => question(ask.PutSchedule, { schedule: body }),
});

export const changeSchedule = operation({
  name: "changeSchedule",
  group: SCHEDULES,
  method: "put",
  path: "/schedules/:scheduleId",
  summary: "Puts a schedule in the place of an earlier one",
  input: { params: ofSchedule, body: NewSchedule },
  output: ask.PutSchedule.result,
  handler: ({ params, body }, { ask: question }) =>
    question(ask.PutSchedule, { ...params, schedule: body }),
});

export const dropSchedule = operation({
  name: "dropSchedule",
  group: SCHEDULES,
  method: "delete",
  path: "/schedules/:scheduleId",
  summary: "Forgets a schedule; a run of it that goes on, goes on",
  input: { params: ofSchedule },
  output: ask.DropSchedule.result,
  handler: ({ params }, { ask: question }) => question(ask.DropSchedule, params),
});

export const startSchedule = operation({
  name: "startSchedule",
  group: SCHEDULES,
  method: "post",
  path: "/schedules/:scheduleId/start",
  summary: "Starts its run now, whatever its times are",
  input: { params: ofSchedule },
  status: 202,
  output: ask.StartSchedule.result,
  handler: ({ params }, { ask: question }) => question(ask.StartSchedule, params),
});
