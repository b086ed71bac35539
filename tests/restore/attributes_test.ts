/** Extended attributes, access lists, capabilities and holes of a restore. Judges: rsync, getfattr, getfacl. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fs from "node:fs";
import { openPosix } from "../../agents/platform/open_posix.ts";
import { cName } from "../../agents/platform/posix.ts";
import { forgeDestination, line } from "../support/restoring.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const ENV = { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", LC_ALL: "C" };
const TOOLS = ["setfacl", "getfacl", "setfattr", "getfattr", "rsync"];

async function run(program: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await runProgram(program, args, { env: ENV });
  assert.equal(code, 0, err);
  return out;
}

/** As a backup records them. */
function xattrsOf(folder: string, name: string): Record<string, string> {
  const posix = openPosix();
  const at = posix.openRoot(cName(folder));
  const names = posix.listXattrs(at, cName(name));
  assert.ok(typeof names !== "number");
  const pairs = [...names].sort().map((attribute) => {
    const value = posix.getXattr(at, cName(name), attribute);
    assert.ok(typeof value !== "number");
    return [attribute, Buffer.from(value).toString("base64")];
  });
  posix.closeDirectory(at);
  return Object.fromEntries(pairs);
}

Deno.test({
  ...needs(
    "attributes and access lists come back whatever the target's own folder would pass on",
    "linux",
    "root",
    ...TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, folder } = scene;
    fs.writeFileSync(`${source}/file`, "text");
    fs.writeFileSync(`${source}/plain`, "plain");
    fs.mkdirSync(`${source}/sub`);
    fs.writeFileSync(`${source}/sub/inner`, "inner");
    await run("setfacl", "-m", "u:12345:rwx,m::r", `${source}/file`);
    await run("setfattr", "-n", "user.note", "-v", "kept", `${source}/file`);
    await run("setfattr", "-n", "trusted.note", "-v", "kept", `${source}/sub`);
    await run("setfacl", "-d", "-m", "g:54321:rx", `${source}/sub`);
    const lines = ["", "file", "plain", "sub", "sub/inner"].map((path) => {
      const stat = fs.statSync(`${source}/${path}`, { bigint: true });
      const xattrs = xattrsOf(source, path === "" ? "." : path);
      const facts = {
        mode: Number(stat.mode) & 0o7777,
        mtimeNs: String(stat.mtimeNs),
        ...(Object.keys(xattrs).length > 0 ? { xattrs } : {}),
      };
      return stat.isDirectory()
        ? line.folder(path, facts)
        : line.file(path, fs.readFileSync(`${source}/${path}`, "utf8"), facts);
    });
    forgeDestination(one, lines);
    await run("cp", "-r", "--no-preserve=all", source, `${one}/copy`);
    fs.mkdirSync(`${folder}/back`);
    await run("setfacl", "-d", "-m", "u:777:rwx", `${folder}/back`);
    const { code, out } = await scene.run(["restore", "--from", one, "--target", "back"]);
    assert.equal(code, 0, out);
    assert.doesNotMatch(out, /Warning/);
    assert.equal(
      await run("rsync", "-aHAXni", "--delete", `${source}/`, `${folder}/back/copy/`),
      "",
    );
    const acls = async (root: string) =>
      (await run("getfacl", "-R", "-n", "-p", root)).replaceAll(root, "");
    assert.equal(await acls(`${folder}/back/copy`), await acls(source));
  },
});
