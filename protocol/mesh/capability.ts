/** What a task can require and an agent can offer. Rule: the wire carries ids; short aliases live at the edge. */

export const CAPABILITIES = [
  "backup.sequential",
  "backup.parallel",
  "backup.verify",
  "backup.restore",
  "compress",
  "encrypt",
  "mirror",
  "snapshot",
] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** A map: what a peer asks for must not find what every object inherits. */
const ALIASES: ReadonlyMap<string, Capability> = new Map([
  ["sequential", "backup.sequential"],
  ["parallel", "backup.parallel"],
  ["verify", "backup.verify"],
  ["restore", "backup.restore"],
]);

/** As people write them: the short word where there is one. */
export const CAPABILITY_WORDS: readonly string[] = CAPABILITIES.map(capabilityWord);

/** As people write it. */
export function capabilityWord(id: string): string {
  return [...ALIASES].find(([, of]) => of === id)?.[0] ?? id;
}

/** The wire id for an id or its alias; undefined when there is no such capability. */
export function capabilityId(text: string): Capability | undefined {
  return CAPABILITIES.find((id) => id === text) ?? ALIASES.get(text);
}

/** The required ids an agent does not offer; empty means it can take the task. */
export function missingCapabilities(
  required: readonly string[],
  offered: readonly string[],
): string[] {
  const has = new Set(offered.map((o) => capabilityId(o) ?? o));
  return required.filter((r) => !has.has(capabilityId(r) ?? r));
}
