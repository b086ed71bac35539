import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import { inScratch } from "../../../../tests/support/small_tree.ts";
import { runProgram } from "../../../../tests/support/run_program.ts";
import { findProgram, needs } from "../../../../tests/support/tools.ts";
import { typed } from "../../../../tests/support/typed_answer.ts";
import { AgeDecoder, AgeEncoder } from "./age_file.ts";
import {
  generateIdentity,
  Identity,
  parseIdentities,
  parseIdentity,
  parseRecipient,
  parseRecipients,
  Recipient,
} from "./age_keys.ts";
import { unwrapWithPassphrase, wrapForRecipient, wrapWithPassphrase } from "./age_stanzas.ts";
import { decodeBech32, encodeBech32 } from "../../../../protocol/base/bech32.ts";
import { createDecoder, createEncoder } from "./codec.ts";
import { assertFails, assertSame, cut, noise, prose, transformed } from "./codec_suite.ts";
import { openIdentities, sealIdentity } from "./identity_file.ts";

const me = generateIdentity();
const other = generateIdentity();
const stranger = generateIdentity();

function encode(recipients: Recipient[], content: Uint8Array): Uint8Array {
  return transformed(createEncoder({ codec: "age", recipients }), ...cut(content, [2 << 20]));
}

function decode(identities: Identity[], stored: Uint8Array): Uint8Array {
  const options = { codec: "age", identities, maxBytes: 1 << 30 } as const;
  return transformed(createDecoder(options), ...cut(stored, [1 << 20]));
}

async function must(program: string, ...args: string[]): Promise<string> {
  const ran = await runProgram(findProgram(program)!, args);
  assert.equal(ran.code, 0, ran.err);
  return ran.out;
}

Deno.test("every recipient can read a file, a stranger cannot, and is told so by code", () => {
  const content = prose(200_000);
  const stored = encode([me.recipient, other.recipient], content);
  assertSame(decode([me], stored), content);
  assertSame(decode([stranger, other], stored), content);
  const error = assertFails(() => decode([stranger], stored), "wrong_key");
  assert.match(error.message, /No key opens the file/);
  assertFails(() => decode([], stored), "wrong_key");
});

Deno.test("two encryptions of one content have nothing in common", () => {
  const content = prose(1000);
  const [one, two] = [encode([me.recipient], content), encode([me.recipient], content)];
  assert.notDeepEqual(one.subarray(-100), two.subarray(-100));
  assert.notDeepEqual(one.subarray(30, 70), two.subarray(30, 70));
});

Deno.test(needs("stock age decrypts what is stored, as each recipient", "age"), async () => {
  await inScratch(async (folder) => {
    Deno.writeTextFileSync(`${folder}/me`, `${me.secretText()}\n`);
    Deno.writeTextFileSync(`${folder}/other`, `# a comment\n${other.secretText()}\n`);
    for (const size of [0, 1, 65_535, 65_536, 65_537, 131_072, (4 << 20) + 5]) {
      const content = noise(size);
      Deno.writeFileSync(`${folder}/f.age`, encode([me.recipient, other.recipient], content));
      for (const key of ["me", "other"]) {
        await must("age", "-d", "-i", `${folder}/${key}`, "-o", `${folder}/f`, `${folder}/f.age`);
        // Of no content it makes no file.
        if (size === 0) continue;
        assertSame(Deno.readFileSync(`${folder}/f`), content, `${size} bytes as ${key}`);
      }
    }
  });
});

Deno.test(needs("files that stock age made are decrypted", "age"), async () => {
  await inScratch(async (folder) => {
    const to = [me, other].flatMap(({ recipient }) => ["-r", recipient.text]);
    for (const size of [0, 1, 65_536, 65_537, 131_072, 3 << 20]) {
      const content = noise(size);
      Deno.writeFileSync(`${folder}/f`, content);
      await must("age", ...to, "-o", `${folder}/f.age`, `${folder}/f`);
      assertSame(decode([other], Deno.readFileSync(`${folder}/f.age`)), content, `${size} bytes`);
    }
  });
});

Deno.test(needs("keys of age-keygen are read, and ours are its", "age-keygen"), async () => {
  await inScratch(async (folder) => {
    await must("age-keygen", "-o", `${folder}/key`);
    const [identity] = parseIdentities(Deno.readTextFileSync(`${folder}/key`));
    const publicText = (await must("age-keygen", "-y", `${folder}/key`)).trim();
    assert.equal(identity!.recipient.text, publicText);
    assert.equal(parseRecipient(publicText).text, publicText);
    Deno.writeTextFileSync(`${folder}/ours`, me.secretText());
    assert.equal((await must("age-keygen", "-y", `${folder}/ours`)).trim(), me.recipient.text);
  });
});

