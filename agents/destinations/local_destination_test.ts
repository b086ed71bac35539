import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { type FaultyPosix, faultyPosix } from "../../tests/support/faulty_posix.ts";
import { needsLoopFs, withLoopFs } from "../../tests/support/loop_fs.ts";
import { inScratch } from "../../tests/support/small_tree.ts";
import { needs } from "../../tests/support/tools.ts";
import { treeState } from "../../tests/support/tree_state.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { EBADF, EIO, ENOLCK } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import { KIND_DIRECTORY, newStat } from "../platform/posix.ts";
import { findClashes } from "./identity.ts";
import { inspect, openDestination, type WantedBinding } from "./local_destination.ts";

const posix = openPosix();
const CREATED_AT = "2026-01-01T00:00:00Z";

function wanted(name: string, sourcePath = `/home/${name}`, hostId = "host-1"): WantedBinding {
  return { name, sourcePath, hostId, hostName: hostId };
}

function open(
  path: string,
  names: WantedBinding[] = [],
  port = posix,
): ReturnType<typeof openDestination> {
  return openDestination(port, path, names, "run-1 of the tests", CREATED_AT);
}

function assertClosed(watched: FaultyPosix): void {
  assert.equal(watched.openCount(), 0, "left open");
  watched.dispose();
}

Deno.test("a destination that does not exist is looked at without making it, and made when it is opened", () =>
  inScratch((folder) => {
    const watched = faultyPosix(posix);
    const path = join(folder, "new");
    const seen = inspect(watched.posix, path, ["a"]);
    assert.equal(seen.exists, false);
    assert.ok(seen.ancestors.length > 1);
    assert.equal(fs.existsSync(path), false);
    const opened = open(path, [wanted("a")], watched.posix);
    opened.close();
    opened.close();
    assert.deepEqual(fs.readdirSync(path), [".backup-agent"]);
    const again = inspect(watched.posix, path, ["a"]);
    assert.equal(again.exists, true);
    assert.equal(again.destinationId, opened.marker.destinationId);
    assert.deepEqual(again.ancestors.slice(1), seen.ancestors.slice(1));
    assertClosed(watched);
  }));

Deno.test("only the last folder is made: a missing one above it is an unmounted disk", () =>
  inScratch((folder) => {
    const path = join(folder, "not-mounted/backup");
    for (const attempt of [() => inspect(posix, path, []), () => open(path)]) {
      assert.throws(attempt, { code: "destination_missing" });
    }
    assert.deepEqual(fs.readdirSync(folder), []);
  }));

Deno.test("a file in the place of the destination is an error, and stays", () =>
  inScratch((folder) => {
    fs.writeFileSync(join(folder, "file"), "mine");
    assert.throws(() => open(join(folder, "file")), { code: "not_a_directory" });
    assert.equal(fs.readFileSync(join(folder, "file"), "utf8"), "mine");
  }));

Deno.test("names keep their key and the destination its id, however often it is opened", () =>
  inScratch((folder) => {
    const first = open(folder, [wanted("a"), wanted("b")]);
    first.close();
    const second = open(folder, [wanted("b"), wanted("c")]);
    second.close();
    assert.equal(second.marker.destinationId, first.marker.destinationId);
    assert.deepEqual(second.marker.bindings.map(({ name, key }) => [name, key]), [
      ["a", "s1"],
      ["b", "s2"],
      ["c", "s3"],
    ]);
    const before = treeState(join(folder, ".backup-agent/"));
    open(folder, [wanted("a")]).close();
    const after = treeState(join(folder, ".backup-agent/"));
    assert.equal(after.get("marker.json")!.inode, before.get("marker.json")!.inode);
  }));

Deno.test("a name is bound to one source of one machine; what was there before is not written over", () =>
  inScratch((folder) => {
    open(folder, [wanted("a", "/home/a")]).close();
    fs.mkdirSync(join(folder, "strange"));
    fs.writeFileSync(join(folder, "strange/file"), "");
    fs.writeFileSync(join(folder, "plain"), "");
    fs.mkdirSync(join(folder, "empty"));
    const refused = [
      wanted("a", "/elsewhere/a"),
      wanted("a", "/home/a", "host-2"),
      wanted("strange"),
      wanted("plain"),
    ];
    const before = treeState(folder).get(".backup-agent/marker.json");
    for (const one of refused) {
      const watched = faultyPosix(posix);
      assert.throws(() => open(folder, [wanted("fine"), one], watched.posix), (error) => {
        assert.ok(error instanceof BackupError && error.code === "usage");
        assert.match(error.hint!, /--as NAME/);
        assert.ok(error.message.includes(join(folder, one.name)));
        return true;
      });
      assertClosed(watched);
    }
    assert.deepEqual(treeState(folder).get(".backup-agent/marker.json"), before);
    open(folder, [wanted("empty")]).close();
  }));

