/** `init`: makes repositories; those of one command are replicas of each other. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import {
  parseRepositoryAddress,
  parseRepositoryAddresses,
  type RepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import {
  FROM_PASSWORD_OPTIONS,
  obtainPassword,
  PASSWORD_OPTIONS,
} from "../../protocol/cli/repository_password.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import {
  addReplicas,
  initRepositories,
  isRepository,
  type Repository,
  shortId,
} from "../repository/mod.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { untilInterrupted, useRepositories } from "./use_repositories.ts";

const SYNOPSIS = "init restic:PATH [restic:PATH2 ...] [--from restic:OTHER] [OPTIONS]";

export function createInitCommand(world: RepositoryWorld): Command {
  return {
    name: "init",
    summary: "Make a repository for snapshots, in restic's format, or several that are replicas",
    synopsis: [SYNOPSIS],
    about: [
      "A repository holds snapshots: deduplicated, compressed and encrypted. Stock restic reads and writes it too. Those made " +
      "together have the same keys, so that each can put another right. Without the password nothing can ever be restored.",
      "With --from the new ones become replicas of a repository that is there, and have its passwords; they are empty at " +
      "first. The last folder of a path is made, those above it must be there.",
    ],
    options: [
      ...PASSWORD_OPTIONS,
      "from",
      "repositoryVersion",
      ...FROM_PASSWORD_OPTIONS,
      "wait",
      "timeout",
      "json",
      "quiet",
    ],
    optionHelp: {
      from: "Repository, as restic:PATH, that the new ones are to be replicas of",
      passwordFile: "File with the new password; or set RESTIC_PASSWORD",
      passwordCommand: "Shell command that prints the new password",
      fromPasswordFile: "File with the password of --from, when it is another",
      fromPasswordCommand: "Shell command that prints the password of --from",
    },
    examples: [
      {
        says: "two replicas on two disks",
        words: "init restic:/mnt/ssd/backup restic:/mnt/nas/backup",
      },
      {
        says: "one more for a repository",
        words: "init restic:/mnt/new/backup --from restic:/mnt/ssd/backup",
      },
    ],
    exitCodes: [0, 1, 2, 10, 12, 130],
    exitMeanings: {
      0: "the repositories are made",
      1: "failed: there is a repository already, or a folder cannot be written",
    },
    run: (call) => runInit(world, call),
  };
}

async function runInit(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const { settings, surroundings, positionals } = call;
  const addresses = parseRepositoryAddresses(positionals, surroundings.folder);
  if (addresses === undefined) {
    throw new BackupError("usage", "No repository is given", { hint: SYNOPSIS });
  }
  const [from, more] = settings.get("from").value;
  if (more !== undefined) {
    throw new BackupError("usage", "--from is given twice", { hint: SYNOPSIS });
  }
  if (from === undefined) {
    await untilInterrupted(call, () => makeNew(world, call, addresses));
  } else {
    const source = parseRepositoryAddress(from, surroundings.folder);
    await useRepositories(world, call, [source], { lock: "none" }, async ({ repositories }) => {
      const [{ repository }] = repositories as [typeof repositories[number]];
      await withNewStores(world, call, addresses, async (stores) => {
        report(call, addresses, await addReplicas(repository, stores));
      });
    });
  }
  return 0;
}

async function makeNew(
  world: RepositoryWorld,
  call: CommandCall,
  addresses: readonly RepositoryAddress[],
): Promise<void> {
  const { settings, clock } = call;
  await withNewStores(world, call, addresses, async (stores) => {
    const password = await obtainPassword(call, addresses[0]!.key, { isNew: true });
    const { owner } = world.lockContext(call);
    const made = await initRepositories(stores, world.kernels, clock, {
      username: owner.username,
      hostname: owner.hostname,
      password,
      kdf: world.kdf(clock),
      version: settings.get("repositoryVersion").value,
    });
    report(call, addresses, made);
  });
}

/** Opens all places before anything is written, and refuses when a repository is in any of them. */
async function withNewStores(
  world: RepositoryWorld,
  { settings }: CommandCall,
  addresses: readonly RepositoryAddress[],
  use: (stores: ObjectStore[]) => Promise<void>,
): Promise<void> {
  const stores: ObjectStore[] = [];
  const timeoutMs = settings.get("timeout").value;
  try {
    for (const { path, key } of addresses) {
      const store = await world.openStore(path, { make: true, timeoutMs });
      stores.push(store);
      if (await isRepository(store)) {
        throw new BackupError("rejected", `There is a repository at ${key} already`, { path });
      }
    }
    await use(stores);
  } finally {
    for (const store of stores) store.close();
  }
}

function report(
  { settings, terminal }: CommandCall,
  addresses: readonly RepositoryAddress[],
  made: readonly Repository[],
): void {
  for (const [i, { config }] of made.entries()) {
    const { key } = addresses[i]!;
    if (settings.get("json").value) {
      terminal.out(jsonLine({ message_type: "initialized", id: config.id, repository: key }));
    } else if (!settings.get("quiet").value) {
      terminal.out(`${visibleText(key)} is a new repository, ${shortId(config.id)}.\n`);
    }
  }
}
