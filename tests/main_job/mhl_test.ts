/** `--mhl`: the ASC MHL generations in the copies, judged by stock xmllint and xxh64sum. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { fileURLToPath } from "node:url";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, destinationOf, type JsonOutcome, type Scene } from "../support/scene.ts";
import { findProgram, needs } from "../support/tools.ts";

interface Listed {
  path: string;
  size: number;
  hex: string;
  action: string | undefined;
}

function mhl(name: string, fn: (scene: Scene) => Promise<void>): void {
  Deno.test({
    ...needs(name, "rsync", "strace", "xmllint", "xxh64sum"),
    async fn() {
      await using scene = createScene();
      await fn(scene);
    },
  });
}

async function backUp(scene: Scene, ...words: string[]): Promise<JsonOutcome> {
  const outcome = await scene.backupJson(["source", "--to", scene.one, ...words]);
  assert.equal(outcome.code, 0, outcome.out + outcome.err);
  return outcome;
}

const folderOf = (scene: Scene) => `${scene.one}/source/ascmhl`;

/** Names of the generations; the chain and every generation are valid, and the chain names each with its C4. */
async function soundGenerations(scene: Scene): Promise<string[]> {
  const folder = folderOf(scene);
  const names = readdirSync(folder).filter((name) => name !== "ascmhl_chain.xml").sort();
  await assertValid("chain.rng", `${folder}/ascmhl_chain.xml`);
  const chain = readFileSync(`${folder}/ascmhl_chain.xml`, "utf8");
  const entries = [...chain.matchAll(/sequencenr="(\d+)">\s*<path>(.*)<\/path>\s*<c4>(.*)<\/c4>/g)];
  assert.deepEqual(entries.map(([, , path]) => path), names);
  for (const [at, name] of names.entries()) {
    const start = `${String(at + 1).padStart(4, "0")}_source_`;
    assert.match(name, new RegExp(`^${start}\\d{4}-\\d\\d-\\d\\d_\\d{6}Z\\.mhl$`));
    assert.equal(entries[at]![1], String(at + 1));
    assert.equal(numberOfC4(entries[at]![3]!), sha512Number(readFileSync(`${folder}/${name}`)));
    await assertValid("hash_list.rng", `${folder}/${name}`);
  }
  return names;
}

async function assertValid(grammar: string, file: string): Promise<void> {
  const rules = fileURLToPath(new URL(`../support/mhl/${grammar}`, import.meta.url));
  const { code, err } = await runProgram(findProgram("xmllint")!, [
    ...["--noout", "--nonet", "--relaxng", rules, file],
  ]);
  assert.equal(code, 0, err);
}

/** Base 58 backwards: the other way round than the program makes it. */
function numberOfC4(c4: string): bigint {
  const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  return [...c4.slice(2)].reduce((sum, digit) => sum * 58n + BigInt(digits.indexOf(digit)), 0n);
}

function sha512Number(bytes: Uint8Array): bigint {
  return BigInt(`0x${createHash("sha512").update(bytes).digest("hex")}`);
}

/** The files of a generation by path; each hash is what xxh64sum says of the stored file. */
async function rightList(scene: Scene, generation: string): Promise<Map<string, Listed>> {
  const text = readFileSync(`${folderOf(scene)}/${generation}`, "utf8");
  const found = new Map<string, Listed>();
  const element =
    /<hash>\s*<path size="(\d+)"[^>]*>([^<]*)<\/path>\s*<xxh64(?: action="(\w+)")? hashdate="[^"]+">(\w+)<\/xxh64>/g;
  for (const [, size, escaped, action, hex] of text.matchAll(element)) {
    const path = escaped!.replaceAll("&lt;", "<").replaceAll("&gt;", ">")
      .replaceAll("&quot;", '"').replaceAll("&#10;", "\n").replaceAll("&amp;", "&");
    found.set(path, { path, size: Number(size), hex: hex!, action });
    const stored = `${scene.one}/source/${path}`;
    assert.equal(statSync(stored).size, Number(size), path);
    assert.equal(await stockXxh64(stored), hex, path);
  }
  return found;
}

