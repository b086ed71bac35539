/** The defects that earlier programs of this kind had, seen from outside. Rule: each test is named after its trap. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { assertChecksumsHold, assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { needsLoopFs, withLoopFs, withTmpfs } from "../support/loop_fs.ts";
import { runProgram, startProgram } from "../support/run_program.ts";
import { createScene, destinationOf, type JsonLine, parseLines } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const MIB = 1 << 20;
const PATH = { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" };

Deno.test({
  ...needs(
    "D6: after a run with eight workers every destination holds every byte",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, folder } = scene;
    fillFiles(source, 700, 3000);
    for (let n = 0; n < 5; n++) writeFileSync(`${source}/large ${n}`, noise(5_000_000 + n, n));
    const destinations = ["1", "2", "3"].map((name) => `${folder}/${name}`);
    const { code } = await scene.backup([
      "source",
      ...destinations.flatMap((path) => ["--to", path]),
      ...["--workers", "8"],
    ]);
    assert.equal(code, 0);
    await assertCopies(source, destinations);
  },
});

Deno.test({
  ...needs(
    "D9: every file is at every one of five destinations, and each says so for itself",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, folder } = scene;
    fillFiles(source, 101, 1500);
    const destinations = ["1", "2", "3", "4", "5"].map((name) => `${folder}/${name}`);
    const words = ["source", ...destinations.flatMap((path) => ["--to", path])];
    const { code, summary } = await scene.backupJson(words);
    assert.equal(code, 0);
    for (const destination of destinations) {
      const row = destinationOf(summary, destination);
      assert.deepEqual([row["files_copied"], row["files_verified"]], [101, 101]);
    }
    await assertCopies(source, destinations);

    // One that has everything already pays nothing for one that has nothing.
    rmSync(`${folder}/3/source`, { recursive: true });
    const again = await scene.backupJson(words);
    assert.equal(again.code, 0);
    assert.equal(destinationOf(again.summary, `${folder}/3`)["files_verified"], 101);
    assert.equal(destinationOf(again.summary, `${folder}/4`)["files_verified"], 0);
    await assertCopies(source, destinations);
  },
});

Deno.test({
  ...needsLoopFs(
    "D10: what fails is reported once, at its last attempt, and everything else is still copied",
    "ext4",
    "chattr",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await withLoopFs({ type: "ext4", sizeBytes: 16 * MIB }, async (disk) => {
      await using scene = createScene();
      const { source, one } = scene;
      fillFiles(source, 100, 2000);
      const words = ["source", "--to", disk, "--to", one];
      assert.equal((await scene.backup(words)).code, 0);
      fillFiles(source, 100, 2100, 1);
      // The superuser cannot replace these at one of the destinations.
      const held = ["folder 0/file 1", "folder 0/file 49", "folder 1/file 77"];
      const before = held.map((path) => readFileSync(`${disk}/source/${path}`));
      await runProgram("chattr", ["+i", ...held.map((path) => `${disk}/source/${path}`)], {
        env: { PATH: `${PATH.PATH}:/usr/sbin:/sbin` },
      });
      const { code, errors, summary } = await scene.backupJson(words);
      assert.equal(code, 4);
      assert.deepEqual(
        errors.map(({ path, destination }) => [path, destination]).toSorted(),
        held.map((path) => [`source/${path}`, disk]).toSorted(),
      );
      const row = destinationOf(summary, disk);
      assert.deepEqual([row["files_failed"], row["files_verified"]], [3, 97]);
      await assertCopies(source, [one]);
      // The earlier copies stand, and so does what is recorded about them.
      held.forEach((path, n) =>
        assert.ok(readFileSync(`${disk}/source/${path}`).equals(before[n]!), path)
      );
      await assertChecksumsHold(disk);
    });
  },
});

Deno.test({
  ...needs(
    "D11: a file that fails when all others are done is tried again, and the run waits for it",
    "linux",
    "perl",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    fillFiles(source, 10, 100);
    // Changed without a pause until the first attempt is over for sure, then at rest.
    writeFileSync(`${source}/busy`, noise(20_000_000, 1));
    await using writer = startProgram("perl", [
      "-e",
      String.raw`use IO::Handle; use Time::HiRes 'time'; open(my $f, '+<', $ARGV[0]) or die; $| = 1;
      print "writing\n"; my $end; my $n = 0;
      while (!defined $end || time < $end) {
        seek($f, $n++ % 20_000_000, 0); print $f chr($n % 251); $f->flush;
        $end //= time + 0.3 if -e $ARGV[1];
      }`,
      `${source}/busy`,
      `${two}/source/folder 0`,
    ], { env: PATH });
    await writer.saw("writing");
    const { code, out } = await scene.backup(["source", "--to", one, "--to", two]);
    assert.equal(code, 0, out);
    await writer.outcome;
    await assertCopies(source, [one, two]);
  },
});

Deno.test({
  ...needs("D12: a copy under another name is verified where it lies", "linux", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    fillFiles(source, 20, 1000);
    const words = ["source", "--to", one, "--as", "renamed copy"];
    assert.equal((await scene.backup(words)).code, 0);
    // Were the path of the source's name looked up, a sound stranger there would hide the damage.
    mkdirSync(`${one}/source`);
    const copy = `${one}/renamed copy/folder 0/file 3`;
    writeFileSync(copy, readFileSync(copy).fill(7));
    const { code, out } = await scene.run(["verify", one]);
    assert.equal(code, 1);
    assert.match(out, /renamed copy\/folder 0\/file 3/);
    rmSync(`${one}/source`, { recursive: true });
    assert.equal((await scene.backup(words)).code, 0);
    await assertCopies(source, [one], "renamed copy");
  },
});

Deno.test({
  ...needs(
    "D13: the report says whether what was read back came from the disk or may have come from memory",
    "linux",
    "root",
    "mount",
    "mkfs.ext4",
  ),
  async fn() {
    await withLoopFs({ type: "ext4", sizeBytes: 32 * MIB }, async (disk) => {
      await withTmpfs({ sizeBytes: 16 * MIB }, async (memory) => {
        await using scene = createScene();
        fillFiles(scene.source, 30, 20_000);
        writeFileSync(`${scene.source}/large`, noise(5 * MIB, 1));
        const words = ["source", "--to", disk, "--to", memory];
        const { code, summary } = await scene.backupJson(words);
        assert.equal(code, 0);
        assert.equal(destinationOf(summary, disk)["verification"], "disk");
        assert.equal(destinationOf(summary, memory)["verification"], "cache");
        assert.match((await scene.run(["verify", disk])).out, /verified from disk/);
        assert.match((await scene.run(["verify", memory])).out, /verified from cache/);
      });
    });
  },
});

Deno.test({
  ...needs(
    "D13: a file is flushed before it gets its name, and read back only after the cache was dropped",
    "linux",
    "root",
    "mount",
    "mkfs.ext4",
    "strace",
  ),
  async fn() {
    await withLoopFs({ type: "ext4", sizeBytes: 32 * MIB }, async (disk) => {
      await using scene = createScene();
      writeFileSync(`${scene.source}/the file`, noise(20_000, 1));
      const trace = `${scene.folder}/trace`;
      const { code, out, err } = await scene.backup(["source", "--to", disk], {
        before: [
          "strace",
          "-f",
          "-o",
          trace,
          "-e",
          "trace=syncfs,fsync,fdatasync,renameat,renameat2,fadvise64,openat",
        ],
      });
      assert.equal(code, 0, out + err);
      const calls = readFileSync(trace, "utf8").split("\n");
      const renamed = calls.findIndex((line) => /renameat2?\(.*"the file"/.test(line));
      const flushed = calls.findIndex((line) => /(syncfs|fsync|fdatasync)\(/.test(line));
      const opened = calls.findLastIndex((line) => /openat\(.*"the file", O_RDONLY/.test(line));
      const dropped = calls.findLastIndex((line) => /fadvise64\(.*POSIX_FADV_DONTNEED/.test(line));
      assert.ok(flushed >= 0 && flushed < renamed, `flushed at ${flushed}, renamed at ${renamed}`);
      assert.ok(renamed < opened && opened < dropped, `${renamed}, ${opened}, ${dropped}`);
    });
  },
});

Deno.test({
  ...needs(
    "D14: 0 ≤ done ≤ total in every status line, nothing goes back within a phase, and every destination reaches its end",
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    fillFiles(source, 300, 10_000);
    writeFileSync(`${source}/large`, noise(6_000_000, 1));
    const words = ["source", "--to", one, "--to", two, "--limit", `${two}=7MB`];
    const { code, lines } = await scene.backupJson(words);
    assert.equal(code, 0);
    assertCountersHold(lines, [one, two]);
    // Once more with replaced and damaged files, when work is done over again.
    fillFiles(source, 100, 10_000, 1);
    const again = await scene.backupJson([...words, "--verify", "all"]);
    assert.equal(again.code, 0);
    assertCountersHold(again.lines, [one, two]);
  },
});

function assertCountersHold(lines: readonly JsonLine[], destinations: readonly string[]): void {
  for (const destination of destinations) {
    const statuses = lines.filter((line) =>
      line.message_type === "status" && line["destination"] === destination
    );
    assert.ok(statuses.length > 4, `${statuses.length} lines for ${destination}`);
    let before: JsonLine | undefined;
    for (const line of statuses) {
      const text = JSON.stringify(line);
      for (const [done, total] of [["files_done", "total_files"], ["bytes_done", "total_bytes"]]) {
        assert.ok(Number(line[done!]) >= 0 && Number(line[done!]) <= Number(line[total!]), text);
      }
      assert.ok(Number(line["percent_done"]) >= 0 && Number(line["percent_done"]) <= 1, text);
      // JSON has no NaN: it would be null.
      assert.ok(!Object.values(line).includes(null), text);
      if (before?.["phase"] === line["phase"]) {
        for (const name of ["files_done", "bytes_done", "total_files", "total_bytes"]) {
          assert.ok(
            Number(line[name]) >= Number(before![name]),
            `${JSON.stringify(before)} ${text}`,
          );
        }
      }
      before = line;
    }
    assert.equal(before!["phase"], "verified");
    assert.equal(before!["percent_done"], 1);
  }
  const order = ["analyze", "manifest", "copy", "flush", "verify", "verified"];
  for (const destination of destinations) {
    const phases = lines.filter((line) =>
      line.message_type === "status" && line["destination"] === destination
    ).map((line) => order.indexOf(String(line["phase"])));
    assert.ok(!phases.includes(-1));
    assert.deepEqual(phases, phases.toSorted((a, b) => a - b), "a phase came back");
  }
}

Deno.test({
  ...needs(
    "D15: memory stays bounded while a slow destination falls behind a fast one, with eight workers",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    const sizeBytes = 150_000_000;
    for (let n = 0; n < 3; n++) writeFileSync(`${source}/${n}`, noise(sizeBytes / 3, n));
    const words = ["source", "--to", one, "--to", two, "--workers", "8", "--json"];
    await using running = scene.startBackup([...words, "--limit", `${two}=50MB`]);
    const peakBytes = await peakMemoryOf(running.pid, running.outcome);
    const { code, out } = await running.outcome;
    assert.equal(code, 0, out);
    // The program itself takes about half of this; what it has read and not yet written is 64 MiB at most.
    assert.ok(peakBytes > 0 && peakBytes <= 300_000_000, `${peakBytes} bytes`);
    const last = parseLines(out).findLast((line) => line.message_type === "summary")!;
    assert.equal(destinationOf(last, two)["state"], "verified");
    await assertCopies(source, [one, two]);
  },
});

/** The most that was resident, by the kernel's own count, looked up until the process ends. */
async function peakMemoryOf(pid: number, ended: Promise<unknown>): Promise<number> {
  let peak = 0;
  let isOver = false;
  ended.finally(() => isOver = true).catch(() => {});
  while (!isOver) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      peak = Math.max(peak, 1024 * Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0));
    } catch {
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return peak;
}

Deno.test({
  ...needs(
    "D16: a source that cannot be opened for reading holds nobody up: pipes without a writer are never opened",
    "linux",
    "perl",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    writeFileSync(`${source}/.backupignore`, "");
    rmSync(`${source}/.backupignore`);
    await using maker = startProgram("mkfifo", [
      `${source}/.backupignore`,
      `${source}/CACHEDIR.TAG`,
      `${source}/pipe`,
    ], { env: PATH });
    await maker.outcome;
    writeFileSync(`${source}/file`, "content");
    chmodSync(`${source}/file`, 0o640);
    const words = ["source", "--to", one, "--exclude-caches"];
    const { code, errors } = await scene.backupJson(words, { deadlineMs: 20_000 });
    // An ignore file that cannot be read must not silently exclude nothing.
    assert.equal(code, 3);
    assert.deepEqual(errors.map(({ path }) => path), ["source/.backupignore"]);
    assert.deepEqual(readdirSync(`${one}/source`).sort(), [
      ".backupignore",
      "CACHEDIR.TAG",
      "file",
      "pipe",
    ]);
  },
});
