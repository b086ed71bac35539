/**
 * Compares trees with stock tools only: `find`, `sha256sum` and `rsync`. Rule: nothing of the program under test takes
 * part, and whatever differs is named.
 */
import assert from "node:assert/strict";
import { runProgram } from "./run_program.ts";

/** The stock programs used here, for `needs`. */
export const STOCK_TOOLS = ["find", "sha256sum", "rsync"] as const;

const DIFFERENCES_SHOWN = 20;

/**
 * One line for each entry below `root`, by path: kind, mode, owner, size, mtime in nanoseconds, link target, which
 * names are the same file, SHA-256. Names are bytes, shown as Latin-1.
 */
export async function listTree(root: string): Promise<Map<string, string>> {
  const format = ["%P", "%y", "%m", "%U:%G", "%s", "%T@", "%l", "%n", "%i"].join("\\0") + "\\0";
  const listed = await bytesOf(root, "find", [".", "-printf", format]);
  const hashes = await hashesOf(root);
  const firstNames = new Map<string, string>();
  const entries = new Map<string, string>();
  const fields = listed.split("\0");
  for (let at = 0; at + 9 <= fields.length; at += 9) {
    const [path, kind, mode, owner, size, mtime, target, links, inode] = fields.slice(at, at + 9);
    const isFile = kind === "f";
    let sameAs = "";
    if (kind !== "d" && links !== "1") {
      const names = firstNames.get(inode!);
      // The smallest name stands for the file, whatever order `find` listed them in.
      firstNames.set(inode!, names === undefined || path! < names ? path! : names);
      sameAs = `inode ${inode}`;
    }
    entries.set(
      path!,
      [
        kind,
        mode,
        owner,
        isFile ? size : "",
        mtime,
        target,
        sameAs,
        isFile ? hashes.get(path!) ?? "no hash" : "",
      ].join(" "),
    );
  }
  for (const [path, text] of entries) {
    entries.set(
      path,
      text.replace(/inode (\d+)/, (_, inode: string) => `same as ${firstNames.get(inode)}`),
    );
  }
  return entries;
}

/** Asserts that `copy` holds exactly what `original` holds, byte for byte and with all metadata. */
export async function assertSameTree(original: string, copy: string): Promise<void> {
  const [left, right] = await Promise.all([listTree(original), listTree(copy)]);
  const differences: string[] = [];
  for (const [path, text] of left) {
    if (right.get(path) !== text) {
      differences.push(`${JSON.stringify(path)}: ${text}\n     copy: ${right.get(path)}`);
    }
  }
  for (const path of right.keys()) {
    if (!left.has(path)) differences.push(`${JSON.stringify(path)} is only in the copy`);
  }
  const shown = differences.slice(0, DIFFERENCES_SHOWN).join("\n");
  assert.equal(differences.length, 0, `${copy} differs from ${original}:\n${shown}`);
}

/** Asserts that stock rsync sees nothing to do between the two. */
export async function assertRsyncSeesNoDifference(original: string, copy: string): Promise<void> {
  const { code, out, err } = await runProgram(
    "rsync",
    ["-aHni", "--delete", `${original}/`, `${copy}/`],
    { env: stockEnvironment() },
  );
  assert.deepEqual({ code, out, err }, { code: 0, out: "", err: "" });
}

/**
 * Asserts that stock `sha256sum -c` reads the destination's SHA256SUMS, finds every file sound, and that the list
 * names every regular file of the copies, once.
 */
export async function assertChecksumsHold(destination: string): Promise<void> {
  const { code, out, err } = await runProgram(
    "sha256sum",
    ["--check", "--strict", "--quiet", ".backup-agent/SHA256SUMS"],
    { cwd: destination, env: stockEnvironment() },
  );
  assert.deepEqual({ code, out, err }, { code: 0, out: "", err: "" });
  const files = await bytesOf(
    destination,
    "find",
    [".", "-path", "./.backup-agent", "-prune", "-o", "-type", "f", "-printf", "%P\\0"],
  );
  const sums = await bytesOf(destination, "cat", [".backup-agent/SHA256SUMS"]);
  const named = sums.split("\n").filter((line) => line !== "").map(pathOfSum).sort();
  assert.deepEqual(named, files.split("\0").filter((path) => path !== "").sort());
}

/** All three judges for each destination: the source's tree is at DEST/<name>, and nothing else is asserted. */
export async function assertCopies(
  source: string,
  destinations: readonly string[],
  name = source.slice(source.lastIndexOf("/") + 1),
): Promise<void> {
  for (const destination of destinations) {
    const copy = `${destination}/${name}`;
    await assertSameTree(source, copy);
    await assertRsyncSeesNoDifference(source, copy);
    await assertChecksumsHold(destination);
  }
}

/** Everything at a destination or in a folder, hashes and inodes included: equal before and after means untouched. */
export async function snapshotOf(folder: string): Promise<string> {
  const listed = await bytesOf(folder, "find", [".", "-printf", "%P %y %m %s %T@ %C@ %i %l\\0"]);
  const hashes = await hashesOf(folder);
  return [...listed.split("\0").sort(), ...[...hashes].map((pair) => pair.join(" ")).sort()]
    .join("\n");
}

async function hashesOf(root: string): Promise<Map<string, string>> {
  const text = await bytesOf(
    root,
    "find",
    [".", "-type", "f", "-exec", "sha256sum", "-z", "--", "{}", "+"],
  );
  const lines = text.split("\0").filter((line) => line !== "");
  return new Map(lines.map((line) => [line.slice(66).replace(/^\.\//, ""), line.slice(0, 64)]));
}

/** A leading backslash says that the name is escaped. */
function pathOfSum(line: string): string {
  if (!line.startsWith("\\")) return line.slice(66);
  const characters: Record<string, string> = { "\\\\": "\\", "\\n": "\n", "\\r": "\r" };
  return line.slice(67).replace(/\\[\\nr]/g, (escape) => characters[escape]!);
}

function stockEnvironment(): Record<string, string> {
  return { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", LC_ALL: "C" };
}

/** Standard output, one character a byte. @throws when the program fails */
async function bytesOf(cwd: string, program: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd,
    env: { LC_ALL: "C" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const said = new TextDecoder().decode(stderr);
  if (code !== 0) throw new Error(`${program} in ${cwd} failed (${code}): ${said}`);
  return latin1(stdout);
}

function latin1(bytes: Uint8Array): string {
  // TextDecoder's "latin1" is windows-1252, which changes bytes 128 to 159.
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}
