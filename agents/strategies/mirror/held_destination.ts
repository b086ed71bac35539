/**
 * The destination as one of its threads holds it: open, with the keys of its lists. Rule: a thread that was given up holds
 * nothing any more.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import { type Capabilities, findCapabilities } from "../../destinations/capabilities.ts";
import { OWN_DIRECTORY } from "../../destinations/layout.ts";
import {
  checkStillThere,
  inspect,
  type Inspection,
  openDestination,
  type WantedBinding,
} from "../../destinations/local_destination.ts";
import type { RunMembership } from "../../destinations/run_lock.ts";
import type { Posix } from "../../platform/posix.ts";
import {
  completeIdentity,
  identityWarnings,
  keysAt,
  type KeyTexts,
  listKeysOf,
  makeIdentity,
  type OpenedKeys,
} from "./destination_keys.ts";
import { flushDestination } from "./flush_destination.ts";
import type { LaneCall } from "./lane_call.ts";
import { type CopyDestination, type ListKeys, NO_LIST_KEYS } from "./list_keys.ts";
import type { GivenKeys } from "./read_keys.ts";

export interface KeysRequest {
  given: GivenKeys;
  /** Every list at the destination must be readable with them. */
  needsLists: boolean;
}

export interface OpenRequest {
  wanted: WantedBinding[];
  /** Of encrypted lists; none: they can be neither read nor written. */
  keys?: KeyTexts;
  /** For the person who finds the destination locked. */
  holder: string;
  createdAt: string;
  /** For a further thread or agent: the destination that must be found there. */
  expectedId?: string;
  /** The run that shares the lock; absent for what wants to be alone. */
  run?: RunMembership;
}

export class HeldDestination {
  readonly #posix: Posix;
  readonly #path: string;
  readonly #call: LaneCall;
  readonly #isRoot: boolean;
  #open: (CopyDestination & { keys: ListKeys; close(): void }) | undefined;
  #capabilities: Capabilities | undefined;

  constructor(posix: Posix, path: string, call: LaneCall, isRoot: boolean) {
    this.#posix = posix;
    this.#path = path;
    this.#call = call;
    this.#isRoot = isRoot;
  }

  /** @throws {TypeError} while it is not open */
  get destination(): CopyDestination {
    if (this.#open === undefined) throw new TypeError("The destination is not open");
    return this.#open;
  }

  /** Found when first asked for: only by the control thread, so that no two threads try at once. */
  get capabilities(): Capabilities {
    const { stage, fileSystem } = this.destination;
    return this.#capabilities ??= findCapabilities(
      this.#posix,
      stage,
      fileSystem.type,
      this.#isRoot,
    );
  }

  /** `isFurther`: another thread holds it open and locked. */
  open(request: OpenRequest, isFurther: boolean): CopyDestination {
    this.#call.tick();
    const { wanted, holder, createdAt, expectedId, run, keys } = request;
    const destination = openDestination(
      this.#posix,
      this.#path,
      wanted,
      isFurther ? "" : holder,
      createdAt,
      isFurther,
      expectedId,
      isFurther ? undefined : run,
    );
    if (this.#call.isFenced) {
      destination.close();
      throw new BackupError("deadline", "The thread was given up");
    }
    return this.#open = {
      ...destination,
      keys: keys === undefined ? NO_LIST_KEYS : listKeysOf(keys),
    };
  }

  inspect(names: string[]): Inspection {
    this.#call.tick();
    return inspect(this.#posix, this.#path, names);
  }

  /** Before the destination is open. */
  keysAt({ given, needsLists }: KeysRequest): OpenedKeys {
    this.#call.tick();
    return keysAt(this.#posix, this.#path, given, needsLists);
  }

  makeIdentity(passphrase: string): { secret: string; recipient: string } {
    this.#call.tick();
    const { own, display } = this.destination;
    return makeIdentity(this.#posix, own, `${display}/${OWN_DIRECTORY}`, passphrase);
  }

  identityWarnings(): string[] {
    this.#call.tick();
    const { own, display } = this.destination;
    return identityWarnings(this.#posix, own, `${display}/${OWN_DIRECTORY}`);
  }

  completeIdentity(): void {
    this.#call.tick();
    const { own, display } = this.destination;
    completeIdentity(this.#posix, own, `${display}/${OWN_DIRECTORY}`);
  }

  useKeys(keys: KeyTexts): void {
    if (this.#open !== undefined) this.#open.keys = listKeysOf(keys);
  }

  stillThere(): void {
    this.#call.tick();
    checkStillThere(this.#posix, this.#path, this.destination);
  }

  flush(): void {
    this.#call.tick();
    flushDestination(this.#posix, this.destination);
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
  }
}