async function stockXxh64(path: string): Promise<string> {
  const { code, out, err } = await runProgram("/bin/sh", [
    ...["-c", 'xxh64sum < "$1"', "sh", path],
  ]);
  assert.equal(code, 0, err);
  return out.split(" ")[0]!;
}

const actions = (list: Map<string, Listed>) =>
  Object.fromEntries([...list.values()].map(({ path, action }) => [path, action ?? "none"]));

mhl("three runs make three generations, each with the true hash of every file", async (scene) => {
  const { source } = scene;
  mkdirSync(`${source}/clips`);
  writeFileSync(`${source}/clips/a`, noise(3_000_000, 1));
  writeFileSync(`${source}/clips/b`, "before");
  linkSync(`${source}/clips/b`, `${source}/clips/b again`);
  writeFileSync(`${source}/<R&D> "x"\n.txt`, "odd name");
  writeFileSync(`${source}/empty`, "");
  await backUp(scene, "--mhl");
  const first = await soundGenerations(scene);
  assert.equal(first.length, 1);
  const odd = '<R&D> "x"\n.txt';
  assert.deepEqual(actions(await rightList(scene, first[0]!)), {
    [odd]: "original",
    "clips/a": "original",
    "clips/b": "original",
    "clips/b again": "original",
    empty: "original",
  });
  const firstBytes = readFileSync(`${folderOf(scene)}/${first[0]}`);

  writeFileSync(`${source}/clips/a`, noise(3_000_001, 2));
  writeFileSync(`${source}/clips/new`, "new");
  await backUp(scene, "--mhl");
  const second = await soundGenerations(scene);
  assert.equal(second.length, 2);
  assert.deepEqual(actions(await rightList(scene, second[1]!)), {
    [odd]: "none",
    "clips/a": "original",
    "clips/b": "none",
    "clips/b again": "none",
    "clips/new": "original",
    empty: "none",
  });

  const { summary } = await backUp(scene, "--mhl");
  assert.equal(destinationOf(summary, scene.one)["files_verified"], 0);
  const third = await soundGenerations(scene);
  assert.equal(third.length, 3);
  assert.equal((await rightList(scene, third[2]!)).size, 6);
  assert.deepEqual(readFileSync(`${folderOf(scene)}/${first[0]}`), firstBytes);

  await backUp(scene, "--mhl", "--verify", "all");
  const fourth = await soundGenerations(scene);
  const verified = actions(await rightList(scene, fourth[3]!));
  assert.deepEqual(new Set(Object.values(verified)), new Set(["verified"]));
});

mhl("a copy made without --mhl is read back once to get its hashes", async (scene) => {
  fillFiles(scene.source, 20, 2000);
  await backUp(scene);
  const { summary } = await backUp(scene, "--mhl");
  assert.equal(destinationOf(summary, scene.one)["files_verified"], 20);
  assert.equal((await rightList(scene, (await soundGenerations(scene))[0]!)).size, 20);
  // A run that reads back without the option keeps what is known.
  await backUp(scene, "--verify", "all");
  const again = await backUp(scene, "--mhl");
  assert.equal(destinationOf(again.summary, scene.one)["files_verified"], 0);
});

mhl(
  "nothing of the source is altered by it, and verify DEST finds nothing extra",
  async (scene) => {
    fillFiles(scene.source, 10, 100);
    chmodSync(scene.source, 0o555);
    utimesSync(scene.source, 1_600_000_000, 1_600_000_000);
    await backUp(scene, "--mhl");
    const { code, out } = await scene.run(["verify", scene.one, "--json"]);
    assert.equal(code, 0, out);
    assert.ok(!out.includes("ascmhl"), out);
    const rsync = await runProgram(findProgram("rsync")!, [
      ...["-aHi", "--dry-run", "--checksum", "--delete", "--exclude=/ascmhl/"],
      ...[`${scene.source}/`, `${scene.one}/source/`],
    ]);
    assert.equal(rsync.out, "");
    assert.equal(statSync(`${scene.one}/source`).mode & 0o777, 0o555);
    writeFileSync(`${folderOf(scene)}/not ours`, "x");
    assert.match((await scene.run(["verify", scene.one, "--json"])).out, /ascmhl\/not ours/);
  },
);

