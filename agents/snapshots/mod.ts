/** The door to the commands on repositories. Rule: others import this file only. */
import type { Command } from "../../protocol/cli/command.ts";
import { createCheckCommand, runVerify } from "./check.ts";
import type { FindInSnapshots } from "../cli/versions_port.ts";
import { runDrill } from "./drill.ts";
import { createForgetCommand } from "./forget.ts";
import { createInitCommand } from "./init.ts";
import { createKeyCommand } from "./key.ts";
import { runFind, runLs } from "./ls.ts";
import { createPruneCommand } from "./prune.ts";
import { createRepairCommand } from "./repair.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { runRestore } from "./restore.ts";
import { createSnapshotsCommand } from "./snapshots.ts";
import { createUnlockCommand } from "./unlock.ts";
import { findSnapshotVersions } from "./versions.ts";

export { createRepositoryWorld, type RepositoryWorld } from "./repository_world.ts";

/** Commands that only repositories have. */
export function createRepositoryCommands(world: RepositoryWorld): Command[] {
  return [
    createInitCommand(world),
    createSnapshotsCommand(world),
    createCheckCommand(world),
    createRepairCommand(world),
    createForgetCommand(world),
    createPruneCommand(world),
    createUnlockCommand(world),
    createKeyCommand(world),
  ];
}

/** What commands on copies do when a repository is named. */
export function repositoryVerbs(world: RepositoryWorld) {
  return {
    ls: (call: Parameters<typeof runLs>[1]) => runLs(world, call),
    find: (call: Parameters<typeof runLs>[1]) => runFind(world, call),
    restore: (call: Parameters<typeof runLs>[1]) => runRestore(world, call),
    verify: (call: Parameters<typeof runLs>[1]) => runVerify(world, call),
    drill: (call: Parameters<typeof runDrill>[1], wishes: Parameters<typeof runDrill>[2]) =>
      runDrill(world, call, wishes),
    versions: (...asked: Parameters<FindInSnapshots>) => findSnapshotVersions(world, ...asked),
  };
}
