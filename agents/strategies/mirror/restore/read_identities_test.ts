import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { inScratch } from "../../../../tests/support/small_tree.ts";
import { generateIdentity } from "../codec/age_keys.ts";
import { sealIdentity } from "../codec/identity_file.ts";
import { readIdentities } from "./read_identities.ts";

const me = generateIdentity();
const SECRET = me.secretText();

/** The refusal of a file with `content`; what it says has nothing of the key. */
async function refusal(path: string, content?: string | Uint8Array): Promise<BackupError> {
  if (content !== undefined) fs.writeFileSync(path, content);
  const thrown = await readIdentities([path]).then(() => undefined, (error) => error);
  assert.ok(thrown instanceof BackupError, `${path} was taken`);
  assert.equal(thrown.code, "usage");
  const said = [thrown.message, thrown.hint, thrown.path, thrown.stack, JSON.stringify(thrown)];
  assert.ok(!said.join().includes(SECRET.slice(16, 40)));
  return thrown;
}

Deno.test("a link to an identity file is followed, and only a file that others may read is warned of", () =>
  inScratch(async (folder) => {
    const file = join(folder, "key");
    fs.writeFileSync(file, `# mine\r\n${SECRET}\r\n`, { mode: 0o600 });
    fs.symlinkSync("key", join(folder, "link"));
    const read = await readIdentities([join(folder, "link")]);
    assert.deepEqual(read.identities.map((each) => each.recipient.text), [me.recipient.text]);
    assert.deepEqual(read.warnings, []);
    fs.chmodSync(file, 0o640);
    assert.equal((await readIdentities([file])).warnings.length, 1);
  }));

Deno.test("an identity file behind a passphrase is refused, and the way around is named", () =>
  inScratch(async (folder) => {
    const sealed = sealIdentity(me, "words", { workFactorLog2: 1 });
    for (const content of [sealed, "-----BEGIN AGE ENCRYPTED FILE-----\nabc\n"]) {
      const { message, hint } = await refusal(join(folder, "key"), content);
      assert.match(message, /is itself encrypted, which is not supported yet/);
      assert.match(hint!, /<\(age -d FILE\)/);
    }
  }));

Deno.test("what is no identity file is refused by its path, and no message has a key in it", () =>
  inScratch(async (folder) => {
    const file = join(folder, "key");
    assert.match((await refusal(file)).message, /there is no such file/);
    assert.match((await refusal(folder)).message, /it is a folder/i);
    assert.match((await refusal(file, "# nothing\n")).message, /There is no key in it/);
    assert.match((await refusal(file, `${SECRET}x\n`)).message, /Line 1: Not a secret key/);
    assert.match((await refusal(file, `\n${me.recipient.text}\n`)).message, /Line 2/);
    assert.match((await refusal(file, new Uint8Array(1 << 17))).message, /too large/);
    const typed = await refusal(join(folder, SECRET));
    assert.match(typed.message, /A secret key stands where the path of its file must/);
  }));
