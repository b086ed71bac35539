/** `key`: the passwords of a repository. Rule: a new one is proven to open it before an old one goes. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { isRepositoryAddress } from "../../protocol/cli/repository_address.ts";
import { askPassword, readPassword } from "../../protocol/cli/repository_password.ts";
import { settingPath } from "../../protocol/cli/settings.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import {
  addKey,
  type ListedKey,
  listKeys,
  openRepository,
  removeKey,
  type Repository,
  shortId,
} from "../repository/mod.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { timeText } from "./snapshots.ts";
import { addressOf, OPENING_OPTIONS, useRepositories } from "./use_repositories.ts";

const SYNOPSES = [
  "key list restic:PATH",
  "key add restic:PATH [--new-password-file FILE] [--user NAME] [--host HOST]",
  "key remove restic:PATH ID",
  "key passwd restic:PATH [--new-password-file FILE]",
];
const VERBS = ["list", "add", "remove", "passwd"] as const;
type Verb = (typeof VERBS)[number];

export function createKeyCommand(world: RepositoryWorld): Command {
  return {
    name: "key",
    summary: "List, add, remove or change the passwords of a repository",
    synopsis: SYNOPSES,
    about: [
      "Every key opens everything. Removing one does not lock out who has kept a copy of its file and knows its password: " +
      "all keys wrap the same master key, which stays. The key that opened the repository is not removed; passwd replaces it.",
    ],
    options: [
      "newPasswordFile",
      "user",
      "snapshotHost",
      ...OPENING_OPTIONS,
      "noLock",
      "json",
      "quiet",
    ],
    optionHelp: { snapshotHost: "Host name to note in the new key" },
    examples: [
      { says: "a second password", words: "key add restic:/mnt/ssd/backup" },
      { says: "and without the first", words: "key remove restic:/mnt/ssd/backup 4f3a2c1d" },
    ],
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    exitMeanings: { 0: "done", 1: "failed: no such key, or it cannot be written" },
    run: (call) => runKey(world, call),
  };
}

async function runKey(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const words = [...call.positionals];
  const at = words.findIndex(isRepositoryAddress);
  const [place] = at < 0 ? [] : words.splice(at, 1);
  const [word, id, more] = words;
  const verb = VERBS.find((one) => one === word);
  const isComplete = verb === "remove" ? id !== undefined : id === undefined;
  if (verb === undefined || !isComplete || more !== undefined) {
    throw new BackupError("usage", "key needs list, add, remove or passwd, and remove an id", {
      hint: SYNOPSES.join("; "),
    });
  }
  const address = addressOf(call, place, SYNOPSES[VERBS.indexOf(verb)]!);
  const lock = verb === "remove" || verb === "passwd"
    ? "exclusive"
    : verb === "list" && call.settings.get("noLock").value
    ? "none"
    : "shared";
  return await useRepositories(world, call, [address], { lock }, async (opened) => {
    const { repository } = opened.repositories[0]!;
    const act: Record<Verb, () => Promise<void>> = {
      list: async () => printKeys(call, await listKeys(repository)),
      add: async () => {
        const { keyId } = await addNew(world, call, repository, address.key);
        say(call, { message_type: "added", id: keyId }, `Key ${shortId(keyId)} is added.`);
      },
      remove: async () => {
        const removed = await removeKey(repository, id!);
        say(call, { message_type: "removed", id: removed }, `Key ${shortId(removed)} is removed.`);
      },
      passwd: async () => {
        const { keyId, password } = await addNew(world, call, repository, address.key);
        // As a person would come next: with the new password alone.
        const { store, kernels } = repository;
        const anew = await openRepository(store, kernels, { password, keyHint: keyId });
        if (anew.keyId !== keyId) {
          await repository.remove("key", keyId);
          throw new BackupError("rejected", "The new password opens a key that is there already");
        }
        await removeKey(anew, repository.keyId);
        say(
          call,
          { message_type: "changed", id: keyId, removed: repository.keyId },
          `The password is changed: key ${shortId(keyId)} instead of ${shortId(repository.keyId)}.`,
        );
      },
    };
    await act[verb]();
    return 0;
  });
}

async function addNew(
  world: RepositoryWorld,
  call: CommandCall,
  repository: Repository,
  name: string,
): Promise<{ keyId: string; password: string }> {
  const { settings, surroundings, clock } = call;
  const file = settings.get("newPasswordFile");
  const password = file.value === undefined
    ? await askNew(call, name)
    : await readPassword({ file: settingPath(file.value, file, surroundings) }, surroundings.env);
  const { owner } = world.lockContext(call);
  const keyId = await addKey(repository, clock, {
    username: settings.get("user").value ?? owner.username,
    hostname: settings.get("snapshotHost").value.at(-1) ?? owner.hostname,
    password,
    kdf: world.kdf(clock),
  });
  return { keyId, password };
}

async function askNew({ terminal }: CommandCall, name: string): Promise<string> {
  try {
    return await askPassword(terminal, name, true);
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== "wrong_key") throw error;
    throw new BackupError("usage", "No new password is given", {
      hint: "Give --new-password-file",
    });
  }
}

function printKeys({ settings, terminal }: CommandCall, keys: readonly ListedKey[]): void {
  if (settings.get("json").value) {
    const list = keys.map(({ id, username, hostname, created, isCurrent }) => ({
      current: isCurrent,
      id: shortId(id),
      userName: username,
      hostName: hostname,
      created: timeText(created),
    }));
    terminal.out(`${JSON.stringify(list)}\n`);
    return;
  }
  for (const { id, username, hostname, created, isCurrent } of keys) {
    const who = visibleText(`${username}@${hostname}`);
    terminal.out(`${isCurrent ? "*" : " "}${shortId(id)}  ${timeText(created)}  ${who}\n`);
  }
}

function say(
  { settings, terminal }: CommandCall,
  message: { message_type: string } & Record<string, unknown>,
  text: string,
): void {
  if (settings.get("json").value) terminal.out(jsonLine(message));
  else if (!settings.get("quiet").value) terminal.out(`${text}\n`);
}
