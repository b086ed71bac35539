import assert from "node:assert/strict";
import fs from "node:fs";
import fc from "fast-check";
import { faultyPosix } from "../../tests/support/faulty_posix.ts";
import { needsLoopFs, withLoopFs } from "../../tests/support/loop_fs.ts";
import { inScratch } from "../../tests/support/small_tree.ts";
import { needs } from "../../tests/support/tools.ts";
import { weakPosix } from "../../tests/support/weak_posix.ts";
import { openPosix } from "../platform/open_posix.ts";
import { cName, type Posix } from "../platform/posix.ts";
import { createNameProbe, peculiaritiesOf } from "./name_probe.ts";

const posix = openPosix();

function probed<T>(folder: string, port: Posix, use: (whyNot: (name: string) => unknown) => T): T {
  const stage = port.openRoot(cName(folder));
  try {
    return use(createNameProbe(port, stage));
  } finally {
    port.closeDirectory(stage);
  }
}

const PECULIAR: [string, string][] = [
  ["a:b", "holds :"],
  ["line\nbreak", "holds the control character 0x0a"],
  ["end.", "ends in a dot"],
  ["end ", "ends in a space"],
  ["con", "is CON, which is reserved"],
  ["Nul.tar.gz", "is NUL, which is reserved"],
  ["LPT1", "is LPT1, which is reserved"],
  ["\xff", "is not UTF-8"],
  ["\xf0\x9f\x98\x80", "holds characters beyond U+FFFF"],
];

Deno.test("names that some file system takes exception to are known, with the reason", () => {
  for (const [name, why] of PECULIAR) {
    assert.deepEqual(peculiaritiesOf(name).map((one) => one.why), [why], name);
  }
  for (const name of ["a", "a.b", ".a", " a", "console", "com", "a con", "\xc3\xa4", "a&b'c"]) {
    assert.deepEqual(peculiaritiesOf(name), [], name);
  }
  assert.deepEqual(peculiaritiesOf('a:"b. ').map(({ why }) => why), [
    "holds :",
    'holds "',
    "ends in a space",
  ]);
});

Deno.test("a sample has the peculiarity it stands for and no other", () => {
  const name = fc.string({
    unit: fc.integer({ min: 1, max: 255 }).map((c) => String.fromCharCode(c)),
  });
  fc.assert(fc.property(name, (latin1) => {
    for (const { why, sample } of peculiaritiesOf(latin1)) {
      assert.deepEqual(peculiaritiesOf(sample).map((one) => one.why), [why]);
    }
  }));
});

Deno.test({
  ...needs(
    "a refused name and one that is changed in silence are found, and nothing stays",
    "linux",
  ),
  fn: () =>
    inScratch((folder) => {
      const port = weakPosix(posix, { forbidden: ':?"', trailingDots: "cut" });
      probed(folder, port, (whyNot) => {
        assert.equal(whyNot("a:b"), "holds :");
        assert.equal(whyNot("what?"), "holds ?");
        assert.equal(whyNot("end..."), "ends in a dot");
        assert.deepEqual(
          ["a|b", "con", "end ", "\xff", "plain"].map(whyNot),
          Array(5).fill(undefined),
        );
      });
      assert.deepEqual(fs.readdirSync(folder), []);
    }),
});

Deno.test("each peculiarity is tried once, and a plain name never", () =>
  inScratch((folder) => {
    const watched = faultyPosix(posix);
    const stage = posix.openRoot(cName(folder));
    const whyNot = createNameProbe(watched.posix, stage);
    whyNot("plain name.txt");
    assert.equal(watched.calls.length, 0);
    whyNot("a:b");
    const calls = watched.calls.length;
    assert.ok(calls > 0);
    for (let n = 0; n < 10; n++) whyNot(`${n}:${n}`);
    assert.equal(watched.calls.length, calls);
    posix.closeDirectory(stage);
  }));

Deno.test({
  ...needsLoopFs("exfat keeps no name with a character that is forbidden there", "exfat"),
  fn: () =>
    withLoopFs(
      { type: "exfat", sizeBytes: 8 << 20 },
      (mountPoint) =>
        probed(mountPoint, posix, (whyNot) => {
          for (const character of '"*:<>?\\|\n') {
            assert.match(String(whyNot(`a${character}b`)), /^holds /, character);
          }
          assert.equal(whyNot("\xff"), "is not UTF-8");
          assert.equal(whyNot("\xf0\x9f\x98\x80"), undefined);
        }),
    ),
});

Deno.test({
  ...needsLoopFs("vfat keeps no name that ends in a dot, nor a forbidden character", "vfat"),
  fn: () =>
    withLoopFs(
      { type: "vfat", sizeBytes: 8 << 20 },
      (mountPoint) =>
        probed(mountPoint, posix, (whyNot) => {
          assert.equal(whyNot("end."), "ends in a dot");
          assert.equal(whyNot("a:b"), "holds :");
        }),
    ),
});
