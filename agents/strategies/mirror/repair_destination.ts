/**
 * Puts a checked copy right from other destinations. Rule: nothing is told as repaired before a last look at the
 * destination finds it as recorded, and an other destination that fails costs only what it could have given.
 */
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { FileFailure } from "../../../protocol/mesh/job.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import type { Inspection } from "../../destinations/local_destination.ts";
import { noDestination } from "../../destinations/other_kind.ts";
import type { OpenedKeys } from "./destination_keys.ts";
import type { KeysRequest, OpenRequest } from "./held_destination.ts";
import type { GivenKeys } from "./read_keys.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import type { NewForm } from "./repair_forms.ts";
import type { Damage, Found } from "./repair_find.ts";
import type { Located, LocateRequest, LocateResult } from "./repair_source.ts";
import type { RepairIdentity } from "./repair_thread.ts";
import type { Made } from "./repair_writer.ts";
import { storedContent } from "./stored_form.ts";

/** Another destination that files are taken from; nothing is written there. */
export interface RepairOther {
  path: string;
  thread: ThreadClient;
}

export interface RepairedEntry {
  path: string;
  /** What was wrong with it. */
  what: string;
  /** The destination its content came from; absent when the list was enough. */
  from?: string;
  /** Below the destination: where what stood under its name is now. */
  displacedTo?: string;
}

export interface RepairOutcome {
  repaired: RepairedEntry[];
  /** What is still wrong, each with why it was not repaired. */
  damaged: FileFailure[];
  missing: FileFailure[];
  unreadable: FileFailure[];
  /** Files whose content was written and read back. */
  files: number;
  bytes: number;
  fromDisk: number;
  fromCache: number;
  warnings: string[];
}

export interface RepairJob {
  /** The thread that holds the destination's lock. */
  control: ThreadClient;
  others: readonly RepairOther[];
  binding: { name: string; key: string };
  /** One byte per manifest line, 1 when the content was read back and is right; repaired lines become 1. */
  sound: SharedArrayBuffer;
  signal: AbortSignal;
  onProgress(currentFile: string): void;
}

const CHUNK_BYTES = 1 << 20;

/**
 * Opens the destinations to take from, reading only. @throws {BackupError} `usage` when one of them is `destinationId`
 * itself, `destination_missing` when there is none, or as opening one fails
 */
export async function openOthers(
  others: readonly RepairOther[],
  destinationId: string,
  request: OpenRequest,
  given: GivenKeys,
): Promise<void> {
  for (const { path, thread } of others) {
    const inspection = await thread.call<Inspection>("inspect", []);
    if (inspection.destinationId === undefined) {
      throw noDestination(path, inspection.otherKind === "repository");
    }
    if (inspection.destinationId === destinationId) {
      throw new BackupError("usage", `${path} is the destination that is to be repaired`, {
        path,
        hint: "Name another destination of the same backups",
      });
    }
    const ask: KeysRequest = { given, needsLists: false };
    const { identities } = await thread.callFlush<OpenedKeys>("keysAt", ask);
    await thread.call("attach", { ...request, keys: { identities, recipients: [] } });
  }
}

/** Repairs one copy. @throws {BackupError} what concerns the damaged destination as a whole; nothing is lost then */
export async function repairCopy(job: RepairJob): Promise<RepairOutcome> {
  const repair = new Repair(job);
  try {
    return await repair.run();
  } finally {
    if (!job.control.isClosed) await job.control.call("repairEnd", undefined).catch(() => {});
  }
}

