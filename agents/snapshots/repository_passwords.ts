/**
 * The passwords of the repositories of one command. Rule: each source is read once, a person is asked only where nothing is
 * given, and a wrong one is told with the place it came from.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import {
  type ForRepository,
  valueForRepository,
  valuesForRepositories,
} from "../../protocol/cli/for_repository.ts";
import type { RepositoryAddress } from "../../protocol/cli/repository_address.ts";
import {
  askPassword,
  describePassword,
  type PasswordPlaces,
  passwordPlaces,
  readPassword,
} from "../../protocol/cli/repository_password.ts";
import { shellWord } from "../../protocol/cli/shell_word.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import type { Kernels } from "../kernels/mod.ts";
import { type Credentials, openRepository, type Repository } from "../repository/mod.ts";

export class RepositoryPasswords {
  readonly #call: CommandCall;
  readonly #places: PasswordPlaces;
  readonly #hints: ForRepository[];
  readonly #from: ReadonlySet<string>;
  readonly #read = new Map<string, Promise<string>>();
  /** By path, what has opened it. */
  readonly #used = new Map<string, string>();
  #typed: string | undefined;

  /** `named` are all that the command names; `from` those of them that RESTIC_FROM_PASSWORD is first for. */
  constructor(
    call: CommandCall,
    named: readonly RepositoryAddress[],
    from: readonly RepositoryAddress[] = [],
  ) {
    const { settings, surroundings } = call;
    this.#call = call;
    this.#places = passwordPlaces(settings, surroundings, named);
    this.#hints = valuesForRepositories(settings, "keyHint", surroundings, named);
    this.#from = new Set(from.map(({ path }) => path));
  }

  /** @throws {BackupError} `wrong_key` when nothing that is given or typed opens it */
  async open(
    store: ObjectStore,
    kernels: Kernels,
    address: RepositoryAddress,
  ): Promise<Repository> {
    const sources = this.#sourcesFor(address);
    if (sources.length === 0) return await this.#openByAsking(store, kernels, address);
    let failure: unknown;
    for (const source of sources) {
      try {
        return await this.#tryOn(store, kernels, address, await this.#passwordIn(source));
      } catch (error) {
        if (!isWrong(error)) throw error;
        failure ??= this.#explained(error, address, source);
      }
    }
    throw failure;
  }

  /** What is given for it; nobody is asked. */
  async given(address: RepositoryAddress): Promise<Credentials | undefined> {
    const [source] = this.#sourcesFor(address);
    if (source === undefined) return undefined;
    return { password: await this.#passwordIn(source), ...this.#hintFor(address) };
  }

  /** Of new ones, in their order; a person is asked twice, once for all that nothing is given for. */
  async forNew(addresses: readonly RepositoryAddress[]): Promise<string[]> {
    const sources = addresses.map((address) => this.#places.own(address) ?? this.#places.shared);
    const unknown = addresses.filter((_, i) => sources[i] === undefined).map(({ key }) => key);
    const passwords: string[] = [];
    for (const source of sources) {
      passwords.push(
        source === undefined
          ? this.#typed ??= await askPassword(this.#call.terminal, unknown.join(", "), true)
          : await this.#passwordIn(source),
      );
    }
    return passwords;
  }

  /** Of a replica to be, when it is to have another than what has opened `like`. */
  async forReplica(
    address: RepositoryAddress,
    like: RepositoryAddress,
  ): Promise<string | undefined> {
    const source = this.#places.own(address) ?? this.#places.shared;
    const password = source && await this.#passwordIn(source);
    return password === this.#used.get(like.path) ? undefined : password;
  }

  #sourcesFor(address: RepositoryAddress): SecretSource[] {
    const own = this.#places.own(address);
    if (own !== undefined) return [own];
    const { shared, from } = this.#places;
    const both = this.#from.has(address.path) ? [from, shared] : [shared, from];
    return both.filter((source) => source !== undefined);
  }

  #hintFor({ path }: RepositoryAddress): Pick<Credentials, "keyHint"> {
    const hint = valueForRepository(this.#hints, path);
    return hint === undefined ? {} : { keyHint: hint.value };
  }

  #passwordIn(source: SecretSource): Promise<string> {
    const key = JSON.stringify(source);
    const reading = this.#read.get(key) ??
      readPassword(source, this.#call.surroundings.env);
    this.#read.set(key, reading);
    return reading;
  }

  /** One password is asked for once, and again only for a repository that it does not open. */
  async #openByAsking(
    store: ObjectStore,
    kernels: Kernels,
    address: RepositoryAddress,
  ): Promise<Repository> {
    const { terminal } = this.#call;
    if (this.#typed !== undefined) {
      try {
        return await this.#tryOn(store, kernels, address, this.#typed);
      } catch (error) {
        if (!isWrong(error)) throw error;
      }
    }
    const typed = await askPassword(terminal, address.key);
    this.#typed ??= typed;
    return await this.#tryOn(store, kernels, address, typed);
  }

  async #tryOn(
    store: ObjectStore,
    kernels: Kernels,
    address: RepositoryAddress,
    password: string,
  ): Promise<Repository> {
    const credentials = { password, ...this.#hintFor(address) };
    const repository = await openRepository(store, kernels, credentials);
    this.#used.set(address.path, password);
    return repository;
  }

  #explained(error: BackupError, { key }: RepositoryAddress, source: SecretSource): BackupError {
    if (error.hint !== undefined) return error;
    const { code, message, path } = error;
    const own = shellWord(`${key}=FILE`);
    const hint = `It was in ${describePassword(source)}; --password-file ${own} is for this ` +
      "repository alone";
    return new BackupError(code, message, { path, hint, cause: error });
  }
}

function isWrong(error: unknown): error is BackupError {
  return error instanceof BackupError && error.code === "wrong_key";
}
