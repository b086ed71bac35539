import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix, PowerCut } from "../../../tests/support/faulty_posix.ts";
import { inFolder } from "../../../tests/support/posix_folder.ts";
import { EIO, ENOSPC } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { DirectoryHandle, Posix } from "../../platform/posix.ts";
import { generateIdentity } from "./codec/age_keys.ts";
import {
  completeIdentity,
  identityWarnings,
  listRecipients,
  makeIdentity,
  openKeys,
} from "./destination_keys.ts";

const posix = openPosix();
const PASSPHRASE = "correct horse";
const given = { passphrase: PASSPHRASE, identities: [] };
const NAMES = ["identity.age", "identity-spare.age"] as const;

const make = (at: DirectoryHandle, port: Posix = posix) =>
  makeIdentity(port, at, "own", PASSPHRASE, { workFactorLog2: 4 });
const open = (at: DirectoryHandle) => openKeys(posix, at, "own", given);

Deno.test("an identity is there twice: either is enough, and what is missing is made again", () =>
  inFolder(posix, (at, path) => {
    assert.deepEqual(open(at), { identities: [], warnings: [] });
    const made = make(at);
    const { recipient, secret } = made;
    assert.deepEqual(open(at), { identities: [secret], recipient, warnings: [] });
    const [first, spare] = NAMES.map((name) => join(path, name)) as [string, string];
    const bytes = fs.readFileSync(first);
    assert.deepEqual(fs.readFileSync(spare), bytes);
    assert.equal(fs.statSync(first).mode & 0o777, 0o600);
    assert.deepEqual(identityWarnings(posix, at, "own"), []);
    for (let k = 0; k < bytes.length; k++) {
      const damaged = Uint8Array.from(bytes);
      damaged[k]! ^= 1;
      for (const [one, other] of [[first, spare], [spare, first]] as const) {
        fs.writeFileSync(one, damaged);
        fs.writeFileSync(other, bytes);
        const opened = open(at);
        assert.equal(opened.recipient, recipient, `byte ${k}`);
        assert.equal(opened.warnings.length, one === first ? 1 : 0, `byte ${k}`);
        assert.match(identityWarnings(posix, at, "own").join(), /differ/);
      }
    }
    fs.writeFileSync(spare, bytes);
    for (const one of [first, spare]) {
      fs.rmSync(one);
      assert.match(identityWarnings(posix, at, "own").join(), /is missing/);
      assert.equal(open(at).recipient, recipient);
      completeIdentity(posix, at, "own");
      assert.deepEqual(fs.readFileSync(one), bytes);
    }
  }));

Deno.test("an identity is never written over, and another passphrase does not open it", () =>
  inFolder(posix, (at, path) => {
    make(at);
    const bytes = NAMES.map((name) => fs.readFileSync(join(path, name)));
    assert.throws(() => make(at));
    assert.deepEqual(NAMES.map((name) => fs.readFileSync(join(path, name))), bytes);
    assert.throws(() => openKeys(posix, at, "own", { passphrase: "x", identities: [] }), {
      code: "wrong_key",
    });
    const none = openKeys(posix, at, "own", { identities: ["mine"] });
    assert.deepEqual(none, { identities: ["mine"], warnings: [] });
  }));

Deno.test("a power cut at any step of making the identity leaves one that opens, or none", () =>
  inFolder(posix, (at, path) => {
    const clear = () => {
      for (const name of fs.readdirSync(path)) fs.rmSync(join(path, name));
    };
    const rehearsal = faultyPosix(posix);
    make(at, rehearsal.posix);
    const seen = new Set<boolean>();
    for (const { number, name, changes } of rehearsal.calls) {
      for (const fault of ["crash", EIO, ENOSPC] as const) {
        if (fault === "crash" ? !changes : name === "close") continue;
        clear();
        const faulty = faultyPosix(posix, (call) => {
          if (call.number !== number) return undefined;
          return fault === "crash"
            ? { kind: "crash", when: "after" }
            : { kind: "error", errno: fault };
        });
        let made: ReturnType<typeof makeIdentity> | undefined;
        try {
          made = make(at, faulty.posix);
        } catch (thrown) {
          assert.ok(fault !== "crash" || thrown instanceof PowerCut);
        }
        faulty.dispose();
        const point = `${fault} at ${number} (${name})`;
        const opened = open(at);
        if (made !== undefined) assert.equal(opened.recipient, made.recipient, point);
        assert.deepEqual(opened.warnings, [], point);
        seen.add(opened.recipient !== undefined);
        if (opened.recipient === undefined) make(at);
        else completeIdentity(posix, at, "own");
        assert.deepEqual(fs.readdirSync(path).sort(), [...NAMES].sort(), point);
        assert.deepEqual(identityWarnings(posix, at, "own"), [], point);
      }
    }
    assert.equal(seen.size, 2, "some cuts come before it stands and some after");
  }));

Deno.test("lists are encrypted only for whoever could read them again", () => {
  const [mine, other] = [generateIdentity(), generateIdentity()];
  const both = [mine.recipient.text, other.recipient.text];
  assert.deepEqual(listRecipients([mine.secretText()], both), both);
  assert.deepEqual(listRecipients([mine.secretText()], [other.recipient.text]), []);
  assert.deepEqual(listRecipients([], both), []);
  assert.deepEqual(listRecipients([mine.secretText()], []), []);
});
