import assert from "node:assert/strict";
import fs from "node:fs";
import { faultyPosix } from "../../../../tests/support/faulty_posix.ts";
import { inFolder } from "../../../../tests/support/posix_folder.ts";
import { ELOOP, ENOENT, ENOTDIR } from "../../../platform/errno.ts";
import { cName, newStat, type Posix } from "../../../platform/posix.ts";
import { openPosix } from "../../../platform/open_posix.ts";
import { PathChain } from "./path_chain.ts";

const posix = openPosix();
const LEVELS = 200;

function inodeOf(port: Posix, handle: number): number {
  const stat = newStat();
  assert.equal(port.statDirectory(handle, stat), 0);
  return stat.inodeLow;
}

Deno.test("folders are found in any order, deep ones too, and all are closed in the end", () =>
  inFolder(posix, (root, path) => {
    const deep = Array(LEVELS).fill("d").join("/");
    fs.mkdirSync(`${path}/${deep}`, { recursive: true });
    fs.mkdirSync(`${path}/e/f`, { recursive: true });
    const watched = faultyPosix(posix);
    const chain = new PathChain(watched.posix, root);
    const paths = ["", "d", deep, "e/f", "d/d", `${deep.slice(2)}`, deep, "e", "", deep, "e/f"];
    for (const one of paths) {
      const handle = chain.folder(one);
      assert.ok(handle >= 0, one);
      assert.equal(inodeOf(posix, handle), fs.statSync(`${path}/${one}`).ino % 2 ** 32, one);
      assert.ok(watched.openCount() < 70);
      if (one === deep) assert.equal(chain.folder(`${deep}/none`), -ENOENT);
    }
    chain.close();
    assert.equal(watched.openCount(), 0);
  }));

Deno.test("links are not followed and nothing leads upwards", () =>
  inFolder(posix, (root, path) => {
    fs.mkdirSync(`${path}/a/b`, { recursive: true });
    fs.symlinkSync("a", `${path}/link`);
    const chain = new PathChain(posix, root);
    assert.ok([-ENOTDIR, -ELOOP].includes(chain.folder("link/b")));
    for (const bad of ["..", "a/..", "/a", "a//b", "a/.", "a\0"]) assert.ok(chain.folder(bad) < 0);
    assert.ok(chain.folder("a/b") >= 0);
    chain.close();
    assert.equal(posix.statAt(root, cName("a"), newStat()), 0);
  }));
