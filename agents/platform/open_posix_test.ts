/** Which port is picked: checked in a process of its own, whose environment and permissions are ours to set. */
import assert from "node:assert/strict";
import { runScript } from "../../tests/support/run_script.ts";
import { needs } from "../../tests/support/tools.ts";
import { PLATFORM_VARIABLE } from "./open_posix.ts";

const MODULE = new URL("./open_posix.ts", import.meta.url).href;

async function pickedPort(permissions: string[], env: Record<string, string>): Promise<string> {
  const program = `import { openPosix } from ${JSON.stringify(MODULE)};
    console.log(openPosix().name);`;
  const { out, err } = await runScript(program, { permissions, env });
  assert.equal(err, "");
  return out.trim();
}

Deno.test({
  ...needs("libc is picked on Linux, and the variable forces the fallback", "linux"),
  async fn() {
    assert.equal(await pickedPort(["-A"], {}), "libc");
    assert.equal(await pickedPort(["-A"], { [PLATFORM_VARIABLE]: "portable" }), "portable");
  },
});

Deno.test("the fallback is picked where FFI is not allowed", async () => {
  assert.equal(await pickedPort(["--allow-env", "--allow-read", "--allow-sys"], {}), "portable");
});
