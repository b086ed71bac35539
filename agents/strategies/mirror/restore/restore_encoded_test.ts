import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { backUp } from "../../../../tests/support/mirror_engine.ts";
import { restore } from "../../../../tests/support/restoring.ts";
import { inScratch, writeFirstVersion } from "../../../../tests/support/small_tree.ts";
import { sameCopy, treeState } from "../../../../tests/support/tree_state.ts";
import { openPosix } from "../../../platform/open_posix.ts";
import { restoreExitCode } from "../../../cli/restore_result.ts";
import { generateIdentity, type Identity } from "../codec/age_keys.ts";
import { type Codec, createEncoder } from "../codec/codec.ts";
import { transformed } from "../codec/codec_suite.ts";
import { encodingOf, me } from "../encoded_copy_suite.ts";

const posix = openPosix();

interface Scene {
  source: string;
  one: string;
  two: string;
  target: string;
}

function inScene(codec: Codec, use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const at = (name: string) => join(folder, name);
    const scene = { source: at("source"), one: at("one"), two: at("two"), target: at("target") };
    fs.mkdirSync(scene.source);
    writeFirstVersion(scene.source);
    fs.writeFileSync(join(scene.source, "large"), "large\n".repeat(1 << 20));
    await backUp({
      posix,
      runId: "run-1",
      source: scene.source,
      destinations: [scene.one, scene.two].map((path) => ({ path, posix })),
      options: { encoding: encodingOf(codec) },
    });
    await use(scene);
  });
}

function assertRestored({ source, target }: Scene): void {
  const found = treeState(join(target, "copy"));
  for (const [path, entry] of treeState(source)) {
    assert.ok(sameCopy(found.get(path)!, entry), path);
  }
}

Deno.test("a compressed copy comes back as it was", () =>
  inScene("zst", async (scene) => {
    const outcome = await restore(posix, { sources: [scene.one], target: scene.target });
    assert.deepEqual(outcome.failures, []);
    assertRestored(scene);
  }));

Deno.test("a compressed file that is damaged is taken from the next destination, or named", () =>
  inScene("zst", async (scene) => {
    const stored = join(scene.one, "copy/large.zst");
    const bytes = fs.readFileSync(stored);
    bytes[bytes.length - 2]! ^= 1;
    fs.writeFileSync(stored, bytes);
    fs.truncateSync(join(scene.one, "copy/same.txt.zst"), 5);
    const alone = await restore(posix, { sources: [scene.one], target: `${scene.target}-alone` });
    assert.deepEqual(alone.failures.map(({ path, code }) => [path, code]).sort(), [
      ["copy/large", "damaged"],
      ["copy/same.txt", "damaged"],
    ]);
    const both = await restore(posix, { sources: [scene.one, scene.two], target: scene.target });
    assert.deepEqual(both.failures, []);
    assertRestored(scene);
  }));

/** A file with the keys of `identities`, as age-keygen writes it. */
function keyFile(path: string, identities: readonly Identity[], mode = 0o600): string {
  const lines = identities.flatMap((each) => [
    "# created: 2026-01-01T00:00:00Z",
    `# public key: ${each.recipient.text}`,
    each.secretText(),
  ]);
  fs.writeFileSync(path, lines.join("\n") + "\n");
  fs.chmodSync(path, mode);
  return path;
}

function flipByte(path: string, at: (bytes: Uint8Array) => number): void {
  const bytes = fs.readFileSync(path);
  bytes[at(bytes)]! ^= 1;
  fs.writeFileSync(path, bytes);
}

for (const codec of ["age", "zst.age"] as const) {
  Deno.test(`a copy stored as ${codec} comes back with its key, also when it is the second one`, () =>
    inScene(codec, async (scene) => {
      const { one, target } = scene;
      const file = keyFile(`${target}.key`, [generateIdentity(), me]);
      const outcome = await restore(posix, {
        sources: [one],
        target,
        keys: { identityFiles: [file] },
      });
      assert.deepEqual([outcome.failures, outcome.warnings], [[], []]);
      assertRestored(scene);
    }));
}

