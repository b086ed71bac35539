/** Copies behind a passphrase, made and brought back by the program. Rule: stock age judges, and nothing shows a secret. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { noise } from "../support/fill_tree.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, type Scene } from "../support/scene.ts";
import { findProgram, needs } from "../support/tools.ts";
import { treeState } from "../support/tree_state.ts";
import { typed } from "../support/typed_answer.ts";

const TOOLS = ["age", "age-keygen", "diff", "script", "sha256sum", "zstd"];
const PASSPHRASE = "correct horse battery staple";
const IN_ENVIRONMENT = { env: { BACKUP_AGENT_PASSPHRASE: PASSPHRASE } };

async function must(program: string, words: string[], cwd?: string): Promise<string> {
  const at = cwd === undefined ? {} : { cwd };
  const ran = await runProgram(findProgram(program)!, words, at);
  assert.equal(ran.code, 0, ran.out + ran.err);
  return ran.out.trim();
}

/** Fails when the program ends otherwise than so. Answers all that it printed. */
async function ends(ran: Promise<{ code: number; out: string; err: string }>, code: number) {
  const { out, err, code: found } = await ran;
  assert.equal(found, code, out + err);
  assert.ok(!(out + err).includes(PASSPHRASE));
  assert.ok(!/AGE-SECRET-KEY/i.test(out + err));
  return out + err;
}

function protectedBy(name: string, fn: (scene: Scene) => Promise<void>): void {
  Deno.test({
    ...needs(name, ...TOOLS),
    async fn() {
      await using scene = createScene();
      fs.mkdirSync(`${scene.source}/deep`);
      fs.writeFileSync(`${scene.source}/a.txt`, "text\n".repeat(1000));
      fs.writeFileSync(`${scene.source}/deep/b.bin`, noise(300_000, 1));
      fs.writeFileSync(`${scene.folder}/pw`, `${PASSPHRASE}\n`, { mode: 0o600 });
      fs.writeFileSync(`${scene.folder}/wrong`, "another\n", { mode: 0o600 });
      await fn(scene);
    },
  });
}

const listsAt = (destination: string) =>
  fs.readdirSync(`${destination}/.backup-agent/manifests`).sort();

async function makeKey(scene: Scene, name: string): Promise<string> {
  await must("age-keygen", ["-o", `${scene.folder}/${name}`]);
  return await must("age-keygen", ["-y", `${scene.folder}/${name}`]);
}

protectedBy(
  "what a passphrase protects is opened by stock age with it, and no secret is kept",
  async (scene) => {
    const { one, two, folder, source, stateDir } = scene;
    const words = ["source", "--to", one, "--to", two, "--compress", "--encrypt"];
    await ends(scene.backup([...words, "--passphrase-file", "pw"]), 0);
    for (const destination of [one, two]) {
      const own = `${destination}/.backup-agent`;
      for (const name of ["a.txt", "deep/b.bin"]) {
        const stored = `${destination}/source/${name}.zst.age`;
        await typed(`age -d -i ${own}/identity.age -o ${folder}/out.zst ${stored}`, PASSPHRASE);
        await must("zstd", ["-q", "-d", "-f", `${folder}/out.zst`, "-o", `${folder}/out`]);
        assert.deepEqual(fs.readFileSync(`${folder}/out`), fs.readFileSync(`${source}/${name}`));
        fs.rmSync(`${folder}/out.zst`);
      }
      await must("sha256sum", ["--check", "--strict", ".backup-agent/SHA256SUMS"], destination);
      assert.deepEqual(listsAt(destination), ["s1.jsonl.age"]);
    }
    const identities = [one, two].map((at) => fs.readFileSync(`${at}/.backup-agent/identity.age`));
    assert.notDeepEqual(identities[0], identities[1], "each destination has its own");
    assert.match(await ends(scene.backup(words, IN_ENVIRONMENT), 0), /0 files copied.*2 unchanged/);
    // Nothing anywhere has the passphrase or a key, or what the lists say.
    const secrets = [PASSPHRASE, "AGE-SECRET-KEY", 'b.bin","type"'];
    for (const root of [one, two, stateDir]) {
      for (const [path] of treeState(root)) {
        const file = `${root}/${path}`;
        if (!fs.statSync(file).isFile()) continue;
        const bytes = fs.readFileSync(file);
        for (const secret of secrets) assert.ok(!bytes.includes(secret), `${file}: ${secret}`);
      }
    }
  },
);

