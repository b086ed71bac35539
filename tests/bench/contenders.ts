/**
 * How people copy a folder to three places and check the copies without us. Rule: each is the fastest form of its own
 * usual commands, and none is counted that does not check every byte of every copy against the source.
 */
import { basename, dirname, join } from "node:path";
import { type Forget, program } from "./bench_fs.ts";
import type { Plan, Step } from "./plan.ts";
import type { Command, Ran } from "./processes.ts";

export interface Scene {
  /** A copy lies in each destination under the base name of the source. */
  source: string;
  /** Empty folders. */
  destinations: readonly string[];
  /** For lists; not on the file system that is measured. */
  workFolder: string;
  /**
   * What is forgotten before the check. Ours drops only the pages of what it wrote: "pages" is the same for all, "all"
   * makes the others read directories and inodes from disk as well.
   */
  forgetBeforeCheck: Forget;
}

/** Programs that all contenders together need. */
export const CONTENDER_PROGRAMS = [
  "rsync",
  "cp",
  "sha256sum",
  "rclone",
  "sync",
  "xargs",
  "find",
  "sh",
];

const silent = (ran: Ran): string | undefined =>
  ran.out === "" ? undefined : `copies differ: ${ran.out.slice(0, 200)}`;

/** One destination after the other, or all at once. */
export function contenders(scene: Scene, atOnce: boolean): Plan[] {
  return [rsync(scene, atOnce), cp(scene, atOnce), rclone(scene, atOnce)];
}

function rsync(scene: Scene, atOnce: boolean): Plan {
  const { source, destinations } = scene;
  return {
    name: `rsync -a, rsync -anc${manner(atOnce)}`,
    steps: [
      cold("all", "rsync"),
      run("copy", atOnce, destinations.map((to) => call("rsync", "-a", source, to))),
      flush(scene),
      cold(scene.forgetBeforeCheck, "rsync"),
      // Itemized, it prints a line for each difference and nothing else.
      {
        ...run("check", atOnce, destinations.map((to) => call("rsync", "-anci", source, to))),
        complaint: silent,
      },
    ],
  };
}

function cp(scene: Scene, atOnce: boolean): Plan {
  const { source, destinations } = scene;
  const list = join(scene.workFolder, "list.sha256");
  // The name before the slash is the source's own, so that the same list fits every destination.
  const sum = 'find "$1" -type f -print0 | xargs -0 -P 2 -n 500 sha256sum -- > "$2"';
  const makeList = {
    ...call("sh", "-c", sum, "sh", basename(source), list),
    cwd: dirname(source),
  };
  return {
    name: `cp -a, sha256sum -c${manner(atOnce)}`,
    steps: [
      cold("all", "cp", "sha256sum"),
      run("list", false, [makeList]),
      run("copy", atOnce, destinations.map((to) => call("cp", "-a", source, to))),
      flush(scene),
      cold(scene.forgetBeforeCheck, "cp", "sha256sum"),
      run(
        "check",
        atOnce,
        destinations.map((to) => ({
          ...call("sha256sum", "-c", "--quiet", "--strict", list),
          cwd: to,
        })),
      ),
    ],
  };
}

function rclone(scene: Scene, atOnce: boolean): Plan {
  const { source, destinations } = scene;
  const target = (to: string): string => join(to, basename(source));
  return {
    name: `rclone copy, rclone check${manner(atOnce)}`,
    steps: [
      cold("all", "rclone"),
      run("copy", atOnce, destinations.map((to) => call("rclone", "copy", source, target(to)))),
      flush(scene),
      cold(scene.forgetBeforeCheck, "rclone"),
      run("check", atOnce, destinations.map((to) => call("rclone", "check", source, target(to)))),
    ],
  };
}

function manner(atOnce: boolean): string {
  return atOnce ? ", three at once" : ", three times";
}

/** Programs themselves are read in again, so that only the data is cold. */
function cold(forget: Forget, ...warmUp: string[]): Step {
  return { kind: "drop caches", forget, warmUp: warmUp.map((name) => call(name, "--version")) };
}

function flush({ destinations }: Scene): Step {
  return run("flush", false, [call("sync", "-f", ...destinations)]);
}

function run(name: string, atOnce: boolean, commands: readonly Command[]): Step & { kind: "run" } {
  return { kind: "run", name, atOnce, commands };
}

function call(name: string, ...args: string[]): Command {
  return { program: program(name), args };
}