class Repair {
  readonly #job: RepairJob;
  readonly #sound: Uint8Array;
  readonly #outcome: RepairOutcome = {
    repaired: [],
    damaged: [],
    missing: [],
    unreadable: [],
    files: 0,
    bytes: 0,
    fromDisk: 0,
    fromCache: 0,
    warnings: [],
  };
  /** By line: what was wrong before anything was done, why it could not be repaired, and what was done. */
  readonly #before = new Map<number, Damage>();
  readonly #failed = new Map<number, string>();
  readonly #done = new Map<number, { from?: string; displacedTo?: string }>();
  /** By line: files that are stored in other bytes now than their lines say. */
  readonly #forms = new Map<number, NewForm>();
  readonly #lost = new Set<RepairOther>();
  #keepsLinks = true;

  constructor(job: RepairJob) {
    this.#job = job;
    this.#sound = new Uint8Array(job.sound);
  }

  async run(): Promise<RepairOutcome> {
    const { control, binding } = this.#job;
    const first = await this.#find();
    if (first.length === 0) return this.#outcome;
    const stage = { bindingKey: binding.key, name: binding.name };
    const begun = await control.call<{ keepsLinks: boolean }>("repairBegin", stage);
    this.#keepsLinks = begun.keepsLinks;
    // Where there are no hard links, other things are wrong than it looked.
    const found = begun.keepsLinks ? first : await this.#find();
    for (const damage of found) this.#before.set(damage.line, damage);
    await this.#each(found, "directory", (damage) => this.#make(damage, "repairDirectory"));
    try {
      await this.#repairContents(found.filter(({ kind }) => kind === "content"));
    } finally {
      // Cut off too: what was stored anew would look damaged.
      if (this.#forms.size > 0 && !control.isClosed) {
        const { bindingKey } = stage;
        await control.callFlush("repairForms", { bindingKey, forms: [...this.#forms] });
      }
    }
    // Further names of a file that was just written have become wrong by that, and are told apart only now.
    const second = await this.#find();
    await this.#each(second, "other", (damage) => this.#makeOther(damage));
    // Deepest first: each change moves the time of the folder it is made in.
    const third = (await this.#find()).reverse();
    await this.#each(third, "metadata", (damage) => this.#setMetadata(damage));
    await control.callFlush("flush", undefined);
    await this.#conclude();
    return this.#outcome;
  }

  async #find(): Promise<Damage[]> {
    const { control, binding, sound } = this.#job;
    const all: Damage[] = [];
    for (let fromLine: number | undefined = 0; fromLine !== undefined;) {
      this.#job.signal.throwIfAborted();
      const found: Found = await control.call<Found>("repairFind", {
        bindingKey: binding.key,
        name: binding.name,
        sound,
        keepsLinks: this.#keepsLinks,
        fromLine,
      });
      for (const damage of found.damages) all.push(damage);
      fromLine = found.nextLine;
    }
    return all;
  }

  async #each(
    damages: readonly Damage[],
    kind: Damage["kind"],
    act: (damage: Damage) => Promise<void>,
  ): Promise<void> {
    for (const damage of damages) {
      if (damage.kind !== kind) continue;
      await this.#attempt(damage, () => act(damage));
    }
  }

  /** What fails for one entry is told with it; a destination that is gone ends the repair. */
  async #attempt(damage: Damage, act: () => Promise<void>): Promise<void> {
    const { control, signal } = this.#job;
    signal.throwIfAborted();
    this.#job.onProgress(this.#display(damage));
    try {
      await act();
      this.#failed.delete(damage.line);
    } catch (thrown) {
      const error = asBackupError(thrown);
      if (control.isClosed || error.code === "cancelled" || error.code === "destination_lost") {
        throw thrown;
      }
      this.#failed.set(damage.line, error.message);
    }
  }

  async #make(damage: Damage, method: string): Promise<void> {
    const { displacedTo } = await this.#job.control.call<Made>(method, damage);
    this.#done.set(damage.line, { ...(displacedTo !== undefined && { displacedTo }) });
  }

  async #makeOther(damage: Damage): Promise<void> {
    await this.#make(damage, "repairOther");
    // Its first name was read back, and this is the same file.
    if (damage.linkPath !== undefined) this.#sound[damage.line] = 1;
  }

  async #setMetadata(damage: Damage): Promise<void> {
    await this.#job.control.call("repairMetadata", damage);
  }

  async #repairContents(damages: Damage[]): Promise<void> {
    if (damages.length === 0) return;
    const places = new Map<number, { other: RepairOther; located: Located }[]>();
    for (const other of this.#job.others) {
      for (const located of await this.#locate(other, damages)) {
        const known = places.get(located.line);
        if (known === undefined) places.set(located.line, [{ other, located }]);
        else known.push({ other, located });
      }
    }
    // The very bytes that are recorded come first, whoever has them.
    for (const each of places.values()) {
      each.sort((a, b) => effortOf(a.located) - effortOf(b.located));
    }
    for (const damage of damages) {
      await this.#attempt(damage, () => this.#repairContent(damage, places.get(damage.line) ?? []));
    }
  }

  async #locate(other: RepairOther, damages: Damage[]): Promise<Located[]> {
    const { control, binding } = this.#job;
    const { bindings } = await control.call<RepairIdentity>("repairIdentity", undefined);
    const own = bindings.find(({ key }) => key === binding.key)!;
    const wanted = damages.flatMap(({ line, entry }) => {
      const { sizeBytes, sha256 } = storedContent(entry);
      const path = entryPathLatin1(entry);
      if (sha256 === undefined) return [];
      const { codec, storedFor, sha256: contentSha256 } = entry;
      return [{ line, path, sha256, sizeBytes, contentSha256, codec, storedFor }];
    });
    const request: LocateRequest = { binding: own, wanted };
    try {
      const result = await other.thread.call<LocateResult>("repairLocate", request);
      this.#outcome.warnings.push(...result.warnings);
      return result.located;
    } catch (thrown) {
      this.#lose(other, thrown);
      return [];
    }
  }

  /** @throws {BackupError} that says why none of the places gave it */
  async #repairContent(
    damage: Damage,
    places: { other: RepairOther; located: Located }[],
  ): Promise<void> {
    const { control } = this.#job;
    const reasons: string[] = [];
    for (const { other, located } of places) {
      if (this.#lost.has(other)) continue;
      let made: Made | false;
      try {
        made = await this.#copy(damage, other, located);
      } catch (thrown) {
        // Only what the other one did may be answered by trying the next.
        if (!(thrown instanceof OtherFailed)) throw thrown;
        await control.call("repairAbortFile", undefined);
        reasons.push(thrown.error.message);
        if (other.thread.isClosed || thrown.error.code === "destination_lost") {
          this.#lose(other, thrown.error);
        }
        continue;
      }
      if (made === false) {
        reasons.push(`${other.path} has a damaged copy too`);
        continue;
      }
      const { displacedTo, fromDisk, form } = made;
      if (form !== undefined) this.#forms.set(damage.line, form);
      this.#sound[damage.line] = 1;
      this.#done.set(damage.line, {
        from: other.path,
        ...(displacedTo !== undefined && { displacedTo }),
      });
      this.#outcome.files++;
      this.#outcome.bytes += storedContent(damage.entry).sizeBytes;
      if (fromDisk) this.#outcome.fromDisk++;
      else this.#outcome.fromCache++;
      return;
    }
    const paths = this.#job.others.map(({ path }) => path).join(", ");
    throw new BackupError(
      "not_found",
      reasons.length > 0 ? reasons.join("; ") : `${paths} has no copy of this version`,
    );
  }

  /** Reads there and writes here at once: while a piece is written the next one is read. */
  async #copy(wanted: Damage, source: RepairOther, located: Located): Promise<Made | false> {
    const { control, signal } = this.#job;
    const { top, path, other } = located;
    const encodes = other?.as === "decoded";
    const form = other?.as === "stored" ? formOf(other.entry) : undefined;
    const damage = { ...wanted, entry: { ...wanted.entry, ...form } };
    const sizeBytes = encodes ? damage.entry.sizeBytes ?? 0 : storedContent(damage.entry).sizeBytes;
    const asked = <T>(call: Promise<T>): Promise<T> =>
      call.catch((thrown) => {
        throw new OtherFailed(asBackupError(thrown));
      });
    const read = (offset: number) =>
      asked(source.thread.call<Uint8Array>("repairReadSource", {
        offset,
        bytes: Math.min(CHUNK_BYTES, sizeBytes - offset),
      }));
    await asked(
      encodes
        ? source.thread.call("repairOpenDecoded", { top, entry: other.entry })
        : source.thread.call("repairOpenSource", { top, path, sizeBytes }),
    );
    await control.call("repairBeginFile", { damage, encodes });
    let next = sizeBytes > 0 ? read(0) : undefined;
    for (let offset = 0; next !== undefined && offset < sizeBytes;) {
      const bytes: Uint8Array = await next;
      signal.throwIfAborted();
      offset += bytes.length;
      next = bytes.length > 0 && offset < sizeBytes ? read(offset) : undefined;
      // Looked at when it is awaited; a write that fails first must not leave it unheard.
      next?.catch(() => {});
      await control.call("repairWriteFile", bytes);
    }
    await asked(source.thread.call("repairCloseSource", undefined));
    const made = await control.callFlush<Made | false>("repairEndFile", damage);
    return made === false || form === undefined ? made : { ...made, form };
  }

  #lose(other: RepairOther, thrown: unknown): void {
    if (this.#lost.has(other)) return;
    this.#lost.add(other);
    this.#outcome.warnings.push(
      `Nothing more is taken from ${other.path}: ${asBackupError(thrown).message}`,
    );
  }

  /** The last look decides what was repaired and what was not. */
  async #conclude(): Promise<void> {
    const outcome = this.#outcome;
    const left = new Map((await this.#find()).map((damage) => [damage.line, damage]));
    for (const damage of left.values()) {
      const why = this.#failed.get(damage.line);
      outcome[damage.group].push({
        path: this.#display(damage),
        code: damage.group === "missing" ? "not_found" : "damaged",
        message: `${damage.what}; not repaired${why === undefined ? "" : `: ${why}`}`,
        attempts: 1,
      });
    }
    for (const damage of this.#before.values()) {
      if (left.has(damage.line)) continue;
      outcome.repaired.push({
        path: this.#display(damage),
        what: damage.what,
        ...this.#done.get(damage.line),
      });
    }
  }

  #display({ entry }: Damage): string {
    const path = utf8OfLatin1(entryPathLatin1(entry));
    return path === "" ? this.#job.binding.name : `${this.#job.binding.name}/${path}`;
  }
}

function effortOf({ other }: Located): number {
  return other === undefined ? 0 : other.as === "stored" ? 1 : 2;
}

function formOf({ storedSizeBytes = 0, storedSha256 = "" }: ManifestEntry): NewForm {
  return { storedSizeBytes, storedSha256 };
}

/** What the destination that is read from did; the repaired one is not concerned. */
class OtherFailed extends Error {
  readonly error: BackupError;

  constructor(error: BackupError) {
    super(error.message);
    this.error = error;
  }
}