Deno.test({
  ...needs(
    "a destination in use is refused with the name of who uses it, and free when that one ends",
    "linux",
  ),
  fn: () =>
    inScratch((folder) => {
      const first = open(folder, []);
      const watched = faultyPosix(posix);
      assert.throws(() => open(folder, [], watched.posix), (error) => {
        assert.ok(error instanceof BackupError);
        assert.deepEqual([error.code, error.retry], ["destination_busy", "later"]);
        assert.match(error.message, /run-1 of the tests/);
        return true;
      });
      assertClosed(watched);
      const shared = openDestination(posix, folder, [], "", CREATED_AT, true);
      shared.close();
      assert.throws(() => open(folder), { code: "destination_busy" });
      first.close();
      open(folder).close();
    }),
});

Deno.test({
  ...needs("a run whose home has gone is named by what its other agents hold", "linux"),
  fn: () =>
    inScratch((folder) => {
      const enter = (id: string, joins: boolean) =>
        openDestination(posix, folder, [], `${id} on vm`, CREATED_AT, false, undefined, {
          id,
          joins,
        });
      const home = enter("run-1", false);
      const other = enter("run-1", true);
      home.close();
      const named = {
        code: "destination_busy",
        message: `${folder} is in use by another run (run-1)`,
      };
      assert.throws(() => enter("run-2", false), named);
      assert.throws(() => open(folder), named);
      other.close();
      enter("run-2", false).close();
    }),
});

Deno.test({
  ...needs("a run that lost its lock file is still alone", "linux"),
  fn: () =>
    inScratch((folder) => {
      const first = open(folder);
      fs.rmSync(join(folder, ".backup-agent/lock"));
      assert.throws(() => open(folder), { code: "destination_busy" });
      first.close();
      open(folder).close();
    }),
});

Deno.test({
  ...needs("a lock file that was deleted while it was being locked is locked anew", "linux"),
  fn: () =>
    inScratch((folder) => {
      const file = join(folder, ".backup-agent/lock");
      const deleting = (times: number) => {
        let left = times;
        return faultyPosix({
          ...posix,
          tryLock(fd) {
            // Only the file's own lock counts here, as on a file system that cannot lock folders.
            const stat = newStat();
            if (posix.stat(fd, stat) === 0 && stat.kind === KIND_DIRECTORY) return -EBADF;
            if (left-- > 0) fs.rmSync(file);
            return posix.tryLock(fd);
          },
        });
      };
      const once = deleting(1);
      const first = open(folder, [], once.posix);
      const again = deleting(0);
      assert.throws(() => open(folder, [], again.posix), { code: "destination_busy" });
      assertClosed(again);
      assert.deepEqual(first.warnings, []);
      first.close();
      assertClosed(once);
      const always = deleting(Infinity);
      assert.throws(() => open(folder, [], always.posix), { code: "io" });
      assertClosed(always);
    }),
});

Deno.test("where there are no locks the destination is used, and a warning says so", () =>
  inScratch((folder) => {
    const opened = open(folder, [], { ...posix, tryLock: () => -ENOLCK });
    assert.equal(opened.warnings.length, 1);
    assert.match(opened.warnings[0]!, /no locks/);
    opened.close();
    const locked = open(folder);
    assert.deepEqual(locked.warnings, []);
    locked.close();
  }));

Deno.test("a further thread opens only what is there, and only the destination it expects", () =>
  inScratch((folder) => {
    const path = join(folder, "disk");
    const first = open(path, [wanted("a")]);
    const { destinationId } = first.marker;
    const attach = (expectedId?: string, port = posix) =>
      openDestination(port, path, [], "", CREATED_AT, true, expectedId);
    const before = treeState(folder);
    attach(destinationId).close();
    attach().close();
    assert.deepEqual(treeState(folder), before);

    const refused = (code: string, expectedId?: string) => {
      const watched = faultyPosix(posix);
      assert.throws(() => attach(expectedId, watched.posix), { code });
      assert.deepEqual(watched.calls.filter((call) => call.changes), []);
      assertClosed(watched);
    };
    fs.renameSync(path, join(folder, "elsewhere"));
    refused("destination_lost", destinationId);
    refused("destination_missing");
    fs.mkdirSync(path);
    refused("destination_lost", destinationId);
    refused("destination_missing");
    assert.deepEqual(fs.readdirSync(path), []);
    open(path).close();
    refused("destination_lost", destinationId);
    first.close();
  }));

Deno.test("a destination that is to be made in the copy of another is seen before anything is made", () =>
  inScratch((folder) => {
    fs.mkdirSync(join(folder, "a"));
    fs.symlinkSync("a", join(folder, "link"));
    const place = (path: string) => {
      const { ancestors, copies } = inspect(posix, join(folder, path), ["Documents"]);
      return { key: path, ancestors, copies: new Map(copies) };
    };
    const clashes = (...paths: string[]) =>
      findClashes(
        [{ name: "Documents", path: "/source/Documents", ancestors: ["source"] }],
        paths.map(place),
      );
    assert.deepEqual(clashes("a", "a/Documents"), [
      "a/Documents would be a destination and a copy at a",
    ]);
    assert.equal(clashes("link/Documents", "a").length, 1);
    assert.deepEqual(clashes("link/new", "a/new"), ["link/new and a/new are the same folder"]);
    assert.deepEqual(clashes("a", "a/other", "new"), []);
  }));

