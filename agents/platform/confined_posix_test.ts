import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { inScratch } from "../../tests/support/small_tree.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { confine, isInRoots } from "./confined_posix.ts";
import { ENOENT, ENOSYS } from "./errno.ts";
import { openPortable } from "./portable.ts";
import { openPosix } from "./open_posix.ts";
import { cName, type Posix } from "./posix.ts";

const whole = openPosix();
const PORTS: [string, Posix][] = [
  ["the system's own call", whole],
  ["climbing from what was opened", { ...whole, openBeneath: () => -ENOSYS }],
  ["the portable port", openPortable()],
];

function outcome(posix: Posix, path: string): string {
  try {
    const handle = posix.openRoot(cName(path));
    if (handle < 0) return handle === -ENOENT ? "missing" : `${handle}`;
    const names = posix.list(handle);
    posix.closeDirectory(handle);
    return `${names}`;
  } catch (thrown) {
    if (thrown instanceof BackupError && thrown.retry === "elsewhere") return thrown.code;
    throw thrown;
  }
}

for (const [how, posix] of PORTS) {
  Deno.test(`what lies below a root is opened, and nothing else, by ${how}`, () =>
    inScratch((folder) => {
      for (const path of ["root/dir/deep", "root-too", "outside/secret"]) {
        fs.mkdirSync(join(folder, path), { recursive: true });
      }
      const link = (target: string, at: string) => fs.symlinkSync(target, join(folder, at));
      link("dir", "root/within");
      link("../outside", "root/out");
      link(join(folder, "outside"), "root/out-absolute");
      link("../../../outside", "root/dir/deep/up");
      link("root", "alias");
      const root = join(folder, "root");
      const confined = confine(posix, [root]);
      const at = (path: string) => outcome(confined, join(folder, path));
      assert.equal(at("root/dir"), "deep");
      assert.equal(at("root/dir/deep"), "up");
      assert.equal(at("root/within"), "deep");
      assert.equal(at("root/missing"), "missing");
      assert.ok(at("root").includes("within"));
      assert.ok(outcome(confined, `${root}/`).includes("within"));
      assert.ok(outcome(confined, `${root}//dir/`).includes("deep"));
      assert.equal(outcome(confined, `${root}/dir/../dir`), "deep");
      for (
        const path of [
          "outside",
          "root-too",
          ".",
          "root/out",
          "root/out/secret",
          "root/out-absolute",
          "root/dir/deep/up",
        ]
      ) assert.equal(at(path), "rejected", path);
      for (const path of [`${root}/..`, `${root}/../outside`, `${root}/dir/../../outside`, "/"]) {
        assert.equal(outcome(confined, path), "rejected", path);
      }
      // A root that is a link itself is where that leads.
      assert.equal(
        outcome(confine(posix, [join(folder, "alias")]), join(folder, "alias/dir")),
        "deep",
      );
      const two = confine(posix, [root, join(folder, "outside")]);
      assert.equal(outcome(two, join(folder, "outside")), "secret");
      assert.equal(confine(posix, []), posix);
    }));
}

Deno.test("a folder that is swapped for a link again and again never leads out", () =>
  inScratch((folder) => {
    fs.mkdirSync(join(folder, "root/dir/in"), { recursive: true });
    fs.mkdirSync(join(folder, "outside/in/secret"), { recursive: true });
    fs.symlinkSync(join(folder, "outside"), join(folder, "root/link"));
    const swap = (a: string, b: string) => {
      fs.renameSync(join(folder, "root", a), join(folder, "root/kept"));
      fs.renameSync(join(folder, "root", b), join(folder, "root", a));
      fs.renameSync(join(folder, "root/kept"), join(folder, "root", b));
    };
    // Between looking and opening, where a check of the path alone would be fooled.
    const posix: Posix = {
      ...whole,
      openBeneath: () => -ENOSYS,
      openRoot: (path) => {
        const text = new TextDecoder().decode(path);
        if (!text.includes("/dir/")) return whole.openRoot(path);
        swap("dir", "link");
        const handle = whole.openRoot(path);
        swap("dir", "link");
        return handle;
      },
    };
    assert.equal(
      outcome(confine(posix, [join(folder, "root")]), join(folder, "root/dir/in")),
      "rejected",
    );
  }));

Deno.test("a path is in a root by whole names", () => {
  assert.ok(isInRoots("/data/photos", ["/data"]));
  assert.ok(isInRoots("/data/", ["/data"]));
  assert.ok(isInRoots("/anything", []));
  assert.ok(isInRoots("/x", ["/"]));
  assert.ok(!isInRoots("/database", ["/data"]));
  assert.ok(!isInRoots("/dat", ["/data"]));
});
