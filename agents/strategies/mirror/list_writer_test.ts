import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix, PowerCut } from "../../../tests/support/faulty_posix.ts";
import { inFolder } from "../../../tests/support/posix_folder.ts";
import { EIO } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { DirectoryHandle, Posix } from "../../platform/posix.ts";
import { generateIdentity } from "./codec/age_keys.ts";
import { type ListKeys, NO_LIST_KEYS, standingName } from "./list_keys.ts";
import { NewList, writeWhole } from "./list_writer.ts";
import { MANIFEST_FORMAT, MANIFEST_VERSION, openManifest } from "./manifest_file.ts";
import { linesOf, listedFolders, openList, replaceList } from "./version_lists.ts";

const posix = openPosix();
const NAME = "s1.jsonl";
const me = generateIdentity();
const SEALED: ListKeys = { recipients: [me.recipient], identities: [me] };
const READABLE: ListKeys = { recipients: [], identities: [me] };
const HEADER = {
  format: MANIFEST_FORMAT,
  version: MANIFEST_VERSION,
  name: "copy",
  sourcePath: "/source",
  runId: "run-1",
  stage: "run-1-1",
  createdAt: "2026-01-01T00:00:00Z",
};
const line = (path: string) => JSON.stringify({ path, type: "file", sizeBytes: 1 });

function write(at: DirectoryHandle, keys: ListKeys, text: string, port: Posix = posix): void {
  writeWhole({ posix: port, at, name: NAME, display: NAME, keys }, HEADER, (add) => add(text));
}

function read(at: DirectoryHandle, keys: ListKeys = READABLE): string[] {
  const list = openManifest(posix, at, NAME, NAME, keys);
  return list === undefined ? [] : [...linesOf(list)].map(({ text }) => text);
}

Deno.test("an encrypted list tells nothing, is read with the key, and refused without", () =>
  inFolder(posix, (at, path) => {
    const lines = Array.from({ length: 20_000 }, (_, i) => line(`folder/${i}`));
    const place = { posix, at, name: NAME, display: NAME, keys: SEALED };
    writeWhole(place, HEADER, (add) => lines.forEach(add));
    assert.deepEqual(fs.readdirSync(path), [`${NAME}.age`]);
    assert.ok(!fs.readFileSync(join(path, `${NAME}.age`)).includes("folder"));
    assert.deepEqual(read(at), lines);
    assert.throws(() => read(at, NO_LIST_KEYS), { code: "wrong_key", message: /no key is given/ });
    const other = { recipients: [], identities: [generateIdentity()] };
    assert.throws(() => read(at, other), { code: "wrong_key", message: /no key given opens it/ });
  }));

Deno.test("an encrypted list that is cut or altered anywhere is damaged, never half believed", () =>
  inFolder(posix, (at, path) => {
    write(at, SEALED, line("a"));
    const file = join(path, `${NAME}.age`);
    const whole = fs.readFileSync(file);
    for (let k = 0; k < whole.length; k++) {
      fs.writeFileSync(file, whole.subarray(0, k));
      assert.throws(() => read(at), { code: "damaged" }, `cut to ${k}`);
      const bytes = Uint8Array.from(whole);
      bytes[k]! ^= 1;
      fs.writeFileSync(file, bytes);
      assert.throws(() => read(at), ({ code }: { code: string }) => {
        // A recipient's line that was altered may be somebody else's.
        return code === "damaged" || code === "wrong_key";
      }, `byte ${k}`);
    }
  }));

for (
  const [what, before, after] of [
    ["readable to encrypted", READABLE, SEALED],
    ["encrypted to readable", SEALED, READABLE],
    ["encrypted to encrypted", SEALED, SEALED],
  ] as const
) {
  Deno.test(`from ${what}, a power cut or error at any step leaves the old list or the new one`, () =>
    inFolder(posix, (at, path) => {
      const reset = () => {
        for (const name of fs.readdirSync(path)) fs.rmSync(join(path, name));
        write(at, before, line("old"));
      };
      reset();
      const rehearsal = faultyPosix(posix);
      write(at, after, line("new"), rehearsal.posix);
      assert.deepEqual(fs.readdirSync(path), [after === SEALED ? `${NAME}.age` : NAME]);
      const seen = new Set<string>();
      for (const { number, name } of rehearsal.calls) {
        for (const kind of ["crash", "error"] as const) {
          if (name === "close" && kind === "error") continue;
          reset();
          const faulty = faultyPosix(posix, (call) => {
            if (call.number !== number) return undefined;
            return kind === "error" ? { kind, errno: EIO } : { kind, when: "after" };
          });
          let failed: unknown;
          try {
            write(at, after, line("new"), faulty.posix);
          } catch (thrown) {
            failed = thrown;
          }
          faulty.dispose();
          const point = `${kind} at ${number} (${name})`;
          if (kind === "crash") assert.ok(failed instanceof PowerCut, point);
          const [text, ...more] = read(at);
          assert.deepEqual(more, [], point);
          assert.ok(text === line("old") || text === line("new"), `${point}: ${text}`);
          if (failed === undefined) assert.equal(text, line("new"), point);
          seen.add(text);
          write(at, after, line("newer"));
          assert.deepEqual(read(at), [line("newer")], point);
          assert.deepEqual(fs.readdirSync(path), [standingName(posix, at, NAME)], point);
        }
      }
      assert.equal(seen.size, 2);
    }));
}

Deno.test("of two who write one list at once the later wins, and what stands is whole at every moment", () =>
  inFolder(posix, (at, path) => {
    write(at, READABLE, line("old"));
    const place = { posix, at, name: NAME, display: NAME, keys: READABLE, isContested: true };
    const first = new NewList(place, HEADER);
    first.add(line("a"));
    const second = new NewList(place, HEADER);
    second.add(line("a"));
    first.finish();
    assert.throws(() => first.commit(), { code: "not_found" });
    assert.deepEqual(read(at), [line("old")]);
    second.add(line("b"));
    second.finish();
    second.commit();
    assert.deepEqual(read(at), [line("a"), line("b")]);
    assert.deepEqual(fs.readdirSync(path), [NAME]);
  }));

Deno.test("lists of versions may be encrypted one by one, and go in both forms", () =>
  inFolder(posix, (at) => {
    const [first, second] = ["2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z"] as const;
    const put = (folder: string, keys: ListKeys, lines: string[]) =>
      replaceList(posix, at, folder, "versions", keys, HEADER, (add) => lines.forEach(add));
    put(second, SEALED, [line("b")]);
    put(first, READABLE, [line("a")]);
    assert.deepEqual(listedFolders(posix, at, "versions"), [first, second]);
    const list = openList(posix, at, second, "versions", READABLE);
    assert.deepEqual([...linesOf(list!)].map(({ text }) => text), [line("b")]);
    assert.equal(put(second, READABLE, []), 0);
    assert.deepEqual(listedFolders(posix, at, "versions"), [first]);
  }));
