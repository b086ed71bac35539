/**
 * `submit`: what `backup` does, by a coordinator's agents. Rule: it ends with the exit code of the run, so a script cannot
 * tell the two apart.
 */
import * as v from "valibot";
import { BackupError, ERROR_CODES, type ErrorCode } from "../../../protocol/base/errors.ts";
import { newId } from "../../../protocol/base/ids.ts";
import type { Command, CommandCall } from "../../../protocol/cli/command.ts";
import { jsonLine } from "../../../protocol/cli/error_line.ts";
import {
  type ForRepository,
  valueForRepository,
  valuesForRepositories,
} from "../../../protocol/cli/for_repository.ts";
import { REPOSITORY_PREFIX } from "../../../protocol/cli/repository_address.ts";
import { watchInterrupts } from "../../../protocol/cli/interrupt.ts";
import type { Settings } from "../../../protocol/cli/settings.ts";
import type { Surroundings } from "../../../protocol/cli/surroundings.ts";
import { KeyNames } from "../../../protocol/mesh/job.ts";
import { CancelRun, SubmitJob } from "../../../protocol/mesh/methods.ts";
import { JOB_OPTION_HELP, JOB_OPTIONS } from "../backup.ts";
import { createDisplay } from "../create_display.ts";
import { firstProgress } from "../first_progress.ts";
import { jobFromSettings } from "../job_from_settings.ts";
import { repositoriesOf } from "../read_repositories.ts";
import { COORDINATOR_OPTIONS, type CoordinatorLink, linkOf } from "./coordinator_call.ts";
import { followRun, type RunEnd } from "./follow_run.ts";
import type { MeshDoor } from "./mesh_door.ts";

/** How long a cancelled run may take to say its end. */
export const CANCEL_PATIENCE_MS = 5_000;

export function createSubmitCommand(door: MeshDoor): Command {
  return {
    name: "submit",
    summary: "Let a coordinator's agents copy folders and verify every copy",
    synopsis: ["submit SOURCE... --to DEST [--to DEST ...] [OPTIONS]"],
    about: [
      "Takes what backup takes, and follows the run in the same way. SOURCE is a folder of this machine, or ROOT:PATH for " +
      "one below a root that an agent was started with. Ctrl-C cancels the run; with --detach it goes on by itself, and " +
      "run ID --follow shows it again.",
      "--after, --sequential, --parallel and --requires name a source by the name of its copy. Secrets stay with the agents: " +
      "--passphrase-name, --identity-name and, for repositories, --password-name say which of their --secret they use.",
    ],
    options: [
      ...JOB_OPTIONS,
      "after",
      "sequential",
      "parallel",
      "requires",
      "passphraseName",
      "identityName",
      "passwordName",
      "detach",
      ...COORDINATOR_OPTIONS.filter((key) => key !== "json"),
    ],
    examples: [
      {
        says: "two copies by whichever agents are idle",
        words: "submit ~/Photos --to /mnt/ssd --to /mnt/nas",
      },
      {
        says: "one after the other, one compressed",
        words:
          "submit ~/Documents ~/.ssh --to /mnt/nas --after .ssh=Documents --requires Documents=compress",
      },
    ],
    optionHelp: JOB_OPTION_HELP,
    exitCodes: [0, 1, 2, 3, 4, 10, 11, 12, 130],
    run: (call) => submit(call, door),
  };
}

async function submit(call: CommandCall, door: MeshDoor): Promise<number> {
  const { settings, surroundings, terminal } = call;
  const link = linkOf(call, door);
  const hostId = door.hostId(link.stateDir);
  const job = jobFromSettings(
    call.positionals,
    settings,
    surroundings,
    keyNames(settings, surroundings),
    hostId,
  );
  // Sent again after a lost answer, the key makes sure that it is one run.
  const { runId } = await link.ask(SubmitJob, { job, idempotencyKey: newId("msg") });
  if (settings.get("detach").value) {
    if (settings.get("json").value) {
      terminal.out(jsonLine({ message_type: "submitted", run_id: runId }));
    } else terminal.out(`${runId}\n`);
    return 0;
  }
  return await showRun(call, link, runId, firstProgress(job), "cancels");
}

