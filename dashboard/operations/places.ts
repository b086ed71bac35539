/** Operations about destinations and directories. */
import * as v from "valibot";
import * as ask from "../../protocol/mesh/console_methods.ts";
import { PlaceCard } from "../../protocol/mesh/console_state.ts";
import { operation } from "./operation.ts";
import { given, idText, pathText, wholeNumber } from "./query_values.ts";

const DESTINATIONS = "Destinations";
const DIRECTORIES = "Directories";
const SIZES_WITHIN_MS = 3_000;
const ofPlace = v.object({ placeId: idText });

export const listDestinations = operation({
  name: "listDestinations",
  group: DESTINATIONS,
  method: "get",
  path: "/destinations",
  summary: "The places that are known, with their room and last verification",
  input: {},
  output: ask.ListPlaces.result,
  handler: (_, { ask: question }) => question(ask.ListPlaces, {}),
});

export const addDestination = operation({
  name: "addDestination",
  group: DESTINATIONS,
  method: "post",
  path: "/destinations",
  summary: "Remembers a place; one that is known is changed",
  input: { body: ask.AddPlace.params },
  status: 201,
  output: ask.AddPlace.result,
  handler: ({ body }, { ask: question }) => question(ask.AddPlace, body),
});

export const testDestination = operation({
  name: "testDestination",
  group: DESTINATIONS,
  method: "post",
  path: "/destinations/test",
  summary:
    "Looks at a place, by its id or absolute path, and writes, reads back and removes a small file there",
  input: { body: v.strictObject({ place: pathText, writes: v.exactOptional(v.boolean()) }) },
  output: ask.TestPlace.result,
  handler: ({ body: { place, writes = true } }, { ask: question }) =>
    question(ask.TestPlace, { place, writes }),
});

export const getDestinationSpace = operation({
  name: "getDestinationSpace",
  group: DESTINATIONS,
  method: "get",
  path: "/destinations/:placeId/space",
  summary: "The room at a place, looked at now",
  input: { params: ofPlace },
  output: v.object({
    freeBytes: PlaceCard.entries.freeBytes,
    totalBytes: PlaceCard.entries.totalBytes,
    fileSystem: v.nullable(v.string()),
    problem: v.exactOptional(v.string()),
  }),
  async handler({ params: { placeId } }, { ask: question }) {
    const { found } = await question(ask.TestPlace, { place: placeId, writes: false });
    const { freeBytes, totalBytes, fileSystem, problem } = found;
    return { freeBytes, totalBytes, fileSystem, ...(problem === undefined ? {} : { problem }) };
  },
});

export const forgetDestination = operation({
  name: "forgetDestination",
  group: DESTINATIONS,
  method: "delete",
  path: "/destinations/:placeId",
  summary: "Forgets a place; nothing at it is touched",
  input: { params: ofPlace },
  output: ask.ForgetPlace.result,
  handler: ({ params }, { ask: question }) => question(ask.ForgetPlace, params),
});

export const discoverDirectories = operation({
  name: "discoverDirectories",
  group: DIRECTORIES,
  method: "get",
  path: "/directories",
  summary: "The folders in a folder of an agent's machine, hidden ones too, each with its size",
  input: {
    query: v.object({
      path: v.exactOptional(pathText),
      agentId: v.exactOptional(idText),
      /** For all sizes together; 0: names only. */
      withinMs: v.exactOptional(wholeNumber(0, 60_000)),
    }),
  },
  output: ask.DiscoverDirectories.result,
  handler: ({ query: { withinMs = SIZES_WITHIN_MS, ...where } }, { ask: question }) =>
    question(ask.DiscoverDirectories, { withinMs, ...given(where) }),
});

export const listSelected = operation({
  name: "listSelected",
  group: DIRECTORIES,
  method: "get",
  path: "/selection",
  summary: "The directories that are selected for copying",
  input: {},
  output: ask.ListSelection.result,
  handler: (_, { ask: question }) => question(ask.ListSelection, {}),
});

export const selectDirectory = operation({
  name: "selectDirectory",
  group: DIRECTORIES,
  method: "post",
  path: "/selection",
  summary: "Selects a directory; a second time changes its name at most",
  input: { body: ask.SelectDirectory.params },
  status: 201,
  output: ask.SelectDirectory.result,
  handler: ({ body }, { ask: question }) => question(ask.SelectDirectory, body),
});

export const deselectDirectory = operation({
  name: "deselectDirectory",
  group: DIRECTORIES,
  method: "delete",
  path: "/selection/:directoryId",
  summary: "Takes a directory out of the selection",
  input: { params: v.object({ directoryId: idText }) },
  output: ask.DeselectDirectory.result,
  handler: ({ params }, { ask: question }) => question(ask.DeselectDirectory, params),
});
