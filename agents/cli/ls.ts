/** `ls` and `find`: what is recorded at a destination, without reading the copies. Rule: one entry is one line. */
import { asBackupError, BackupError, type ErrorCode } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { exitCodeOf } from "../../protocol/cli/exit_codes.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { watchInterrupts } from "../../protocol/cli/interrupt.ts";
import { typedPath } from "../../protocol/cli/surroundings.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import { KEY_OPTIONS, type KeySources, keySources } from "./key_sources.ts";
import { isForRepository, type RepositoryVerb, SNAPSHOT_OPTIONS } from "./repository_verbs.ts";
import { type ListedLine, listLine } from "./list_line.ts";

/** What the commands need of the engine; see `ListOptions` there. */
export type ListStored = (options: {
  path: string;
  request:
    | { kind: "ls"; path: string; recursive: boolean }
    | { kind: "find"; pattern: string; ignoreCase: boolean };
  keys: KeySources;
  timeoutMs: number;
  onEntry(entry: ListedLine): boolean;
  signal: AbortSignal;
  clock: CommandCall["clock"];
}) => Promise<{ problems: ListingProblem[]; isThere: boolean; warnings: string[] }>;

/** A list that could not be read. */
interface ListingProblem {
  code: ErrorCode;
  message: string;
  hint?: string;
}

const EXIT_MEANINGS = {
  0: "listed",
  1: "failed: nothing was found there, or a list cannot be read",
} as const;

/** Text is written in pieces of about this size: a call a line would be slow. */
const PRINT_CHARACTERS = 32 << 10;

export function createLsCommand(listStored: ListStored, ofRepository: RepositoryVerb): Command {
  return {
    name: "ls",
    summary: "List what is recorded at a destination, or is in a snapshot",
    synopsis: ["ls DEST [PATH] [OPTIONS]", "ls restic:PATH [SNAPSHOT] [FOLDER] [OPTIONS]"],
    about: [
      "Without PATH the copies at DEST; with PATH, NAME or NAME/path/in/copy, what is in that folder. Each line has type and " +
      "mode, owner, size, time, path and a link's target; entries that the source has lost and those that only the list " +
      "can hold are marked. Copies are not read.",
      "Of a repository everything in SNAPSHOT, the latest by default, or what is in FOLDER of it, which begins with a slash.",
    ],
    options: ["recursive", ...KEY_OPTIONS, ...SNAPSHOT_OPTIONS, "timeout", "wait", "json"],
    examples: [
      { says: "which copies there are", words: "ls /mnt/ssd" },
      { says: "everything in one folder", words: "ls /mnt/ssd Documents/letters --recursive" },
      { says: "a folder of a snapshot", words: "ls restic:/mnt/ssd/backup latest /home/me" },
    ],
    typedOnly: ["tag"],
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    exitMeanings: EXIT_MEANINGS,
    run(call) {
      if (isListingOfRepository(call)) return ofRepository(call);
      const [, typed = ""] = call.positionals;
      const path = typed.replace(/\/+$/, "");
      const recursive = call.settings.get("recursive").value;
      return runListing(call, listStored, 2, { kind: "ls", path, recursive });
    },
  };
}

export function createFindCommand(
  listStored: ListStored,
  ofRepository: RepositoryVerb,
): Command {
  return {
    name: "find",
    summary: "Find recorded entries by name, at a destination or in snapshots",
    synopsis: ["find DEST PATTERN [OPTIONS]", "find restic:PATH PATTERN [OPTIONS]"],
    about: [
      "PATTERN is compared with the name, or when it contains a slash with the path or its end. `*` and `?` stay within a " +
      "name, `**` goes through folders; quote it, or the shell expands it. The paths printed are those that `restore` takes.",
      "In a repository all snapshots are searched, the newest first, or the one that --snapshot names.",
    ],
    options: ["ignoreCase", ...KEY_OPTIONS, ...SNAPSHOT_OPTIONS, "timeout", "wait", "json"],
    optionHelp: {
      snapshot: "Only in this snapshot, by the beginning of its id, or latest; without it in all",
    },
    examples: [
      { says: "by name", words: "find /mnt/ssd '*.odt' -i" },
      { says: "by path", words: "find /mnt/ssd 'letters/**/2024-*'" },
    ],
    // The default of other commands, the latest snapshot, is not that of this one.
    typedOnly: ["tag", "snapshot"],
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    exitMeanings: EXIT_MEANINGS,
    run(call) {
      if (isListingOfRepository(call)) return ofRepository(call);
      const [, pattern] = call.positionals;
      if (pattern === undefined || pattern === "") {
        throw new BackupError("usage", "No pattern is given", { hint: "find DEST PATTERN" });
      }
      const ignoreCase = call.settings.get("ignoreCase").value;
      return runListing(call, listStored, 2, { kind: "find", pattern, ignoreCase });
    },
  };
}

