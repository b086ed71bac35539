import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { openPosix } from "../platform/open_posix.ts";
import { cNameOfLatin1, newStat } from "../platform/posix.ts";
import { compareFile, type RecordedFile } from "./compare_file.ts";

const posix = openPosix();

Deno.test("a file is the same, or changed since, or has other content behind everybody's back", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const path = join(folder, "file");
    Deno.writeTextFileSync(path, "one two");
    const root = posix.openRoot(cNameOfLatin1(folder));
    const stat = newStat();
    posix.statAt(root, cNameOfLatin1("file"), stat);
    posix.closeDirectory(root);
    const piece = (text: string): [string, number] => [
      createHash("sha256").update(text).digest("hex"),
      text.length,
    ];
    const file: RecordedFile = {
      path,
      sizeBytes: 7,
      mtime: { sec: stat.mtimeSec, nsec: stat.mtimeNsec },
      ctime: { sec: stat.ctimeSec, nsec: stat.ctimeNsec },
      inode: String(Deno.statSync(path).ino),
      pieces: [piece("one "), piece("two")],
    };
    let ticks = 0;
    const compare = (change: Partial<RecordedFile>) =>
      compareFile(posix, { ...file, ...change }, () => ticks++);
    assert.equal(compare({}), "same");
    assert.ok(ticks >= 2);
    for (const wrong of [[piece("one "), piece("TWO")], [piece("one "), piece("two three")]]) {
      assert.match((compare({ pieces: wrong }) as { wrong: string }).wrong, /other content/);
    }
    const { sec, nsec } = file.mtime;
    const changes: Partial<RecordedFile>[] = [
      { sizeBytes: 8 },
      { mtime: { sec, nsec: nsec ^ 1 } },
      { ctime: { sec: sec + 1, nsec } },
      { inode: "1" },
      { path: join(folder, "none") },
      { path: join(folder, "none/file") },
    ];
    for (const change of changes) assert.equal(compare(change), "changed", JSON.stringify(change));
    Deno.symlinkSync("file", join(folder, "link"));
    assert.equal(compare({ path: join(folder, "link") }), "changed");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
