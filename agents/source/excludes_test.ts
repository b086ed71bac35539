import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { createExcluder } from "./excludes.ts";

const flag = (pattern: string) => ({ pattern, origin: "--exclude" });

Deno.test("without rules nothing is excluded", () => {
  const excluder = createExcluder({ rules: [], ignoreFiles: true });
  assert.deepEqual(excluder.enterDirectory(""), []);
  assert.equal(excluder.test("a", false), undefined);
  assert.equal(excluder.test(".git", true), undefined);
  assert.ok(excluder.isEmpty);
  excluder.leaveDirectory();
});

Deno.test("the label names the pattern and where it was written", () => {
  const excluder = createExcluder({ rules: [flag("*.log")], ignoreFiles: true });
  excluder.enterDirectory("", "# results\r\n\r\nbuild/\r\n", "Documents/.backupignore");
  assert.equal(excluder.test("x.log", false), "*.log (--exclude)");
  assert.equal(excluder.test("build", true), "build/ (Documents/.backupignore:3)");
  assert.equal(excluder.test("build", false), undefined);
  excluder.enterDirectory("sub", "*.tmp");
  assert.equal(excluder.test("sub/a.tmp", false), "*.tmp (sub/.backupignore:1)");
});

Deno.test("the rules of a directory end with it", () => {
  const excluder = createExcluder({ rules: [], ignoreFiles: true });
  excluder.enterDirectory("");
  excluder.enterDirectory("a", "*.tmp");
  assert.equal(excluder.isEmpty, false);
  assert.ok(excluder.test("a/x.tmp", false));
  excluder.leaveDirectory();
  assert.ok(excluder.isEmpty);
  excluder.enterDirectory("b");
  assert.equal(excluder.test("b/x.tmp", false), undefined);
  excluder.leaveDirectory();
  excluder.leaveDirectory();
  assert.throws(() => excluder.leaveDirectory(), RangeError);
});

Deno.test("a deeper file overrules a shallower one and the command line", () => {
  const excluder = createExcluder({ rules: [flag("*.iso")], ignoreFiles: true });
  excluder.enterDirectory("", "*.tmp");
  excluder.enterDirectory("keep", "!*.tmp\n!*.iso");
  assert.equal(excluder.test("keep/a.tmp", false), undefined);
  assert.equal(excluder.test("keep/a.iso", false), undefined);
  excluder.leaveDirectory();
  assert.equal(excluder.test("a.tmp", false), "*.tmp (.backupignore:1)");
  assert.equal(excluder.test("a.iso", false), "*.iso (--exclude)");
});

Deno.test("inside a re-included directory the weaker lists still apply to the entries themselves", () => {
  const excluder = createExcluder({ rules: [flag("cache"), flag("*.log")], ignoreFiles: true });
  excluder.enterDirectory("");
  excluder.enterDirectory("app", "!/cache");
  assert.equal(excluder.test("app/cache", true), undefined);
  excluder.enterDirectory("app/cache");
  assert.equal(excluder.test("app/cache/data", false), undefined);
  assert.equal(excluder.test("app/cache/x.log", false), "*.log (--exclude)");
  assert.equal(excluder.test("app/cache/cache", true), "cache (--exclude)");
  excluder.leaveDirectory();
  excluder.leaveDirectory();
  assert.equal(excluder.test("cache", true), "cache (--exclude)");
});

Deno.test("a re-included directory may have a name full of pattern characters", () => {
  const name = "[a]*?\\ !#\n ";
  const excluder = createExcluder({ rules: [flag("*")], ignoreFiles: true });
  excluder.enterDirectory("", "!*/");
  assert.equal(excluder.test(name, true), undefined);
  excluder.enterDirectory(name, "!data");
  assert.equal(excluder.test(`${name}/data`, false), undefined);
  assert.equal(excluder.test(`${name}/other`, false), "* (--exclude)");
});

Deno.test("--no-ignore-files: the text of ignore files does not count", () => {
  const excluder = createExcluder({ rules: [], ignoreFiles: false });
  assert.equal(excluder.readsIgnoreFiles, false);
  assert.deepEqual(excluder.enterDirectory("", "*"), []);
  assert.equal(excluder.test("a", false), undefined);
});

Deno.test("names match by exact case, and odd names are judged like any other", () => {
  const excluder = createExcluder({ rules: [flag("*.LOG"), flag("\uFFFD*")], ignoreFiles: true });
  excluder.enterDirectory("");
  assert.equal(excluder.test("a.log", false), undefined);
  for (const name of ["a\n.LOG", "-.LOG", " .LOG", "😀.LOG", "..x.LOG", `${"x".repeat(250)}.LOG`]) {
    assert.equal(excluder.test(name, false), "*.LOG (--exclude)", name);
  }
  assert.equal(excluder.test("\uFFFD\uFFFD", false), "\uFFFD* (--exclude)");
  for (const name of ["__proto__", "constructor", "toString", "...", "..x"]) {
    assert.equal(excluder.test(name, false), undefined, name);
  }
});

Deno.test("a command-line pattern that can never match is a usage error that names it", () => {
  for (
    const pattern of ["", "  ", "/", "!", "#a", "a\\", "[a", "a/[!", "[[:nope:]]", "!x[", "a\0b"]
  ) {
    assert.throws(
      () => createExcluder({ rules: [flag("ok"), flag(pattern)], ignoreFiles: true }),
      (e) => e instanceof BackupError && e.code === "usage" && e.message.includes("--exclude"),
      JSON.stringify(pattern),
    );
  }
});

Deno.test("patterns that look odd but can match are accepted", () => {
  for (
    const pattern of ["\\#a", "\\!", "[]]", "[!]]", "[[:alpha:]]", "[a\\]]", "a\\ ", "\\[", "**"]
  ) {
    createExcluder({ rules: [flag(pattern)], ignoreFiles: true });
  }
});

Deno.test("a line of an ignore file that can never match is reported with its line and the rest counts", () => {
  const excluder = createExcluder({ rules: [], ignoreFiles: true });
  const errors = excluder.enterDirectory("", "*.a\n[oops\n*.b\n", "Docs/.backupignore");
  assert.equal(errors.length, 1);
  assert.equal(errors[0]!.code, "config");
  assert.match(errors[0]!.message, /\[oops.*Docs\/\.backupignore:2/);
  assert.equal(excluder.test("x.b", false), "*.b (Docs/.backupignore:3)");
});

Deno.test("a directory with very many entries is judged without the answers being kept for ever", () => {
  const excluder = createExcluder({ rules: [flag("*7")], ignoreFiles: true });
  excluder.enterDirectory("");
  let excluded = 0;
  for (let i = 0; i < 20_000; i++) if (excluder.test(`file ${i}`, false)) excluded++;
  assert.equal(excluded, 2_000);
});
