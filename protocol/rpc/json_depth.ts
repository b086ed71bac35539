/** A guard against nested JSON. Rule: no value that came from outside may make a recursive function overflow. */

/** Whether arrays and objects in `value` are nested deeper than `depthMax` levels. */
export function isDeeperThan(value: unknown, depthMax: number): boolean {
  let level: object[] = isNode(value) ? [value] : [];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth >= depthMax) return true;
    const below: object[] = [];
    for (const node of level) {
      for (const child of Object.values(node)) if (isNode(child)) below.push(child);
    }
    level = below;
  }
  return false;
}

function isNode(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
