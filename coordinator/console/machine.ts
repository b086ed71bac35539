/** How the coordinator's machine is. */
import { availableParallelism, freemem, hostname, loadavg, totalmem } from "node:os";
import type * as v from "valibot";
import type { GetMachine } from "../../protocol/mesh/console_methods.ts";

export function machineFacts(uptimeMs: number): v.InferOutput<typeof GetMachine.result> {
  const processors = availableParallelism();
  return {
    hostName: hostname(),
    system: `${Deno.build.os} ${Deno.build.arch}`,
    processors,
    load: Math.max(0, loadavg()[0]! / Math.max(1, processors)),
    memoryTotalBytes: totalmem(),
    memoryFreeBytes: freemem(),
    processMemoryBytes: Deno.memoryUsage().rss,
    uptimeMs: Math.max(0, uptimeMs),
  };
}
