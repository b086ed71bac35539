/** Stock git as the judge: every generated tree with ignore files gets the same verdicts from git and from here. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { createExcluder } from "./excludes.ts";

/** What git and we are given to judge by. */
interface Rules {
  /** Directory ("" is the root) to the text of its ignore file. */
  readonly ignoreFiles: ReadonlyMap<string, string>;
  readonly commandLine: readonly string[];
}

const gitIsHere = spawnSync("git", ["--version"]).status === 0;
if (!gitIsHere && Deno.env.get("CI") === "true") throw new Error("git is needed to compare with");

type Verdicts = Map<string, string>;

/** A repository with these paths in it, made once; its answers map a path to the `pattern source:line` against it. */
function openGit(paths: readonly string[]): { verdicts(rules: Rules): Verdicts; close(): void } {
  const root = mkdtempSync(join(tmpdir(), "excludes git "));
  const tree = join(root, "tree");
  const env = { PATH: Deno.env.get("PATH") ?? "", HOME: root, GIT_CONFIG_NOSYSTEM: "1" };
  const git = (args: string[], input = "") => {
    const done = spawnSync("git", args, { cwd: tree, env, input, encoding: "utf8" });
    // check-ignore ends with 1 when nothing is ignored.
    assert.ok(done.status === 0 || done.status === 1, `git ${args[0]}: ${done.stderr}`);
    return done.stdout;
  };
  mkdirSync(tree);
  git(["init", "-q", "--template="]);
  mkdirSync(join(tree, ".git/info"), { recursive: true });
  for (const path of paths) {
    if (path.endsWith("/")) mkdirSync(join(tree, path), { recursive: true });
    else writeFileSync(join(tree, path), "");
  }
  return {
    verdicts({ ignoreFiles, commandLine }) {
      writeFileSync(join(tree, ".git/info/exclude"), commandLine.join("\n"));
      for (const [at, text] of ignoreFiles) writeFileSync(join(tree, at, ".gitignore"), text);
      const asked = paths.map((path) => path.replace(/\/$/, "") + "\0").join("");
      const args = ["check-ignore", "-v", "-n", "-z", "--no-index", "--stdin"];
      const answers = git(args, asked).split("\0");
      for (const at of ignoreFiles.keys()) rmSync(join(tree, at, ".gitignore"));
      const verdicts: Verdicts = new Map();
      for (let at = 0; at + 3 < answers.length; at += 4) {
        const [source, line, pattern, path] = answers.slice(at, at + 4);
        if (pattern === "" || pattern!.startsWith("!")) continue;
        verdicts.set(path!, `${pattern} ${source!.replace(".git/info/exclude", "cli")}:${line}`);
      }
      assert.equal(answers.length, 4 * paths.length + 1, "git answered for every path");
      return verdicts;
    },
    close: () => rmSync(root, { recursive: true }),
  };
}

/** The same from our excluder, asked the way a walk asks: what is excluded is not entered. */
function ourVerdicts(paths: readonly string[], rules: Rules): Verdicts {
  const excluder = createExcluder({
    rules: rules.commandLine.map((pattern, at) => ({ pattern, origin: `cli:${at + 1}` })),
    ignoreFiles: true,
  });
  const verdicts: Verdicts = new Map();
  const excludeAll = (prefix: string, label: string) => {
    for (const path of paths) {
      if (path.startsWith(prefix)) verdicts.set(path.replace(/\/$/, ""), label);
    }
  };
  const walk = (directory: string) => {
    const prefix = directory === "" ? "" : `${directory}/`;
    const text = rules.ignoreFiles.get(directory);
    excluder.enterDirectory(directory, text, `${prefix}.gitignore`);
    for (const path of paths) {
      if (!path.startsWith(prefix) || path === prefix) continue;
      const name = path.slice(prefix.length);
      if (!/^[^/]+\/?$/.test(name)) continue;
      const plain = path.replace(/\/$/, "");
      const label = excluder.test(plain, path.endsWith("/"));
      if (label === undefined) {
        if (path.endsWith("/")) walk(plain);
      } else {
        const git = label.replace(/ \(([^()]*)\)$/s, " $1");
        if (path.endsWith("/")) excludeAll(path, git);
        verdicts.set(plain, git);
      }
    }
    excluder.leaveDirectory();
  };
  walk("");
  return verdicts;
}

function assertEqual(ours: Verdicts, gits: Verdicts): void {
  const sorted = (verdicts: Verdicts) => [...verdicts].toSorted(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(sorted(ours), sorted(gits));
}

/** All paths of a tree that has some depth and every kind of name that patterns below can mean. */
function fullTree(names: readonly string[], depth: number): string[] {
  if (depth === 0) return [];
  const below = fullTree(names, depth - 1);
  return names.flatMap((name) => {
    const isDirectory = !name.includes(".") && depth > 1;
    return isDirectory ? [`${name}/`, ...below.map((path) => `${name}/${path}`)] : [name];
  });
}

const PATHS = fullTree(["a", "b", "ab", "build", "a.c", "b.log", "x y.c"], 3);

const piece = fc.constantFrom(
  ..."a,b,ab,build,*,**,?,a*,*b,*.c,*.log,a.c,b.log,[ab],[!a],[^a]*,[a-b].c,[]],x*y.c,x\\ y.c,\\a,a?,?*,*?,**a,b*l*"
    .split(","),
);
const pattern = fc.tuple(
  fc.constantFrom("", "", "", "!", "!"),
  fc.constantFrom("", "", "/"),
  fc.array(piece, { minLength: 1, maxLength: 3 }),
  fc.constantFrom("", "", "/", " ", "/*", "/**"),
).map(([negation, anchor, pieces, end]) => negation + anchor + pieces.join("/") + end);
const patterns = fc.array(pattern, { maxLength: 5 });
const directory = fc.constantFrom("", "", "a", "b", "a/b", "a/a", "build", "build/ab");

Deno.test({
  name: "any ignore files in any directories give the verdicts of git, rule and line included",
  ignore: !gitIsHere,
  fn() {
    const git = openGit(PATHS);
    try {
      fc.assert(
        fc.property(fc.array(fc.tuple(directory, patterns), { maxLength: 4 }), patterns, (f, c) => {
          const rules: Rules = {
            ignoreFiles: new Map(f.map(([at, lines]) => [at, lines.join("\n")])),
            commandLine: c.map((line) => line.trimEnd()),
          };
          assertEqual(ourVerdicts(PATHS, rules), git.verdicts(rules));
        }),
        { numRuns: 150 },
      );
    } finally {
      git.close();
    }
  },
});

Deno.test({
  name: "odd lines and odd names get the verdicts of git",
  ignore: !gitIsHere,
  fn() {
    const names = "#hash,!bang,[b],star*,back\\slash,tail ,-dash,..dots,tab\tname,a-b,A.C,é,z";
    const lines = "\\#hash,\\!bang,\\[b\\],star\\*,back\\\\slash,tail\\ ,-*,..*,tab*,a[--a]b," +
      "[[:upper:]]*,é*,[y-z]";
    const git = openGit(names.split(","));
    try {
      for (const line of [...lines.split(","), lines.replaceAll(",", "\n")]) {
        const text = `# comment\r\n\r\n${line}\r\n`;
        const rules: Rules = { ignoreFiles: new Map([["", text]]), commandLine: [] };
        const ours = ourVerdicts(names.split(","), rules);
        assert.ok(ours.size > 0, `${line} matches something`);
        assertEqual(ours, git.verdicts(rules));
      }
    } finally {
      git.close();
    }
  },
});
