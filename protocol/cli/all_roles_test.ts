import assert from "node:assert/strict";
import { createAllRoles } from "./all_roles.ts";
import { fakeSurroundings } from "./fake_world.ts";
import { readRoots } from "./read_roots.ts";
import { resolveSettings } from "./settings.ts";

Deno.test("started without words the roles touch only what environment and configuration name as roots", () => {
  const unused = () => assert.fail("nothing is started here");
  const { options } = createAllRoles({ coordinator: unused, worker: unused, dashboard: unused });
  const env = {
    BACKUP_AGENT_ROOT: "photos=/srv/photos\n/home/me",
    BACKUP_AGENT_DEST_ROOT: "/mnt",
    BACKUP_AGENT_CAPABILITIES: "compress",
  };
  const at = fakeSurroundings({ env });
  const settings = resolveSettings(options, { flags: new Map(), configPath: undefined }, at);
  const { sources, destinations, labels } = readRoots(settings, at);
  assert.deepEqual([sources, destinations], [["/srv/photos", "/home/me"], ["/mnt"]]);
  assert.deepEqual([...labels], [["photos", "/srv/photos"]]);
  assert.deepEqual(settings.get("capabilities").value, ["compress"]);
});