Deno.test(needs("compressed and encrypted: age and zstd read it", "age", "zstd"), async () => {
  await inScratch(async (folder) => {
    const content = prose(5 << 20);
    const encoder = createEncoder({ codec: "zst.age", recipients: [me.recipient] });
    const stored = transformed(encoder, ...cut(content, [2 << 20]));
    assert.ok(stored.length < content.length / 2);
    Deno.writeTextFileSync(`${folder}/me`, me.secretText());
    Deno.writeFileSync(`${folder}/f.zst.age`, stored);
    const files = {
      stored: `${folder}/f.zst.age`,
      packed: `${folder}/f.zst`,
      whole: `${folder}/f`,
    };
    await must("age", "-d", "-i", `${folder}/me`, "-o", files.packed, files.stored);
    await must("zstd", "-d", files.packed, "-o", files.whole);
    assertSame(Deno.readFileSync(files.whole), content);
  });
});

Deno.test("chunks that change places, or are left out, are damage", () => {
  const stored = encode([me.recipient], noise(4 * 65_536));
  const sealed = 65_536 + 16;
  const start = stored.length - 4 * sealed;
  const chunk = (i: number) => stored.subarray(start + i * sealed, start + (i + 1) * sealed);
  const head = stored.subarray(0, start);
  assert.equal(decode([me], Buffer.concat([head, ...[0, 1, 2, 3].map(chunk)])).length, 4 * 65_536);
  for (const order of [[1, 0, 2, 3], [0, 2, 3], [0, 1, 3], [3], [0, 1, 2, 3, 3], [0, 1, 2], []]) {
    const altered = Buffer.concat([head, ...order.map(chunk)]);
    assertFails(() => decode([me], altered), "damaged");
  }
});

Deno.test("a header that was added to, or written in another way, is damage", () => {
  const stored = encode([me.recipient], prose(100));
  const text = Buffer.from(stored).toString("latin1");
  const added = text.replace("---", "-> grease x\nAAAA\n---");
  const altered = {
    added,
    "padded base64": text.replace(/\n--- (\S+)\n/, "\n--- $1=\n"),
    "another version": text.replace("v1", "v2"),
    "carriage returns": text.replace("v1\n", "v1\r\n"),
    "two spaces": text.replace("-> X", "->  X"),
    "nobody": text.replace(/-> [^]*?---/, "---"),
  };
  for (const [what, changed] of Object.entries(altered)) {
    assert.notEqual(changed, text, what);
    assertFails(() => decode([me], Buffer.from(changed, "latin1")), "damaged");
  }
});

Deno.test("a header without an end is given up, not collected for ever", () => {
  const line = `-> X25519 ${"A".repeat(43)}\n${"A".repeat(43)}\n`;
  const endless = Buffer.from(`age-encryption.org/v1\n${line.repeat(1000)}`);
  assertFails(() => decode([me], endless), "damaged");
});

Deno.test("an armored file is refused with what to do", () => {
  const armored = Buffer.from("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n");
  assert.match(assertFails(() => decode([me], armored), "unsupported").hint!, /armor/);
});

Deno.test("a share that would give everyone the same secret opens nothing", () => {
  assert.equal(me.agree(new Uint8Array(32)), undefined);
  const weak = new Recipient(new Uint8Array(32));
  assertFails(() => wrapForRecipient(new Uint8Array(16), weak), "usage");
  assertFails(() => parseRecipient(weak.text), "usage");
});

Deno.test("a passphrase opens the identity it wraps, another one does not", () => {
  const sealed = sealIdentity(me, "correct horse", { workFactorLog2: 10 });
  const [opened, ...more] = openIdentities(sealed, "correct horse");
  assert.deepEqual(more, []);
  assert.equal(opened!.secretText(), me.secretText());
  assert.match(assertFails(() => openIdentities(sealed, "x"), "wrong_key").message, /passphrase/);
  assertFails(() => sealIdentity(me, ""), "usage");
  for (let end = 0; end < sealed.length; end += 7) {
    assertFails(() => openIdentities(sealed.subarray(0, end), "correct horse"), "damaged");
  }
});

