/**
 * What `submit` can say about single sources: where they are, what they need and what they wait for. Rule: every name must
 * be that of a source of the same call.
 */
import { basename, normalize } from "node:path";
import { BackupError } from "../../protocol/base/errors.ts";
import { nearest } from "../../protocol/cli/nearest.ts";
import type { Settings } from "../../protocol/cli/settings.ts";
import { type Surroundings, typedPath } from "../../protocol/cli/surroundings.ts";
import { type Capability, CAPABILITY_WORDS, capabilityId } from "../../protocol/mesh/capability.ts";
import type { KeyNames, SourceSpec } from "../../protocol/mesh/job.ts";
import { encodingCapabilities, readEncoding } from "./read_encoding.ts";

type Place = Pick<SourceSpec, "path" | "root" | "hostId">;

/** `ROOT:PATH`, as in `photos:2026/june`; `./a:b` and `/a:b` are files with a colon in their names. */
const ROOTED = /^([A-Za-z0-9][\w.-]{0,99}):(.*)$/s;

/** Where a SOURCE is that may be below an agent's root; without a root it is on this host. */
export function placeOfSource(text: string, at: Surroundings, hostId: string): Place {
  const rooted = ROOTED.exec(text);
  if (rooted === null) return { path: typedPath(text, at.folder), hostId };
  const [, root, below] = rooted as unknown as [string, string, string];
  const path = normalize(below === "" ? "." : below).replace(/(?<=.)\/+$/, "");
  if (path.startsWith("/") || path === ".." || path.startsWith("../")) {
    throw usage(
      `${text} leaves the root ${root}`,
      `Write ${root}:PATH with a PATH below it; a folder of this machine is ./${text}`,
    );
  }
  return { path, root: root };
}

export function nameOfPlace({ path, root }: Place): string {
  return path === "." ? root ?? "" : basename(path);
}

/** The sources with what --after, --sequential, --parallel and --requires say about them. @throws {BackupError} `usage` */
export function withWishes(
  sources: readonly SourceSpec[],
  settings: Settings,
  at: Surroundings,
  keys: KeyNames = {},
): SourceSpec[] {
  const names = sources.map(({ name }) => name);
  const after = collect("--after", settings.get("after").value, names);
  const requires = collect("--requires", settings.get("requires").value, names);
  const sequential = settings.get("sequential").value;
  const parallel = settings.get("parallel").value;
  for (const name of sequential) checkName("--sequential", name, names);
  for (const name of parallel) checkName("--parallel", name, names);
  const both = sequential.find((name) => parallel.includes(name));
  if (both !== undefined) {
    throw usage(`${both} cannot be both sequential and parallel`, "Leave out one of the two");
  }
  for (const others of after.values()) {
    for (const other of others) checkName("--after", other, names);
  }
  refuseCircles(after);
  return sources.map((source) => {
    const wanted = (requires.get(source.name) ?? []).flatMap(capabilitiesOf);
    if (sequential.includes(source.name)) wanted.push("backup.sequential");
    if (parallel.includes(source.name)) wanted.push("backup.parallel");
    const own = { compress: wanted.includes("compress"), encrypt: wanted.includes("encrypt") };
    const encoding = own.compress || own.encrypt
      ? readEncoding(settings, at, {
        compress: own.compress || settings.get("compress").value,
        encrypt: own.encrypt || settings.get("encrypt").value,
        hasPassphrase: keys.passphrase !== undefined,
        mayIgnoreRecipients: true,
      })
      : undefined;
    const needs = [...new Set([...wanted, ...encodingCapabilities(encoding)])];
    const waitsFor = after.get(source.name);
    return {
      ...source,
      ...(needs.length === 0 ? {} : { requires: needs }),
      ...(waitsFor === undefined ? {} : { after: waitsFor }),
      ...(encoding === undefined ? {} : { encoding }),
    };
  });
}

function collect(
  flag: string,
  pairs: readonly { name: string; text: string }[],
  names: readonly string[],
): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { name, text } of pairs) {
    checkName(flag, name, names);
    found.set(name, [...found.get(name) ?? [], text]);
  }
  return found;
}

function checkName(flag: string, name: string, names: readonly string[]): void {
  if (names.includes(name)) return;
  throw usage(
    `${flag} names ${name}, which is no source of this call`,
    `Did you mean ${nearest(name, names) ?? names.join(" or ")}?`,
  );
}

function capabilitiesOf(text: string): Capability[] {
  return text.split(",").map((word) => {
    const id = capabilityId(word.trim());
    if (id !== undefined) return id;
    const meant = nearest(word.trim(), CAPABILITY_WORDS);
    throw usage(
      `There is no capability ${word.trim()}`,
      meant === undefined ? `There are ${CAPABILITY_WORDS.join(", ")}` : `Did you mean ${meant}?`,
    );
  });
}

/** A source that waits for itself would wait for ever. */
function refuseCircles(after: ReadonlyMap<string, readonly string[]>): void {
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) {
      throw usage(
        `--after goes in a circle: ${[...path.slice(path.indexOf(name)), name].join(", after ")}`,
        "Leave out one of them",
      );
    }
    if (done.has(name)) return;
    for (const other of after.get(name) ?? []) visit(other, [...path, name]);
    done.add(name);
  };
  for (const name of after.keys()) visit(name, []);
}

function usage(message: string, hint: string): BackupError {
  return new BackupError("usage", message, { hint });
}
