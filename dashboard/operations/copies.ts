/** Operations about what is stored: looking, searching, downloading, restoring. */
import { Buffer } from "node:buffer";
import * as v from "valibot";
import { BackupError } from "../../protocol/base/errors.ts";
import type { KeyNames } from "../../protocol/mesh/job.ts";
import * as ask from "../../protocol/mesh/console_methods.ts";
import { download, operation } from "./operation.ts";
import { fileResponse } from "./program.ts";
import { anyText, idText, page, PAGE_DEFAULT, pathText, yesOrNo } from "./query_values.ts";

const GROUP = "Copies";
/** Names of secrets that the agents know; the secrets themselves never come here. */
const keyNames = {
  passphraseName: v.exactOptional(idText),
  identityName: v.exactOptional(idText),
  repositoryPasswordName: v.exactOptional(idText),
};

export const browseCopies = operation({
  name: "browseCopies",
  group: GROUP,
  method: "get",
  path: "/copies",
  summary: "What stands in a folder of a copy; without a path the copies of a place",
  input: {
    query: v.object({ place: pathText, path: v.exactOptional(anyText), ...page, ...keyNames }),
  },
  output: ask.BrowseCopies.result,
  handler: (
    { query: { place, path = "", offset = 0, limit = PAGE_DEFAULT, ...names } },
    { ask: question },
  ) => question(ask.BrowseCopies, { place, at: path, offset, limit, ...keysOf(names) }),
});

export const searchCopies = operation({
  name: "searchCopies",
  group: GROUP,
  method: "get",
  path: "/copies/search",
  summary: "Entries by name or path, with * and ? and **, in all copies of a place",
  input: {
    query: v.object({
      place: pathText,
      pattern: pathText,
      ignoreCase: v.exactOptional(yesOrNo),
      ...page,
      ...keyNames,
    }),
  },
  output: ask.BrowseCopies.result,
  handler: (
    { query: { place, pattern, ignoreCase = true, offset = 0, limit = PAGE_DEFAULT, ...names } },
    { ask: question },
  ) =>
    question(ask.BrowseCopies, {
      ...{ place, at: "", pattern, ignoreCase, offset, limit },
      ...keysOf(names),
    }),
});

export const downloadFile = download({
  name: "downloadFile",
  group: GROUP,
  path: "/copies/file",
  summary: "The content of one stored file, decoded and checked by its SHA-256",
  input: { query: v.object({ place: pathText, path: pathText, ...keyNames }) },
  async handler({ query: { place, path, ...names } }, { stream }) {
    const events = stream(ask.DownloadFile, { place, entry: path, ...keysOf(names) });
    const head = await events.next();
    if (head.done || head.value.kind !== "head") {
      throw new BackupError("protocol", "The coordinator sent no file");
    }
    const { name, sizeBytes } = head.value;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const step = await events.next();
        if (!step.done && step.value.kind === "bytes") {
          return controller.enqueue(new Uint8Array(Buffer.from(step.value.base64, "base64")));
        }
        if (!step.done && step.value.kind === "end") return controller.close();
        // A file that is not what was recorded must not look whole.
        const why = !step.done && step.value.kind === "broken"
          ? step.value.message
          : "It broke off";
        controller.error(new BackupError("damaged", why));
      },
      async cancel() {
        await events.return();
      },
    }, { highWaterMark: 0 });
    return fileResponse(body, name, "application/octet-stream", sizeBytes);
  },
});

export const startRestore = operation({
  name: "startRestore",
  group: GROUP,
  method: "post",
  path: "/restores",
  summary: "Brings copies, or parts of them, back to a folder of the place's machine",
  input: { body: ask.StartRestore.params },
  status: 202,
  output: ask.StartRestore.result,
  handler: ({ body }, { ask: question }) => question(ask.StartRestore, body),
});

export const listRestores = operation({
  name: "listRestores",
  group: GROUP,
  method: "get",
  path: "/restores",
  summary: "Restores of this coordinator, the newest first; the last 50 that have ended are kept",
  input: {},
  output: ask.ListRestores.result,
  handler: (_, { ask: question }) => question(ask.ListRestores, {}),
});

export const cancelRestore = operation({
  name: "cancelRestore",
  group: GROUP,
  method: "post",
  path: "/restores/:restoreId/cancel",
  summary: "Ends a restore; what is restored stays",
  input: { params: v.object({ restoreId: idText }) },
  output: ask.CancelRestore.result,
  handler: ({ params }, { ask: question }) => question(ask.CancelRestore, params),
});

function keysOf(
  { passphraseName, identityName, repositoryPasswordName }: {
    passphraseName?: string | undefined;
    identityName?: string | undefined;
    repositoryPasswordName?: string | undefined;
  },
): { keys?: KeyNames } {
  const keys: KeyNames = {
    ...(passphraseName === undefined ? {} : { passphrase: passphraseName }),
    ...(identityName === undefined ? {} : { identities: [identityName] }),
    ...(repositoryPasswordName === undefined ? {} : { repositoryPassword: repositoryPasswordName }),
  };
  return Object.keys(keys).length === 0 ? {} : { keys };
}
