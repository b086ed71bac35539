/** A word as a person would type it to a shell. Rule: whatever is in it, the shell gives it back. */

/** Quoted only where it has to be. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