mhl("a source with a history of its own keeps it, and none is added", async (scene) => {
  mkdirSync(`${scene.source}/ascmhl`);
  writeFileSync(`${scene.source}/ascmhl/ascmhl_chain.xml`, "the card's own");
  const { out } = await backUp(scene, "--mhl");
  assert.match(out, /has a folder ascmhl of its own/);
  assert.deepEqual(readdirSync(folderOf(scene)), ["ascmhl_chain.xml"]);
  assert.equal(readFileSync(`${folderOf(scene)}/ascmhl_chain.xml`, "utf8"), "the card's own");
});

mhl("a name that XML cannot hold is named and left out", async (scene) => {
  writeFileSync(`${scene.source}/good`, "x");
  writeFileSync(`${scene.source}/bad \u0001`, "x");
  const { out } = await backUp(scene, "--mhl");
  assert.match(out, /XML cannot hold this name/);
  const list = await rightList(scene, (await soundGenerations(scene))[0]!);
  assert.deepEqual([...list.keys()], ["good"]);
});

mhl("a damaged chain is not gone on with, and the backup says so", async (scene) => {
  writeFileSync(`${scene.source}/file`, "x");
  await backUp(scene, "--mhl");
  const [first] = await soundGenerations(scene);
  writeFileSync(`${folderOf(scene)}/${first}`, "altered");
  const { code, out } = await scene.backupJson(["source", "--to", scene.one, "--mhl"]);
  assert.notEqual(code, 0);
  assert.match(out, /is not what its chain says/);
  assert.equal(readdirSync(folderOf(scene)).length, 2);
});

mhl(
  "of a copy with gaps there is no generation, and what it had new is original later",
  async (scene) => {
    writeFileSync(`${scene.source}/file`, "x");
    await backUp(scene, "--mhl");
    writeFileSync(`${scene.source}/later`, "y");
    writeFileSync(`${scene.source}/hidden`, "z");
    const withGap = await scene.backupJson(["source", "--to", scene.one, "--mhl"], {
      // Reads of this one file fail as those of a bad disk do.
      before: ["strace", "-f", "-qq", "-o", "/dev/null", "-P", "hidden"]
        .concat(["-e", "trace=openat", "-e", "inject=openat:error=EIO", "--"]),
    });
    assert.notEqual(withGap.code, 0);
    assert.match(withGap.out, /No ASC MHL was written for source/);
    assert.equal((await soundGenerations(scene)).length, 1);
    await backUp(scene, "--mhl");
    const names = await soundGenerations(scene);
    const { later, hidden } = actions(await rightList(scene, names[1]!));
    assert.deepEqual([later, hidden], ["original", "original"]);
  },
);

mhl("a generation that an interrupted run did not chain is chained by the next", async (scene) => {
  writeFileSync(`${scene.source}/file`, "x");
  await backUp(scene, "--mhl");
  const chain = readFileSync(`${folderOf(scene)}/ascmhl_chain.xml`);
  await backUp(scene, "--mhl");
  writeFileSync(`${folderOf(scene)}/ascmhl_chain.xml`, chain);
  await backUp(scene, "--mhl");
  assert.equal((await soundGenerations(scene)).length, 3);
});

mhl("where the copy holds more than the list there are no folder hashes", async (scene) => {
  const rootHash = (name: string) =>
    readFileSync(`${folderOf(scene)}/${name}`, "utf8").includes("<roothash>");
  writeFileSync(`${scene.source}/file`, "x");
  await backUp(scene, "--mhl");
  symlinkSync("file", `${scene.source}/link`);
  await backUp(scene, "--mhl");
  const names = await soundGenerations(scene);
  assert.deepEqual(names.map(rootHash), [true, false]);
});
