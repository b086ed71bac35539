/** `unlock`: removes locks that nobody holds any more. */
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { formatPlural } from "../../protocol/cli/format.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import { PASSWORD_OPTIONS } from "../../protocol/cli/repository_password.ts";
import { describeLock, readLocks, shortId, unlockRepository } from "../repository/mod.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { addressOf, refuseMore, useRepositories } from "./use_repositories.ts";

const SYNOPSIS = "unlock restic:PATH [--remove-all]";

export function createUnlockCommand(world: RepositoryWorld): Command {
  return {
    name: "unlock",
    summary: "Remove locks of a repository that nobody holds any more",
    synopsis: [SYNOPSIS],
    about: [
      "A lock is removed when it was not refreshed for half an hour, or when its process on this machine has ended. Those of " +
      "our own crashed runs on this machine need no unlock: the next command removes them.",
    ],
    options: ["removeAll", ...PASSWORD_OPTIONS, "timeout", "json", "quiet"],
    examples: [{ says: "after another machine crashed", words: "unlock restic:/mnt/nas/backup" }],
    exitCodes: [0, 1, 2, 10, 12, 130],
    exitMeanings: { 0: "stale locks are removed, if there were any", 1: "failed" },
    run: (call) => runUnlock(world, call),
  };
}

async function runUnlock(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const { settings, terminal } = call;
  const address = addressOf(call, call.positionals[0], SYNOPSIS);
  refuseMore(call.positionals, 1, SYNOPSIS);
  return await useRepositories(world, call, [address], { lock: "none" }, async (opened) => {
    const { repository } = opened.repositories[0]!;
    const all = settings.get("removeAll").value;
    const removed = await unlockRepository(repository, world.lockContext(call), { all });
    const left = await readLocks(repository);
    if (settings.get("json").value) {
      const ids = removed.map(({ id }) => id);
      terminal.out(jsonLine({ message_type: "summary", removed: ids, left: left.length }));
    } else if (!settings.get("quiet").value) {
      const say = (done: string, { id, lock }: typeof left[number]) => {
        const what = lock === undefined ? "cannot be read" : describeLock(lock);
        terminal.out(`${done} ${shortId(id)}: ${visibleText(what)}.\n`);
      };
      for (const one of removed) say("Removed", one);
      for (const one of left) say("Left", one);
      const held = left.length === 0
        ? ""
        : `, ${left.length} held still; --remove-all removes those too, once nobody works there`;
      terminal.out(`${formatPlural(removed.length, "lock")} removed${held}.\n`);
    }
    return 0;
  });
}
