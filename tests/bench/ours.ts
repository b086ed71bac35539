/** The program itself as a contender, from source and as the one executable. Rule: it is run as people run it. */
import facts from "../../deno.json" with { type: "json" };
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import type { Scene } from "./contenders.ts";
import type { Plan } from "./plan.ts";
import type { Command, Ran } from "./processes.ts";

/** As `deno task backup` runs it. */
const ENGINE_FLAGS = facts.tasks.backup.split(" ").filter((word) =>
  word === "-A" || word.startsWith("--v8-flags=")
);
const ENTRY = fileURLToPath(new URL("../../mod.ts", import.meta.url));
const BUILT = fileURLToPath(new URL("../../dist/backup-agent", import.meta.url));

/** One way to start the program. */
export interface Form {
  name: string;
  command(...args: string[]): Command;
}

/** The executable takes part when it has been built. */
export function forms(): Form[] {
  const source: Form = {
    name: "backup-agent, from source",
    command: (...args) => ({
      program: Deno.execPath(),
      args: ["run", "--quiet", ...ENGINE_FLAGS, ENTRY, ...args],
    }),
  };
  const executable: Form = {
    name: "backup-agent, executable",
    command: (...args) => ({ program: BUILT, args }),
  };
  return existsSync(BUILT) ? [source, executable] : [source];
}

export interface BackupCall {
  sources: readonly string[];
  destinations: readonly string[];
  stateDir: string;
  flags?: readonly string[];
}

export function backupCommand(form: Form, call: BackupCall): Command {
  const to = call.destinations.flatMap((destination) => ["--to", destination]);
  const state = ["--state-dir", call.stateDir];
  return form.command("backup", ...call.sources, ...to, ...state, "--json", ...call.flags ?? []);
}

/** Each round needs a state directory of its own: a known destination whose marker is gone is refused. */
export function ourPlan(form: Form, scene: Scene): Plan {
  const { source, destinations, workFolder } = scene;
  const stateDir = Deno.makeTempDirSync({ dir: workFolder, prefix: "state-" });
  const command = backupCommand(form, { sources: [source], destinations, stateDir });
  return {
    name: form.name,
    steps: [
      { kind: "drop caches", forget: "all", warmUp: [form.command("--version")] },
      {
        kind: "run",
        name: "all",
        atOnce: false,
        commands: [command],
        complaint: complaintAbout,
      },
    ],
  };
}

const LineSchema = v.looseObject({
  message_type: v.string(),
  destination: v.optional(v.string()),
  state: v.optional(v.string()),
  seconds_elapsed: v.optional(v.number()),
});

const SummarySchema = v.looseObject({
  message_type: v.literal("summary"),
  state: v.string(),
  destinations: v.array(v.looseObject({
    destination: v.string(),
    verification: v.optional(v.string()),
    files_copied: v.number(),
  })),
});

/** Seconds until each destination was done. @throws when one was not verified */
export function destinationSeconds(ran: Ran): Map<string, number> {
  const seconds = new Map<string, number>();
  for (const line of jsonLines(ran)) {
    const { message_type, destination, state, seconds_elapsed } = v.parse(LineSchema, line);
    if (message_type !== "destination" || destination === undefined) continue;
    if (state !== "verified") throw new Error(`${destination} is ${state}`);
    seconds.set(destination, seconds_elapsed ?? NaN);
  }
  return seconds;
}

/** Bytes have to come back from the disk: reading them from the cache would be no contest. */
function complaintAbout(ran: Ran): string | undefined {
  const summary = readSummary(ran);
  if (summary.state !== "completed") return `the run is ${summary.state}`;
  const cached = summary.destinations.filter(({ verification }) => verification !== "disk");
  if (cached.length === 0) return undefined;
  return cached.map((one) => `${one.destination} verified from ${one.verification}`).join(", ");
}

/** Files copied to all destinations together. */
export function filesCopied(ran: Ran): number {
  return readSummary(ran).destinations.reduce((sum, { files_copied }) => sum + files_copied, 0);
}

function readSummary(ran: Ran): v.InferOutput<typeof SummarySchema> {
  return v.parse(SummarySchema, jsonLines(ran).at(-1));
}

function jsonLines(ran: Ran): unknown[] {
  return ran.out.trimEnd().split("\n").map((line): unknown => JSON.parse(line));
}