/** Shows a run to its end and returns its exit code. What Ctrl-C does to the run is the caller's choice. */
export async function showRun(
  call: CommandCall,
  link: CoordinatorLink,
  runId: string,
  first: ReturnType<typeof firstProgress>,
  interrupt: "cancels" | "leaves",
): Promise<number> {
  const { clock } = call;
  const over = new AbortController();
  const interrupts = watchInterrupts(call.signals, () => {
    if (interrupt === "leaves") return over.abort(new BackupError("cancelled", "The run goes on"));
    display.note("Cancelling; once more to stop at once");
    link.ask(CancelRun, { runId }).catch((thrown) => over.abort(thrown));
    clock.sleep(CANCEL_PATIENCE_MS, over.signal).then(
      () =>
        over.abort(
          new BackupError("cancelled", "Cancelled; the coordinator has not told the end yet"),
        ),
      () => {},
    );
  });
  const display = createDisplay(call, first);
  let end: RunEnd;
  try {
    end = await followRun(link, runId, display, { clock, signal: over.signal });
  } finally {
    over.abort(new BackupError("cancelled", "Over"));
    interrupts.close();
    display.close();
  }
  if (end.report !== null) {
    display.report(end.report);
    return end.report.exitCode;
  }
  if (end.state === "cancelled") {
    throw new BackupError("cancelled", "The run was cancelled before it began");
  }
  const { code, message, hint } = end.error ??
    { code: "internal", message: `The run is ${end.state}, and nothing says why` };
  const known = ERROR_CODES.find((c): c is ErrorCode => c === code) ?? "internal";
  throw new BackupError(known, message, hint === undefined ? {} : { hint });
}

/** @throws {BackupError} `usage` */
function keyNames(settings: Settings, at: Surroundings): KeyNames {
  const passphrase = settings.get("passphraseName").value;
  const identities = settings.get("identityName").value;
  const names = v.safeParse(KeyNames, {
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(identities.length === 0 ? {} : { identities }),
    ...repositoryNames(settings, at),
  });
  if (names.success) return names.output;
  const wrong = JSON.stringify(names.issues[0].input);
  throw new BackupError("usage", `${wrong} is no name of a secret`, {
    hint: "Names are small letters, digits and dashes, as the agents' --secret has them",
  });
}

/** @throws {BackupError} `usage` for a repository without a password */
function repositoryNames(settings: Settings, at: Surroundings): KeyNames {
  const repositories = repositoriesOf(settings, at);
  if (repositories.length === 0) return {};
  const passwords = valuesForRepositories(settings, "passwordName", at, repositories);
  const hints = valuesForRepositories(settings, "keyHint", at, repositories);
  const without = repositories.find(({ path }) => !valueForRepository(passwords, path));
  if (without !== undefined) {
    throw new BackupError(
      "usage",
      `The agents are not told which password opens ${without.key}`,
      {
        hint: "Give --password-name NAME, and each agent --secret NAME=file:PATH; for one " +
          "repository alone --password-name restic:PATH=NAME",
      },
    );
  }
  const valueOf = (values: readonly ForRepository[], wanted: string | undefined) =>
    values.find(({ path }) => path === wanted)?.value;
  const entry = (path: string | undefined) => {
    const password = valueOf(passwords, path);
    const keyHint = valueOf(hints, path);
    return {
      ...(password === undefined ? {} : { password }),
      ...(keyHint === undefined ? {} : { keyHint }),
    };
  };
  const all = entry(undefined);
  const own = repositories.flatMap(({ path }) => {
    const one = entry(path);
    const repository = REPOSITORY_PREFIX + path;
    return Object.keys(one).length === 0 ? [] : [{ repository, ...one }];
  });
  return {
    ...(all.password === undefined ? {} : { repositoryPassword: all.password }),
    ...(all.keyHint === undefined ? {} : { repositoryKeyHint: all.keyHint }),
    ...(own.length === 0 ? {} : { repositories: own }),
  };
}
