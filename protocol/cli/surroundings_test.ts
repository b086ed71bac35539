import assert from "node:assert/strict";
import { fakeSurroundings } from "./fake_world.ts";
import { callerFolder, defaultStateDir, processSurroundings } from "./surroundings.ts";

Deno.test("INIT_CWD counts only when a task has moved us into the program's own folder", () => {
  assert.equal(callerFolder("/program", "/program/", "/home/me"), "/home/me");
  assert.equal(callerFolder("/home/me/photos", "/program", "/home/me"), "/home/me/photos");
  assert.equal(callerFolder("/program", "/program", undefined), "/program");
  assert.equal(callerFolder("/program", "/program", "relative"), "/program");
});

Deno.test("state lives where systemd, XDG or the home says, and a missing home is an error", () => {
  const dir = (env: Record<string, string>) => defaultStateDir(fakeSurroundings({ env }));
  assert.equal(dir({ STATE_DIRECTORY: "/var/lib/b:/other" }), "/var/lib/b");
  assert.equal(dir({ XDG_STATE_HOME: "/state" }), "/state/backup-agent");
  assert.equal(dir({}), "/home/me/.local/state/backup-agent");
  assert.throws(() => defaultStateDir(fakeSurroundings({ home: undefined })), {
    code: "config",
    hint: /--state-dir/,
  });
});

Deno.test("without HOME the password database knows the home", () => {
  const home = processSurroundings("/nowhere").home();
  assert.ok(home !== undefined && home.startsWith("/"));
});