function isListingOfRepository(call: CommandCall): boolean {
  return isForRepository(call, {
    places: call.positionals.slice(0, 1),
    copies: [],
    repositories: SNAPSHOT_OPTIONS,
  });
}

async function runListing(
  call: CommandCall,
  listStored: ListStored,
  positionalsMax: number,
  request: Parameters<ListStored>[0]["request"],
): Promise<number> {
  const { terminal, settings, surroundings, positionals, clock } = call;
  const [typed] = positionals;
  if (typed === undefined || typed === "") {
    throw new BackupError("usage", "No destination is given", {
      hint: "Name the folder that holds the copies",
    });
  }
  if (positionals.length > positionalsMax) {
    throw new BackupError("usage", `Unexpected ${positionals[positionalsMax]}`, {
      hint: request.kind === "find"
        ? "Quote the pattern, or the shell expands it"
        : "ls DEST [PATH]",
    });
  }
  const json = settings.get("json").value;
  let text = "";
  let found = 0;
  const print = () => {
    if (text !== "") terminal.out(text);
    text = "";
  };
  const interrupts = watchInterrupts(call.signals, () => {});
  let ended: Awaited<ReturnType<ListStored>>;
  try {
    ended = await listStored({
      path: typedPath(typed, surroundings.folder),
      request,
      keys: keySources(call),
      timeoutMs: settings.get("timeout").value,
      onEntry(entry) {
        found++;
        text += json ? jsonLine(entry) : `${listLine(entry)}\n`;
        if (text.length >= PRINT_CHARACTERS) print();
        return !interrupts.signal.aborted;
      },
      signal: interrupts.signal,
      clock,
    });
  } catch (thrown) {
    if (interrupts.signal.aborted) throw asBackupError(interrupts.signal.reason);
    throw thrown;
  } finally {
    print();
    interrupts.close();
  }
  if (interrupts.signal.aborted) throw asBackupError(interrupts.signal.reason);
  // Several lists lack the same key: what to do about it is said once.
  const hints = new Set<string>();
  for (const { code, message, hint = "" } of ended.problems) {
    const isNew = hint !== "" && !hints.has(hint);
    hints.add(hint);
    const text = isNew ? `${message} (${hint})` : message;
    terminal.err(
      json
        ? jsonLine({ message_type: "error", code, message, hint: hint === "" ? undefined : hint })
        : `${visibleText(text)}\n`,
    );
  }
  for (const warning of ended.warnings) {
    if (!json) terminal.err(`Warning: ${visibleText(warning)}\n`);
  }
  if (ended.problems.length > 0) {
    return ended.problems.every(({ code }) => code === "wrong_key") ? exitCodeOf("wrong_key") : 1;
  }
  // An empty folder is there all the same.
  if (found > 0 || ended.isThere) return 0;
  const what = request.kind === "ls" ? request.path : request.pattern;
  if (!json) {
    terminal.err(
      `Nothing recorded at ${visibleText(typed)} ${
        what === ""
          ? "yet"
          : request.kind === "ls"
          ? `is ${visibleText(what)}, or is in it`
          : `matches ${visibleText(what)}`
      }.\n`,
    );
  }
  return 1;
}