protectedBy(
  "a passphrase brings everything back, from file, variable or command",
  async (scene) => {
    const { one, folder, source } = scene;
    const file = ["--passphrase-file", "pw"];
    await ends(scene.backup(["source", "--to", one, "--encrypt", ...file]), 0);
    const restore = ["restore", "--from", one, "--target"];
    await ends(scene.run([...restore, "back", ...file]), 0);
    await must("diff", ["-r", source, `${folder}/back/source`]);
    const command = { env: { BACKUP_AGENT_PASSPHRASE_COMMAND: `cat ${folder}/pw` } };
    assert.match(
      await ends(scene.run(["ls", one, "source/deep"], command), 0),
      /source\/deep\/b\.bin/,
    );
    assert.match(await ends(scene.run(["find", one, "*.bin"], IN_ENVIRONMENT), 0), /b\.bin/);
    const variable = { env: { BACKUP_AGENT_PASSPHRASE_FILE: `${folder}/pw` } };
    assert.match(await ends(scene.run(["drill", one, "--sample", "100%"], variable), 0), /2 of 2/);
    assert.match(await ends(scene.run(["verify", one, ...file]), 0), /2 files/);
    const noVersion = ["versions", "source/a.txt", "--at", one];
    assert.match(await ends(scene.run([...noVersion, ...file]), 0), /no earlier version/);
    assert.deepEqual(listsAt(one), ["s1.jsonl.age"], "verify encrypts it again");
    // What is given twice in one place is a mistake; a word on the command line wins over the environment.
    const both = [...file, "--passphrase-command", "cat pw"];
    assert.match(await ends(scene.run(["ls", one, ...both]), 2), /both given/);
    const wrong = { env: { BACKUP_AGENT_PASSPHRASE: "another" } };
    await ends(scene.run(["ls", one, ...file], wrong), 0);
    await ends(scene.run(["ls", one, "--passphrase-command", "false"]), 2);
  },
);

protectedBy(
  "a wrong or missing passphrase is exit code 12, and nothing is written",
  async (scene) => {
    const { one, source, folder } = scene;
    const right = ["--passphrase-file", "pw"];
    const wrong = ["--passphrase-file", "wrong"];
    await ends(scene.backup(["source", "--to", one, "--encrypt", ...right]), 0);
    const before = treeState(one);
    fs.writeFileSync(`${source}/new`, "new");
    fs.mkdirSync(`${folder}/other`);
    const recipient = await makeKey(scene, "key");
    const passphraseWords = ["--encrypt", ...wrong];
    for (
      const words of [
        ["source", "--to", one, ...passphraseWords],
        ["source", "--to", one, "--encrypt", "--recipient", recipient],
        ["other", "--to", one],
      ]
    ) {
      await ends(scene.backup(words), 12);
      const after = treeState(one);
      // Whoever holds the lock writes its own name into it.
      for (const tree of [before, after]) tree.delete(".backup-agent/lock");
      assert.deepEqual(after, before, words.join(" "));
    }
    const restore = ["restore", "--from", one, "--target", "back"];
    const reads = [["verify", one, ...wrong], [...restore, ...wrong], restore];
    for (const words of reads) await ends(scene.run(words), 12);
    assert.equal(fs.existsSync(`${folder}/back`), false);
    await ends(scene.run(["versions", "source", "--at", one, ...wrong]), 12);
    await ends(scene.run(["find", one, "*", ...wrong]), 12);
    const listing = await ends(scene.run(["ls", one]), 12);
    assert.match(listing, /is encrypted, and no key is given \(Give the passphrase/);
  },
);

protectedBy(
  "without a key verify compares bytes with SHA256SUMS, and says what that leaves out",
  async (scene) => {
    const { one } = scene;
    await ends(scene.backup(["source", "--to", one, "--encrypt", "--passphrase-file", "pw"]), 0);
    const sound = await ends(scene.run(["verify", one]), 0);
    assert.match(sound, /compared with SHA256SUMS, but no links, folders, modes, times/);
    const stored = `${one}/source/a.txt.age`;
    const bytes = fs.readFileSync(stored);
    bytes[bytes.length >> 1]! ^= 1;
    fs.writeFileSync(stored, bytes);
    fs.rmSync(`${one}/source/deep/b.bin.age`);
    fs.writeFileSync(`${one}/source/stranger`, "x");
    const found = await ends(scene.run(["verify", one]), 1);
    assert.match(found, /1 damaged, 1 missing/);
    for (const path of ["a.txt.age", "deep/b.bin.age", "stranger"]) {
      assert.ok(found.includes(`source/${path}`), path);
    }
  },
);

protectedBy(
  "lists become encrypted and readable again as the options say, with nothing copied twice",
  async (scene) => {
    const { one } = scene;
    const recipient = await makeKey(scene, "key");
    const encrypt = ["source", "--to", one, "--encrypt", "--recipient", recipient];
    const readable = await ends(scene.backup(encrypt), 0);
    assert.match(readable, /The lists at .* stay readable/);
    assert.deepEqual(listsAt(one), ["s1.jsonl"]);
    const unchanged = /0 files copied.*2 unchanged/;
    const sealed = await ends(scene.backup([...encrypt, "--identity", "key"]), 0);
    assert.match(sealed, unchanged);
    assert.ok(!sealed.includes("stay readable"));
    assert.deepEqual(listsAt(one), ["s1.jsonl.age"]);
    const list = `${one}/.backup-agent/manifests/s1.jsonl.age`;
    assert.match(await must("age", ["-d", "-i", `${scene.folder}/key`, list]), /"path":"a\.txt"/);
    const other = await makeKey(scene, "other");
    const words = ["source", "--to", one, "--encrypt", "--recipient", other, "--identity", "key"];
    assert.match(await ends(scene.backup(words), 0), /stay readable/);
    assert.deepEqual(listsAt(one), ["s1.jsonl"]);
    const plain = await ends(scene.backup(["source", "--to", one]), 0);
    assert.match(plain, /2 files copied/);
    assert.deepEqual(fs.readdirSync(`${one}/source`).sort(), ["a.txt", "deep"]);
  },
);
