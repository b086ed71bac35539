/** Operations about the program itself: status, health, version, machine, logs, settings, logging in. */
import { Buffer } from "node:buffer";
import * as v from "valibot";
import * as ask from "../../protocol/mesh/console_methods.ts";
import { ConsoleState, PublicStatus } from "../../protocol/mesh/console_state.ts";
import { download, operation } from "./operation.ts";
import { anyText, given, idText, PAGE_DEFAULT, wholeNumber } from "./query_values.ts";

const GROUP = "Program";

export const getStatus = operation({
  name: "getStatus",
  group: GROUP,
  method: "get",
  path: "/status",
  summary:
    "How all runs and agents are. Without credentials no path, no name and no host is told; with them the whole picture " +
    "that the socket gives, for who cannot use that",
  input: {},
  isOpen: true,
  output: v.object({
    ...PublicStatus.entries,
    /** With credentials. */
    state: v.exactOptional(ConsoleState),
  }),
  async handler(_, { ask: question, isKnown }) {
    const status = await question(ask.GetPublicStatus, {});
    if (!isKnown) return status;
    const { state } = await question(ask.GetConsole, {});
    return { ...status, state };
  },
});

export const getHealth = operation({
  name: "getHealth",
  group: GROUP,
  method: "get",
  path: "/health",
  summary: "Whether dashboard and coordinator serve; 503 when the coordinator does not answer",
  input: {},
  isOpen: true,
  output: v.object({ status: v.literal("ok"), coordinator: v.literal("ok") }),
  async handler(_, { ask: question }) {
    await question(ask.GetPublicStatus, {});
    return { status: "ok", coordinator: "ok" } as const;
  },
});

export const getVersion = operation({
  name: "getVersion",
  group: GROUP,
  method: "get",
  path: "/version",
  summary: "The versions of dashboard and coordinator",
  input: {},
  output: v.object({ dashboard: v.string(), coordinator: v.string() }),
  async handler(_, { ask: question, version }) {
    const { version: coordinator } = await question(ask.GetPublicStatus, {});
    return { dashboard: version, coordinator };
  },
});

export const getMachine = operation({
  name: "getMachine",
  group: GROUP,
  method: "get",
  path: "/machine",
  summary: "Processors, memory and load of the coordinator's machine",
  input: {},
  output: ask.GetMachine.result,
  handler: (_, { ask: question }) => question(ask.GetMachine, {}),
});

export const getSettings = operation({
  name: "getSettings",
  group: GROUP,
  method: "get",
  path: "/settings",
  summary: "How new jobs are made when nothing else is said",
  input: {},
  output: ask.GetSettings.result,
  handler: (_, { ask: question }) => question(ask.GetSettings, {}),
});

export const changeSettings = operation({
  name: "changeSettings",
  group: GROUP,
  method: "patch",
  path: "/settings",
  summary: "Changes the settings that are given and keeps the rest",
  input: { body: ask.ChangeSettings.params },
  output: ask.ChangeSettings.result,
  handler: ({ body }, { ask: question }) => question(ask.ChangeSettings, body),
});

export const tailLog = operation({
  name: "tailLog",
  group: "Logs",
  method: "get",
  path: "/logs",
  summary: "The latest lines of the coordinator's log, filtered by level, text or run",
  input: {
    query: v.object({
      limit: v.exactOptional(wholeNumber(1, 1_000)),
      level: v.exactOptional(ask.LogLevelName),
      contains: v.exactOptional(anyText),
      runId: v.exactOptional(idText),
    }),
  },
  output: ask.TailLog.result,
  handler: ({ query: { limit = PAGE_DEFAULT, ...filter } }, { ask: question }) =>
    question(ask.TailLog, { limit, ...given(filter) }),
});

export const listLogs = operation({
  name: "listLogs",
  group: "Logs",
  method: "get",
  path: "/logs/files",
  summary: "The log files there are",
  input: {},
  output: ask.ListLogs.result,
  handler: (_, { ask: question }) => question(ask.ListLogs, {}),
});

export const downloadLog = download({
  name: "downloadLog",
  group: "Logs",
  path: "/logs/files/:name",
  summary: "One log file, JSON lines",
  input: { params: v.object({ name: idText }) },
  async handler({ params: { name } }, { ask: question }) {
    // The first piece is asked for before the answer begins: a log that is not there is 404.
    let piece: v.InferOutput<typeof ask.ReadLog.result> | undefined = await question(
      ask.ReadLog,
      { name, offset: 0 },
    );
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (piece === undefined) return controller.close();
        controller.enqueue(new Uint8Array(Buffer.from(piece.base64, "base64")));
        const { nextOffset } = piece;
        piece = nextOffset === null
          ? undefined
          : await question(ask.ReadLog, { name, offset: nextOffset });
      },
    }, { highWaterMark: 0 });
    return fileResponse(body, name, "application/jsonl");
  },
});

export const newLogin = operation({
  name: "newLogin",
  group: "Logging in",
  method: "post",
  path: "/logins",
  summary: "A new address that logs one browser in, once, within an hour",
  input: {},
  status: 201,
  output: v.object({ url: v.string(), expiresInMs: v.number() }),
  handler: (_, { mintLogin }) => Promise.resolve(mintLogin()),
});

export const logOut = operation({
  name: "logOut",
  group: "Logging in",
  method: "delete",
  path: "/session",
  summary: "Ends this browser's session",
  input: {},
  output: v.object({ ended: v.boolean() }),
  handler(_, { endSession }) {
    endSession();
    return Promise.resolve({ ended: true });
  },
});

/** Never shown by a browser in its place: what is in it is a stranger's. */
export function fileResponse(
  body: ReadableStream<Uint8Array>,
  name: string,
  mediaType: string,
  sizeBytes?: number,
): Response {
  return new Response(body, {
    headers: {
      "content-type": mediaType,
      "content-disposition": `attachment; filename*=UTF-8''${encodeRfc8187(name)}`,
      ...(sizeBytes === undefined ? {} : { "content-length": String(sizeBytes) }),
    },
  });
}

/** RFC 8187: percent-encoded but for attr-char. */
function encodeRfc8187(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
