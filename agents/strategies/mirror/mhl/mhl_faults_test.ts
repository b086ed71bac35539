import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import {
  canFail,
  type Fault,
  type FaultyPosix,
  faultyPosix,
  type PosixCall,
} from "../../../../tests/support/faulty_posix.ts";
import {
  assertLists,
  assertOnlyAdded,
  assertOriginalsFirst,
  type Hashes,
  type History,
  readHistory,
  stockHashes,
} from "../../../../tests/support/mhl_history.ts";
import { backUp, type EngineOutcome } from "../../../../tests/support/mirror_engine.ts";
import {
  cloneTree,
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../../tests/support/small_tree.ts";
import {
  assertComplete,
  assertCopied,
  assertNothingTorn,
  copyAt,
  NOTHING,
  type Tree,
} from "../../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../../tests/support/tools.ts";
import { treeState } from "../../../../tests/support/tree_state.ts";
import { EIO, ENOSPC, errnoCode } from "../../../platform/errno.ts";
import { openPosix } from "../../../platform/open_posix.ts";
import { cName, type Posix } from "../../../platform/posix.ts";
import { isMhlPath, MHL_DIRECTORY } from "./own_files.ts";

/** A source in one state. */
interface Version {
  tree: Tree;
  /** XXH64 and SHA-256 of its files. */
  xxh64: Hashes;
  sha256: Hashes;
}

/** A backup with `--mhl` that things happen to. */
interface Scenario {
  folder: string;
  source: string;
  /** The destination as it is before; nothing when this path does not exist. */
  base: string;
  /** What was backed up before, and what the source is. */
  first: Version;
  second: Version;
  /** Makes the disk one that is flushed file by file. */
  fileSystemType?: string;
}

const posix = openPosix();
const NO_VERSION: Version = { tree: NOTHING, xxh64: new Map(), sha256: new Map() };
const OWN_NAME = cName(MHL_DIRECTORY);

async function versionOf(source: string): Promise<Version> {
  const tree = treeState(source);
  const sha256 = new Map(
    [...tree].flatMap(([path, { kind, text }]) =>
      kind === "file" ? [[path, createHash("sha256").update(text).digest("hex")]] : []
    ),
  );
  return { tree, xxh64: await stockHashes(source), sha256 };
}

function isOwnName(name: Uint8Array): boolean {
  return name.length === OWN_NAME.length && name.every((byte, at) => byte === OWN_NAME[at]);
}

/** A port with faults that knows which of its calls were for the history. */
interface Watched extends FaultyPosix {
  /** The number of the call with which a generation is begun. */
  beginsAt(): number;
  /** Numbers of the calls that flush the names in its folder. */
  folderFlushes: ReadonlySet<number>;
}

function watched(scenario: Scenario, decide?: (call: PosixCall) => Fault | undefined): Watched {
  let beginsAt = 0;
  const inner: Posix = Object.create(posix);
  inner.statAt = (at, name, out) => {
    if (beginsAt === 0 && isOwnName(name)) beginsAt = faulty.calls.length;
    return posix.statAt(at, name, out);
  };
  const folders = new Set<number>();
  const folderFlushes = new Set<number>();
  inner.openDirectory = (at, name) => {
    const handle = posix.openDirectory(at, name);
    if (isOwnName(name)) folders.add(handle);
    else folders.delete(handle);
    return handle;
  };
  inner.flushDirectory = (handle) => {
    if (folders.has(handle)) folderFlushes.add(faulty.calls.length);
    return posix.flushDirectory(handle);
  };
  const { fileSystemType } = scenario;
  const faulty = faultyPosix(inner, decide, fileSystemType === undefined ? {} : { fileSystemType });
  return { ...faulty, beginsAt: () => beginsAt, folderFlushes };
}

function backUpWithMhl(
  { source }: Scenario,
  runId: string,
  path: string,
  port: Posix,
): Promise<EngineOutcome> {
  const destinations = [{ path, posix: port }];
  return backUp({ posix, runId, source, destinations, options: { mhl: true } });
}

async function untilPowerCut(
  scenario: Scenario,
  runId: string,
  path: string,
  faulty: FaultyPosix,
): Promise<void> {
  const ended = backUpWithMhl(scenario, runId, path, faulty.posix);
  ended.catch(() => {});
  await Promise.race([ended, faulty.crashed]);
  faulty.dispose();
}

function prepareDestination({ base, folder }: Scenario, name: string): string {
  const destination = join(folder, name);
  if (fs.existsSync(base)) cloneTree(base, destination);
  return destination;
}

const historyAt = (destination: string, point: string) =>
  readHistory(join(destination, "copy"), point);

/** Whatever happened: copy and history are whole, what is older is as it was, and every list is of one version. */
function assertSound(
  { first, second }: Scenario,
  destination: string,
  before: History,
  point: string,
): History {
  assertNothingTorn(copyAt(destination, MHL_DIRECTORY), first.tree, second.tree, point);
  const history = historyAt(destination, point);
  for (const name of history.files.keys()) assert.ok(isMhlPath(`${MHL_DIRECTORY}/${name}`), point);
  assertOnlyAdded(before, history, point);
  const older = before.chained.length + before.unchained.length;
  const generations = [...history.chained, ...history.unchained];
  generations.forEach((generation, at) => {
    assert.equal(generation.number, at + 1, point);
    if (at >= older) assertLists(generation, second.xxh64, point);
  });
  assertOriginalsFirst(generations, point);
  return history;
}

/** The manifest has both hashes of every file of the source. */
function assertManifest({ second }: Scenario, destination: string, point: string): void {
  const [name] = fs.readdirSync(join(destination, ".backup-agent/manifests"));
  const text = fs.readFileSync(join(destination, ".backup-agent/manifests", name!), "utf8");
  const files = text.split("\n").slice(1, -2).map((line) => JSON.parse(line))
    .filter(({ type, goneAtMs }) => type === "file" && goneAtMs === undefined);
  const byPath = (hash: string) => new Map(files.map((entry) => [entry.path, entry[hash]]));
  assert.deepEqual(byPath("sha256"), second.sha256, `${point}: the manifest`);
  assert.deepEqual(new Set(byPath("xxh64")), new Set(second.xxh64), `${point}: the manifest`);
}

/** A backup went through: everything of the source is there, chained, listed and recorded. */
function assertDone(
  scenario: Scenario,
  destination: string,
  before: History,
  point: string,
): void {
  const { first, second } = scenario;
  const history = assertSound(scenario, destination, before, point);
  const older = before.chained.length + before.unchained.length;
  assert.deepEqual(history.unchained, [], point);
  assert.ok(history.chained.length > older, `${point}: no new generation`);
  assertCopied(destination, second.tree, first.tree, point, MHL_DIRECTORY);
  assertManifest(scenario, destination, point);
}

function assertDoneAndSwept(
  scenario: Scenario,
  destination: string,
  before: History,
  point: string,
): void {
  assertDone(scenario, destination, before, point);
  const { first, second } = scenario;
  assertComplete(destination, second.tree, first.tree, point, MHL_DIRECTORY);
}

/** All calls from the beginning of the generation on, and some of those before it. */
function momentsOf(
  whole: Watched,
  isWanted: (call: PosixCall) => boolean,
  everyOther: number,
): PosixCall[] {
  const beginsAt = whole.beginsAt();
  assert.ok(beginsAt > 0);
  const wanted = whole.calls.filter(isWanted);
  const early = wanted.filter(({ number }) => number < beginsAt);
  const late = wanted.filter(({ number }) => number >= beginsAt);
  assert.ok(late.length > 15, `${late.length}`);
  return [...early.filter((_, at) => at % everyOther === 0), ...late];
}

async function rehearse(scenario: Scenario, before: History): Promise<Watched> {
  const destination = prepareDestination(scenario, "rehearsal");
  const whole = watched(scenario);
  await untilPowerCut(scenario, "run-5", destination, whole);
  assertDoneAndSwept(scenario, destination, before, "the undisturbed run");
  fs.rmSync(destination, { recursive: true });
  return whole;
}

async function cutPowerEverywhere(scenario: Scenario): Promise<void> {
  const before = historyAt(scenario.base, "before");
  const whole = await rehearse(scenario, before);
  const cuts = momentsOf(whole, (call) => call.changes, 4).flatMap((call) => [
    ...(call.name === "rename" ? [{ ...call, when: "before" as const }] : []),
    { ...call, when: "after" as const },
  ]);
  const lengths = new Set<string>();
  for (const { number, name, when } of cuts) {
    const point = `power cut ${when} call ${number} (${name})`;
    const destination = prepareDestination(scenario, `cut-${number}-${when}`);
    const faulty = watched(
      scenario,
      (call) => call.number === number ? { kind: "crash", when } : undefined,
    );
    await untilPowerCut(scenario, "run-5", destination, faulty);
    assert.ok(faulty.hasCrashed(), point);
    const { chained, unchained } = assertSound(scenario, destination, before, point);
    lengths.add(`${chained.length} + ${unchained.length}`);
    await untilPowerCut(scenario, "run-9", destination, watched(scenario));
    assertDoneAndSwept(scenario, destination, before, `${point}, then another run`);
    fs.rmSync(destination, { recursive: true });
  }
  // Cut before the new generation, between it and the chain, and after the chain.
  const chained = before.chained.length;
  const unchained = before.unchained.length;
  const wanted = [
    `${chained} + ${unchained}`,
    `${chained} + ${unchained + 1}`,
    `${chained + unchained + 1} + 0`,
  ];
  assert.deepEqual([...lengths].sort(), wanted.sort());
}

/** What is missing is said: a copy that is not whole, and a whole one without its generation. */
function assertToldTheTruth(
  scenario: Scenario,
  outcome: EngineOutcome,
  destination: string,
  before: History,
  point: string,
  code: string,
): void {
  const history = assertSound(scenario, destination, before, point);
  const lane = outcome.mirrored?.lanes[0];
  const failures = lane?.failures ?? [];
  const errors = [
    ...outcome.prepared.destinations.map((one) => one.error),
    ...outcome.finished.map((one) => one.error),
    lane?.error,
  ].filter((error) => error !== undefined);
  const isSaidToBeDone = failures.length === 0 && errors.length === 0;
  assert.ok(lane?.state !== "verified" || failures.length === 0 && lane.error === undefined, point);
  if (isSaidToBeDone) assert.equal(lane?.state, "verified", point);
  if (errors.length > 0) return;
  if (failures.length === 0) return assertDone(scenario, destination, before, point);
  const ofMhl = /^(The ASC MHL of copy could not be|No ASC MHL was) written/;
  if (failures.every(({ message }) => ofMhl.test(message))) {
    // All but the history is done, and the disk is to blame, not what it holds.
    const said = failures.map(({ path, code }) => ({ path, code }));
    assert.deepEqual(said, [{ path: "copy", code }], point);
    assertCopied(destination, scenario.second.tree, scenario.first.tree, point, MHL_DIRECTORY);
    return;
  }
  const { chained } = history;
  if (chained.length > before.chained.length + before.unchained.length) return;
  const said = [...failures.map(({ message }) => message), ...lane!.warnings];
  assert.ok(
    said.some((text) => ofMhl.test(text)),
    `${point}: no generation, and nobody says so: ${said}`,
  );
}

async function failEverywhere(
  scenario: Scenario,
  errno: number,
  applies: (call: PosixCall) => boolean,
): Promise<void> {
  const before = historyAt(scenario.base, "before");
  const whole = await rehearse(scenario, before);
  assert.equal(whole.folderFlushes.size, 2, "one for the generation, one for the chain");
  const problems: string[] = [];
  for (const { number, name } of momentsOf(whole, (c) => canFail(c) && applies(c), 8)) {
    const point = `call ${number} (${name}) fails`;
    const destination = prepareDestination(scenario, `failed-${number}`);
    const faulty = watched(
      scenario,
      (call) => call.number === number ? { kind: "error", errno } : undefined,
    );
    try {
      const outcome = await backUpWithMhl(scenario, "run-5", destination, faulty.posix);
      assert.equal(faulty.openCount(), 0, `${point}: left open`);
      assertToldTheTruth(scenario, outcome, destination, before, point, errnoCode(errno));
      if (whole.folderFlushes.has(number)) {
        assert.notEqual(outcome.mirrored!.lanes[0]!.state, "verified", `${point}: not proven`);
      }
      faulty.dispose();
      await backUpWithMhl(scenario, "run-9", destination, posix);
      assertDoneAndSwept(scenario, destination, before, `${point}, then another run`);
    } catch (error) {
      problems.push((error as Error).message);
    }
    faulty.dispose();
    fs.rmSync(destination, { recursive: true, force: true });
  }
  assert.deepEqual(problems, []);
}

async function inFirstBackup(use: (scenario: Scenario) => Promise<void>): Promise<void> {
  await inScratch(async (folder) => {
    const source = join(folder, "source");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    const second = await versionOf(source);
    await use({ folder, source, base: join(folder, "nothing"), first: NO_VERSION, second });
  });
}

async function inSecondBackup(use: (scenario: Scenario) => Promise<void>): Promise<void> {
  await inFirstBackup(async (before) => {
    const { folder, source, second: first } = before;
    const base = join(folder, "base");
    const scenario = { ...before, base, first };
    await backUpWithMhl(scenario, "run-1", base, posix);
    writeSecondVersion(source);
    await use({ ...scenario, second: await versionOf(source) });
  });
}

/** The copy is there, made without the option, and its top folder may not be written to. */
async function inUnchangedBackup(use: (scenario: Scenario) => Promise<void>): Promise<void> {
  await inFirstBackup(async (before) => {
    const { folder, source } = before;
    const base = join(folder, "base");
    fs.chmodSync(source, 0o555);
    await backUp({ posix, runId: "run-1", source, destinations: [{ path: base, posix }] });
    const version = await versionOf(source);
    await use({ ...before, base, first: version, second: version });
  });
}

function faults(
  name: string,
  within: (use: (scenario: Scenario) => Promise<void>) => Promise<void>,
  use: (scenario: Scenario) => Promise<void>,
): void {
  const isLocked = within === inUnchangedBackup;
  const { name: needed, ignore } = needs(
    name,
    ...["linux", "xxh64sum"],
    ...(isLocked ? ["root"] : []),
  );
  Deno.test({ name: needed, ignore, fn: () => within(use) });
}

faults(
  "a power cut at any step of a first backup with --mhl leaves copy and history whole",
  inFirstBackup,
  (scenario) => cutPowerEverywhere({ ...scenario, fileSystemType: "nfs" }),
);

faults(
  "a power cut at any step of a second backup with --mhl leaves copy and history whole",
  inSecondBackup,
  cutPowerEverywhere,
);

faults(
  "a power cut while a history is begun in a finished copy leaves both whole",
  inUnchangedBackup,
  cutPowerEverywhere,
);

faults(
  "a power cut while a generation is chained that an earlier one kept out loses neither",
  inSecondBackup,
  async (scenario) => {
    let hasList = false;
    const faulty = watched(scenario, ({ name, number }) => {
      const isRename = name === "rename" && faulty.beginsAt() > 0 && number > faulty.beginsAt();
      if (!isRename || hasList) return undefined;
      hasList = true;
      return { kind: "crash", when: "after" };
    });
    await untilPowerCut(scenario, "run-2", scenario.base, faulty);
    assert.equal(historyAt(scenario.base, "before").unchained.length, 1);
    await cutPowerEverywhere(scenario);
  },
);

const always = () => true;
const atChanges = (call: PosixCall) => call.changes;

for (
  const [what, within] of [
    ["of a first backup", inFirstBackup],
    ["of a second backup", inSecondBackup],
    ["while a history is begun in a finished copy", inUnchangedBackup],
  ] as const
) {
  faults(
    `a disk error at any call ${what} with --mhl is survived or told`,
    within,
    (scenario) => failEverywhere(scenario, EIO, always),
  );
  faults(
    `a full disk at any change ${what} with --mhl is survived or told`,
    within,
    (scenario) => failEverywhere(scenario, ENOSPC, atChanges),
  );
}