Deno.test("a file system that folds names is recognised, and two names that it cannot tell apart are refused", () =>
  inScratch((folder) => {
    const folding: typeof posix = {
      ...posix,
      statAt: (at, name, out) =>
        posix.statAt(at, Uint8Array.from(name, (b) => b >= 65 && b <= 90 ? b + 32 : b), out),
    };
    const plain = open(folder, [wanted("docs")]);
    assert.equal(plain.foldsCase, false);
    plain.close();
    open(folder, [wanted("Docs")]).close();
    const before = treeState(folder);
    for (const names of [[wanted("DOCS")], [wanted("new"), wanted("New")]]) {
      assert.throws(() => open(folder, names, folding), (error) => {
        assert.ok(error instanceof BackupError && error.code === "usage");
        assert.match(error.message, /cannot tell/);
        return true;
      });
    }
    assert.deepEqual(
      treeState(folder).get(".backup-agent/marker.json"),
      before.get(".backup-agent/marker.json"),
    );
    const opened = openDestination(folding, folder, [], "", CREATED_AT, true);
    assert.equal(opened.foldsCase, true);
    opened.close();
  }));

for (const [type, folds] of [["vfat", true], ["exfat", true], ["ext4", false]] as const) {
  Deno.test({
    ...needsLoopFs(`${type} ${folds ? "folds" : "does not fold"} names, and that is seen`, type),
    fn: () =>
      withLoopFs({ type, sizeBytes: 8 << 20 }, (mountPoint) => {
        const opened = open(mountPoint, [wanted("a")]);
        opened.close();
        assert.equal(opened.foldsCase, folds);
        fs.writeFileSync(join(mountPoint, "name"), "");
        assert.equal(fs.existsSync(join(mountPoint, "NAME")), folds);
      }),
  });
}

Deno.test("a damaged or newer marker stops everything before a change", () =>
  inScratch((folder) => {
    open(folder, [wanted("a")]).close();
    const marker = join(folder, ".backup-agent/marker.json");
    const newer = fs.readFileSync(marker, "utf8").replace('"version": 1', '"version": 99');
    for (const [text, code] of [["", "damaged"], [newer, "newer_version"]] as const) {
      fs.writeFileSync(marker, text);
      const watched = faultyPosix(posix);
      assert.throws(() => inspect(watched.posix, folder, []), { code });
      assert.throws(() => open(folder, [wanted("b")], watched.posix), { code });
      assertClosed(watched);
      assert.equal(fs.readFileSync(marker, "utf8"), text);
    }
  }));

Deno.test("what is advised for a damaged marker works: .backup-agent put aside, and another name", () =>
  inScratch((folder) => {
    open(folder, [wanted("a")]).close();
    fs.mkdirSync(join(folder, "a"));
    fs.writeFileSync(join(folder, "a/file"), "the old copy");
    for (const text of ["", "{}"]) {
      fs.writeFileSync(join(folder, ".backup-agent/marker.json"), text);
      assert.throws(() => inspect(posix, folder, []), (error) => {
        assert.ok(error instanceof BackupError && error.code === "damaged");
        assert.match(error.hint!, /move .*\.backup-agent away.*--init.*--as NAME/);
        return true;
      });
      fs.renameSync(join(folder, ".backup-agent"), join(folder, `put-aside-${text.length}`));
      assert.throws(() => open(folder, [wanted("a")]), { code: "usage" });
      open(folder, [wanted("b")]).close();
      assert.equal(fs.readFileSync(join(folder, "a/file"), "utf8"), "the old copy");
    }
  }));

Deno.test("whichever call fails, opening ends with an error or succeeds whole, and nothing stays open", () =>
  inScratch((folder) => {
    const run = (path: string, port: typeof posix) => {
      inspect(port, path, ["a"]);
      open(path, [wanted("a")], port).close();
    };
    const whole = faultyPosix(posix);
    run(join(folder, "whole"), whole.posix);
    whole.dispose();
    for (const { number, name } of whole.calls) {
      const path = join(folder, `at-${number}`);
      const faulty = faultyPosix(
        posix,
        (call) => call.number === number ? { kind: "error", errno: EIO } : undefined,
      );
      try {
        run(path, faulty.posix);
      } catch (error) {
        assert.ok(error instanceof BackupError, `call ${number} (${name}): ${error}`);
      }
      assert.equal(faulty.openCount(), 0, `call ${number} (${name})`);
      faulty.dispose();
      // Nothing half made is in the way of the next one.
      const next = open(path, [wanted("a")]);
      assert.deepEqual(next.marker.bindings.map((one) => one.name), ["a"]);
      next.close();
    }
  }));
