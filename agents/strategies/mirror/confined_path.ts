/** Paths that a list names. Rule: nothing is looked at or written before its path is known to lead down only. */

/** No part of the path leads anywhere but down: what a manifest names stays inside its copy. */
export function isConfined(path: string): boolean {
  return path === "" ||
    path.split("/").every((part) =>
      part !== "" && part !== "." && part !== ".." && !part.includes("\0")
    );
}
