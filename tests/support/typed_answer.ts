/** Programs that ask for a passphrase at the terminal, as stock age does. */
import assert from "node:assert/strict";
import { findProgram } from "./tools.ts";

/** Runs `command` in a terminal of its own and types `answer` whenever it is asked for a passphrase. */
export async function typed(command: string, answer: string): Promise<void> {
  const child = new Deno.Command(findProgram("script")!, {
    args: ["-qec", command, "/dev/null"],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  const line = new TextEncoder().encode(`${answer}\n`);
  let shown = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    shown += text;
    if (/passphrase[^\n]*: ?$/i.test(shown.trimEnd())) {
      shown = "";
      await writer.write(line);
    }
  }
  await writer.close().catch(() => {});
  assert.equal((await child.status).code, 0, shown);
}
