import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { generateIdentity, type Identity } from "./codec/age_keys.ts";
import { createDecoder } from "./codec/codec.ts";
import { transformed } from "./codec/codec_suite.ts";
import { recipientsId } from "./stored_rows.ts";
import { manifestOf } from "./encoded_copy_suite.ts";

const posix = openPosix();
const [first, second] = [generateIdentity(), generateIdentity()];

function opens(path: string, identity: Identity): boolean {
  const decoder = createDecoder({ codec: "age", identities: [identity], maxBytes: 1 << 20 });
  try {
    transformed(decoder, fs.readFileSync(path));
    return true;
  } catch {
    return false;
  }
}

Deno.test("other recipients: what stays for the earlier ones is counted, and encrypted again when asked", () =>
  inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(source);
    for (const name of ["a", "b", "gone"]) fs.writeFileSync(join(source, name), name);
    fs.linkSync(join(source, "a"), join(source, "link"));
    let runs = 0;
    const run = async (recipients: Identity[], reencrypt = false) => {
      const outcome = await backUp({
        posix,
        runId: `run-${++runs}`,
        source,
        destinations: [{ path: destination, posix }],
        options: {
          encoding: { codec: "age", recipients: recipients.map((one) => one.recipient.text) },
          reencrypt,
          keepVersions: 3,
        },
      });
      const [lane] = outcome.mirrored!.lanes;
      assert.equal(lane!.state, "verified");
      return {
        said: lane!.warnings.filter((text) => text.includes("stay encrypted")).join(),
        copied: lane!.filesCopied,
      };
    };
    const stored = (name: string) => join(destination, "copy", `${name}.age`);
    assert.deepEqual(await run([first]), { said: "", copied: 4 });
    fs.rmSync(join(source, "gone"));
    fs.writeFileSync(join(source, "new"), "new");
    const changed = await run([second, first]);
    assert.match(changed.said, /^3 files of copy stay encrypted for the recipients of an earlier/);
    assert.equal(changed.copied, 1);
    assert.deepEqual(["a", "new"].map((name) => opens(stored(name), second)), [false, true]);
    assert.deepEqual(
      await run([first, second]),
      { ...changed, copied: 0 },
    );
    const again = await run([second], true);
    assert.match(again.said, /^1 file of copy/, "what the source has lost cannot be");
    assert.equal(again.copied, 4);
    for (const name of ["a", "b", "link", "new"]) {
      assert.deepEqual([opens(stored(name), second), opens(stored(name), first)], [true, false]);
    }
    assert.ok(opens(stored("gone"), first));
    const now = recipientsId([second.recipient.text]);
    const others = manifestOf(destination).filter((entry) =>
      entry.type === "file" && entry.storedFor !== now
    );
    assert.deepEqual(others.map(({ path }) => path), ["gone"]);
    assert.equal(
      fs.existsSync(join(destination, ".backup-agent/versions")),
      false,
      "the same content",
    );
    assert.equal((await run([second], true)).copied, 0);
  }));
