/** On what and with which programs a bench ran. Rule: nothing that tells who or where: no host names, no paths. */
import type { Processes } from "./processes.ts";
import { program } from "./bench_fs.ts";

export type MachineFacts = Record<string, string>;

export async function machineFacts(processes: Processes): Promise<MachineFacts> {
  const cpu = /^model name\s*:\s*(.+)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1];
  const memory = Deno.systemMemoryInfo();
  const version = async (name: string, flag: string): Promise<string> =>
    (await processes.must({ program: program(name), args: [flag] })).out.split("\n")[0]!.trim();
  return {
    cpu: `${navigator.hardwareConcurrency} × ${cpu ?? Deno.build.arch}`,
    memory: `${(memory.total / 2 ** 30).toFixed(1)} GiB`,
    kernel: Deno.osRelease(),
    "load before": Deno.loadavg().map((load) => load.toFixed(2)).join(" "),
    "file system": "ext4 in a sparse file, loop device with direct I/O",
    deno: Deno.version.deno,
    rsync: await version("rsync", "--version"),
    cp: await version("cp", "--version"),
    sha256sum: await version("sha256sum", "--version"),
    rclone: await version("rclone", "--version"),
  };
}