Deno.test("keys of several files are tried, and a file that others may read is warned of", () =>
  inScene("age", async (scene) => {
    const { one, target } = scene;
    const other = keyFile(`${target}.other`, [generateIdentity()]);
    const mine = keyFile(`${target}.mine`, [me], 0o644);
    const identityFiles = [other, mine];
    const outcome = await restore(posix, { sources: [one], target, keys: { identityFiles } });
    assert.deepEqual(outcome.failures, []);
    assert.equal(outcome.warnings.length, 1);
    assert.match(outcome.warnings[0]!, /Others may read the identity file .+\.mine: chmod 600/);
    assertRestored(scene);
  }));

Deno.test("without a key, or with a wrong one, every file is named and the exit code is 12", () =>
  inScene("age", async ({ one, two, target }) => {
    const wrong = keyFile(`${target}.key`, [generateIdentity()]);
    for (
      const [identityFiles, why] of [
        [[], /It is encrypted, and no key is given \(--identity or --passphrase-file\)$/],
        [[wrong], /No key opens the file/],
      ] as const
    ) {
      for (const sources of [[one], [one, two]]) {
        const outcome = await restore(posix, { sources, target, keys: { identityFiles } });
        assert.ok(outcome.planned.files > 3);
        assert.equal(outcome.counts.locked, outcome.planned.files);
        assert.equal(restoreExitCode(outcome), 12);
        const locked = outcome.failures.filter(({ code }) => code === "wrong_key");
        assert.ok(locked.length >= outcome.planned.files);
        for (const { message } of locked) assert.match(message, why);
        const stand = [...treeState(target).values()].filter(({ kind }) => kind === "file");
        assert.deepEqual(stand, []);
      }
    }
  }));

Deno.test("files that no key opens are named among others that are restored: exit code 4", () =>
  inScene("age", async ({ one, target }) => {
    const stranger = generateIdentity().recipient;
    const encoder = createEncoder({ codec: "age", recipients: [stranger] });
    const foreign = transformed(encoder, new TextEncoder().encode("large\n".repeat(1 << 20)));
    fs.writeFileSync(join(one, "copy/large.age"), foreign);
    const identityFiles = [keyFile(`${target}.key`, [me])];
    const outcome = await restore(posix, { sources: [one], target, keys: { identityFiles } });
    assert.deepEqual(outcome.failures.map(({ path, code }) => [path, code]), [
      ["copy/large", "wrong_key"],
    ]);
    assert.equal(restoreExitCode(outcome), 4);
  }));

Deno.test("an encrypted file that was tampered with is damaged, and taken from the next destination", () =>
  inScene("zst.age", async (scene) => {
    const { one, two, target } = scene;
    const identityFiles = [keyFile(`${target}.key`, [me])];
    flipByte(join(one, "copy/large.zst.age"), (bytes) => bytes.length - 20);
    fs.truncateSync(join(one, "copy/same.txt.zst.age"), 20);
    const alone = await restore(posix, {
      sources: [one],
      target: `${target}-alone`,
      keys: { identityFiles },
    });
    assert.deepEqual(alone.failures.map(({ path, code }) => [path, code]).sort(), [
      ["copy/large", "damaged"],
      ["copy/same.txt", "damaged"],
    ]);
    const both = await restore(posix, { sources: [one, two], target, keys: { identityFiles } });
    assert.deepEqual(both.failures, []);
    assert.match(both.taken.join("\n"), /Took copy\/large from .+ is damaged/);
    assertRestored(scene);
  }));

Deno.test("content that decrypts well and is not the recorded one is damaged", () =>
  inScene("age", async ({ one, target }) => {
    const encoder = createEncoder({ codec: "age", recipients: [me.recipient] });
    const other = transformed(encoder, new TextEncoder().encode("LARGE\n".repeat(1 << 20)));
    fs.writeFileSync(join(one, "copy/large.age"), other);
    const identityFiles = [keyFile(`${target}.key`, [me])];
    const outcome = await restore(posix, { sources: [one], target, keys: { identityFiles } });
    assert.deepEqual(outcome.failures.map(({ path, code }) => [path, code]), [
      ["copy/large", "damaged"],
    ]);
  }));
