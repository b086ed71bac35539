/** Patterns as a shell has them. Rule: `*` and `?` stay within a name, only `**` goes through folders. Pure. */

/**
 * Without a slash the pattern is for the last name of a path; with one for the path, or its end from some folder on.
 * `[a-z]`, `[!a-z]` and a backslash before a special character mean what they do in a shell.
 */
export function globMatcher(pattern: string, ignoreCase: boolean): (path: string) => boolean {
  const hasSlash = pattern.includes("/");
  const expression = new RegExp(
    `${hasSlash && !pattern.startsWith("/") ? "(?:^|/)" : "^"}${
      source(pattern.replace(/^\//, ""))
    }$`,
    ignoreCase ? "sui" : "su",
  );
  return (path) => expression.test(hasSlash ? path : path.slice(path.lastIndexOf("/") + 1));
}

function source(pattern: string): string {
  let text = "";
  for (let at = 0; at < pattern.length;) {
    const rest = pattern.slice(at);
    const found = /^(?:\*\*\/|\*+|\?|\[!?\]?[^\]]*\]|\\.)/su.exec(rest)?.[0];
    if (found === undefined) {
      const char = String.fromCodePoint(rest.codePointAt(0)!);
      text += escaped(char);
      at += char.length;
      continue;
    }
    at += found.length;
    if (found === "**/") text += "(?:.*/)?";
    else if (found.startsWith("**")) text += ".*";
    else if (found === "*") text += "[^/]*";
    else if (found === "?") text += "[^/]";
    else if (found.startsWith("\\")) text += escaped(found.slice(1));
    else text += bracket(found);
  }
  return text;
}

function bracket(found: string): string {
  const negated = found.startsWith("[!");
  const body = found.slice(negated ? 2 : 1, -1);
  const safe = body.replace(/[\\\]\[^&~|]/g, "\\$&").replace(/^-|-$/g, "\\-");
  const text = `[${negated ? "^/" : ""}${safe}]`;
  try {
    new RegExp(text, "u");
    return text;
  } catch {
    // `[z-a]` and the like match themselves.
    return escaped(found);
  }
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/gu, "\\$&");
}
