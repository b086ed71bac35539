/** Disk errors at every call that keeps attributes. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inFolder } from "../../../tests/support/posix_folder.ts";
import { needs } from "../../../tests/support/tools.ts";
import { EIO } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { cName } from "../../platform/posix.ts";
import { readXattrs } from "../../source/xattrs.ts";

const posix = openPosix();
const PATHS = ["", "file", "folder", "folder/inner", "link"];
const KEEPS_ATTRIBUTES = /^(list|set|setFile|remove)Xattrs?$/;

/** Folder and name of a path, as the calls want them. */
function at<T>(root: string, path: string, use: (folder: number, name: Uint8Array) => T): T {
  const full = join(root, path);
  const isRoot = path === "";
  const folder = posix.openRoot(cName(isRoot ? full : full.slice(0, full.lastIndexOf("/"))));
  try {
    return use(folder, isRoot ? cName(".") : cName(full.slice(full.lastIndexOf("/") + 1)));
  } finally {
    posix.closeDirectory(folder);
  }
}

function set(root: string, path: string, attribute: string, text: string): number {
  const value = new TextEncoder().encode(text);
  return at(root, path, (folder, name) => posix.setXattr(folder, name, attribute, value));
}

const attributesOf = (root: string) =>
  PATHS.map((path) => [path, at(root, path, (folder, name) => readXattrs(posix, folder, name))]);

Deno.test({
  ...needs(
    "a disk error at any call that keeps attributes is told, and the next run sets it right",
    "linux",
    "root",
  ),
  fn: () =>
    inFolder(posix, async (_, scratch) => {
      const source = join(scratch, "source");
      fs.mkdirSync(join(source, "folder"), { recursive: true });
      fs.writeFileSync(join(source, "file"), "content");
      fs.writeFileSync(join(source, "folder/inner"), "inner");
      fs.symlinkSync("file", join(source, "link"));
      const isKept = ["", "file", "folder", "folder/inner"].every((path) =>
        set(source, path, "user.a", `first ${path}`) === 0
      ) && set(source, "link", "trusted.a", "first") === 0;
      // Not every scratch folder keeps them.
      if (!isKept) {
        return;
      }
      const base = join(scratch, "base");
      const run = (path: string, runId: string, port = posix) =>
        backUp({ runId, source, posix, destinations: [{ path, posix: port }] });
      const onFirst = attributesOf(source);
      await run(base, "run-1");
      assert.deepEqual(attributesOf(join(base, "copy")), onFirst);

      set(source, "folder", "user.b", "new");
      set(source, "file", "user.a", "changed");
      set(source, "link", "trusted.a", "changed");
      at(source, "", (folder, name) =>
        posix.removeXattr(folder, name, "user.a"));
      const wanted = attributesOf(source);
      for (const from of ["nothing", "an earlier copy"]) {
        const prepare = (path: string) => {
          if (from === "an earlier copy") {
            new Deno.Command("cp", { args: ["-a", base, path] }).outputSync();
          }
          return path;
        };
        const whole = faultyPosix(posix);
        await run(prepare(join(scratch, `whole of ${from}`)), "run-2", whole.posix);
        const moments = whole.calls.filter(({ name }) => KEEPS_ATTRIBUTES.test(name));
        assert.ok(moments.length >= 6, `${moments.length}`);
        for (const { number, name } of moments) {
          const point = `${from}: call ${number} (${name}) fails`;
          const path = prepare(join(scratch, `failed ${number} of ${from}`));
          const faulty = faultyPosix(
            posix,
            (call) => call.number === number ? { kind: "error", errno: EIO } : undefined,
          );
          const outcome = await run(path, "run-2", faulty.posix);
          const lane = outcome.mirrored!.lanes[0]!;
          if (lane.state === "verified" && lane.failureCount === 0) {
            assert.deepEqual(attributesOf(join(path, "copy")), wanted, point);
          }
          const again = await run(path, "run-3");
          assert.equal(again.mirrored!.lanes[0]!.state, "verified", point);
          assert.deepEqual(attributesOf(join(path, "copy")), wanted, `${point}, then another run`);
          faulty.dispose();
        }
      }
    }),
});
