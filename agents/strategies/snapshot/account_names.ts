/** Names of users and groups by number. Rule: what the system's files do not say has no name, and that is no failure. */
import { readFileSync } from "node:fs";

export interface AccountNames {
  user(uid: number): string | undefined;
  group(gid: number): string | undefined;
}

export function readAccountNames(passwd = "/etc/passwd", group = "/etc/group"): AccountNames {
  const users = readNames(passwd);
  const groups = readNames(group);
  return { user: (uid) => users.get(uid), group: (gid) => groups.get(gid) };
}

/** Both files have the name first and the number third. */
function readNames(path: string): Map<number, string> {
  const names = new Map<number, string>();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return names;
  }
  for (const line of text.split("\n")) {
    const [name, , number] = line.split(":");
    const id = Number(number);
    // The first line of a number is the one the system takes.
    if (name && number && Number.isInteger(id) && !names.has(id)) names.set(id, name);
  }
  return names;
}
