/** `init`: makes repositories; those of one command are replicas of each other. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import {
  parseRepositoryAddress,
  parseRepositoryAddresses,
  type RepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { FROM_PASSWORD_OPTIONS, PASSWORD_OPTIONS } from "../../protocol/cli/repository_password.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import {
  addReplicas,
  addReplicaWithKey,
  finishRepository,
  initRepositories,
  isRepository,
  openRepository,
  removeLeftoversOfDead,
  type Repository,
  type RepositoryVersion,
  shortId,
  writerOf,
} from "../repository/mod.ts";
import { RepositoryPasswords } from "./repository_passwords.ts";
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
      "together have the same master key, so that each can put another right; with --password-file restic:PATH=FILE one has a " +
      "password of its own. Without the password nothing can ever be restored.",
      "With --from the new ones become replicas of a repository that is there, and have its passwords unless others are given; " +
      "they are empty at first. The last folder of a path is made, those above it must be there.",
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
      passwordFile:
        "File with the new password, or restic:PATH=FILE for one; or set RESTIC_PASSWORD",
      passwordCommand: "Shell command that prints the new password, or restic:PATH=COMMAND for one",
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
    const passwords = new RepositoryPasswords(call, [source, ...addresses], [source]);
    const options = { lock: "none", passwords } as const;
    await useRepositories(world, call, [source], options, async ({ repositories }) => {
      const [{ repository }] = repositories as [typeof repositories[number]];
      await withNewStores(world, call, addresses, async (stores) => {
        const made: Repository[] = [];
        for (const [i, store] of stores.entries()) {
          const own = await passwords.forReplica(addresses[i]!, source);
          made.push(await replica(world, call, repository, store, own));
        }
        report(call, addresses, made);
      });
    });
  }
  return 0;
}

/** With the passwords of the other, or with one of its own alone. */
async function replica(
  world: RepositoryWorld,
  call: CommandCall,
  like: Repository,
  store: ObjectStore,
  password: string | undefined,
): Promise<Repository> {
  if (password === undefined) return (await addReplicas(like, [store]))[0]!;
  return await addReplicaWithKey(like, store, call.clock, {
    ...ownerOf(world, call),
    password,
    kdf: world.kdf(call.clock),
  });
}

function ownerOf(world: RepositoryWorld, call: CommandCall) {
  const { username, hostname } = world.lockContext(call).owner;
  return { username, hostname };
}

async function makeNew(
  world: RepositoryWorld,
  call: CommandCall,
  addresses: readonly RepositoryAddress[],
): Promise<void> {
  const { settings } = call;
  const passwords = new RepositoryPasswords(call, addresses);
  await withNewStores(world, call, addresses, async (stores) => {
    const given = await passwords.forNew(addresses);
    const version = settings.get("repositoryVersion").value;
    const like = await begunIn(world, stores, given, version) ??
      await newIn(world, call, given[0]!, version);
    const alike = stores.filter((_, i) => given[i] === like.password);
    const replicas = await addReplicas(like.repository, alike);
    const made: Repository[] = [];
    for (const [i, store] of stores.entries()) {
      made.push(
        given[i] === like.password
          ? replicas.shift()!
          : await replica(world, call, like.repository, store, given[i]),
      );
    }
    report(call, addresses, made);
  });
}

/** One in memory, which all that are made are replicas of. */
interface Pattern {
  repository: Repository;
  password: string;
}

async function newIn(
  world: RepositoryWorld,
  call: CommandCall,
  password: string,
  version: RepositoryVersion,
): Promise<Pattern> {
  const { clock } = call;
  const [repository] = await initRepositories([new MemoryObjectStore()], world.kernels, clock, {
    ...ownerOf(world, call),
    password,
    kdf: world.kdf(clock),
    version,
  });
  return { repository: repository!, password };
}

/** What a making that was cut off has left, with its key; undefined when nothing is there, or another's. */
async function begunIn(
  { kernels }: RepositoryWorld,
  stores: readonly ObjectStore[],
  given: readonly string[],
  version: RepositoryVersion,
): Promise<Pattern | undefined> {
  for (const [i, store] of stores.entries()) {
    const password = given[i]!;
    const files = await finishRepository(store, kernels, { password }, version);
    if (files === undefined) continue;
    const memory = new MemoryObjectStore();
    for (const [name, bytes] of files) await memory.put(name, [bytes]);
    return { repository: await openRepository(memory, kernels, { password }), password };
  }
  return undefined;
}

/** Opens all places before anything is written, and refuses when a repository is in any of them. */
async function withNewStores(
  world: RepositoryWorld,
  call: CommandCall,
  addresses: readonly RepositoryAddress[],
  use: (stores: ObjectStore[]) => Promise<void>,
): Promise<void> {
  const stores: ObjectStore[] = [];
  const timeoutMs = call.settings.get("timeout").value;
  const { owner, isAlive } = world.lockContext(call);
  const writer = writerOf(owner.process);
  try {
    for (const { path, key } of addresses) {
      const store = await world.openStore(path, { make: true, timeoutMs, writer });
      stores.push(store);
      if (await isRepository(store)) {
        throw new BackupError("rejected", `There is a repository at ${key} already`, {
          path,
          ...(addresses.length > 1 && {
            hint: `init with the others alone and --from ${key} makes them its replicas`,
          }),
        });
      }
      await removeLeftoversOfDead(store, owner.process, isAlive);
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