Deno.test("a file that asks for too much work is refused before it is done", () => {
  const sealed = Buffer.from(sealIdentity(me, "p", { workFactorLog2: 10 })).toString("latin1");
  const hostile = sealed.replace(/(scrypt \S+) 10/, "$1 22");
  assertFails(() => openIdentities(Buffer.from(hostile, "latin1"), "p"), "unsupported");
  const endless = sealed.replace(/(scrypt \S+) 10/, "$1 999");
  assertFails(() => openIdentities(Buffer.from(endless, "latin1"), "p"), "damaged");
});

Deno.test("a passphrase may not stand beside other recipients", () => {
  const wrap = (fileKey: Uint8Array) => [
    wrapForRecipient(fileKey, me.recipient),
    wrapWithPassphrase(fileKey, "p", 4),
  ];
  const stored = transformed(new AgeEncoder(wrap), prose(10));
  const decoder = new AgeDecoder(unwrapWithPassphrase("p"));
  assertFails(() => transformed(decoder, stored), "damaged");
});

const PASSPHRASE = "correct horse battery";

Deno.test(needs("an identity wrapped by stock age -p is opened", "age", "script"), async () => {
  await inScratch(async (folder) => {
    Deno.writeTextFileSync(`${folder}/key`, `# created: today\n${me.secretText()}\n`);
    await typed(`age -p -o ${folder}/identity.age ${folder}/key`, PASSPHRASE);
    const [opened] = openIdentities(Deno.readFileSync(`${folder}/identity.age`), PASSPHRASE);
    assert.equal(opened!.secretText(), me.secretText());
  });
});

Deno.test(needs("stock age -d -i takes a wrapped identity of ours", "age", "script"), async () => {
  await inScratch(async (folder) => {
    const content = prose(100_000);
    Deno.writeFileSync(`${folder}/identity.age`, sealIdentity(me, PASSPHRASE));
    Deno.writeFileSync(`${folder}/f.age`, encode([me.recipient], content));
    const files = `-o ${folder}/f ${folder}/f.age`;
    await typed(`age -d -i ${folder}/identity.age ${files}`, PASSPHRASE);
    assertSame(Deno.readFileSync(`${folder}/f`), content);
  });
});

Deno.test("keys are read strictly, and no error repeats a secret", () => {
  const secret = me.secretText();
  assert.match(secret, /^AGE-SECRET-KEY-1[0-9A-Z]{58}$/);
  assert.match(me.recipient.text, /^age1[0-9a-z]{58}$/);
  const wrong = [
    secret.toLowerCase(),
    secret.slice(0, -1),
    secret.replace(/.$/, (last) => last === "Q" ? "P" : "Q"),
    `${secret}Q`,
    me.recipient.text,
    encodeBech32("age-secret-key-", new Uint8Array(31)).toUpperCase(),
    "",
  ];
  for (const text of wrong) {
    const error = assertFails(() => parseIdentity(text), "usage");
    assert.ok(!error.message.includes("SECRET"), error.message);
  }
  for (const text of [secret, "age1qqqq", me.recipient.text.slice(0, -1), "", "someone@x"]) {
    const error = assertFails(() => parseRecipient(text), "usage");
    assert.ok(!error.message.includes(secret.slice(17, 30)), error.message);
  }
});

Deno.test("files of keys have comments and empty lines, and a wrong line is named", () => {
  const text = `# us\n\n${me.recipient.text}\r\n  ${other.recipient.text}\n`;
  assert.deepEqual(parseRecipients(text).map((one) => one.text), [
    me.recipient.text,
    other.recipient.text,
  ]);
  assert.match(assertFails(() => parseRecipients(`# x\nage1x\n`), "usage").message, /^Line 2:/);
  assertFails(() => parseRecipients("# nothing\n"), "usage");
  assertFails(() => parseIdentities(""), "usage");
});

Deno.test("an identity does not show its secret when it is printed", () => {
  const secret = me.secretText();
  const shown = `${JSON.stringify(me)}${inspect(me, { depth: 9 })}${String(me)}`;
  const raw = decodeBech32(secret)!.bytes;
  for (
    const form of [secret, Buffer.from(raw).toString("hex"), [...raw.subarray(0, 8)].join(",")]
  ) {
    assert.ok(!shown.includes(form));
  }
  assert.ok(!shown.includes([...raw.subarray(0, 4)].join(", ")), "as an array");
});
