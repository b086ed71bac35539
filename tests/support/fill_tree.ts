/** Trees to back up. Rule: the same arguments give the same bytes, so a failure can be repeated. */
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { runProgram } from "./run_program.ts";

/** Bytes that do not compress and differ with the seed. */
export function noise(sizeBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  const words = new Uint32Array(bytes.buffer, 0, sizeBytes >> 2);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let at = 0; at < words.length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[at] = state ^ (state >>> 13);
  }
  return bytes;
}

/** `count` files of `sizeBytes` in folders of fifty; no two are alike. */
export function fillFiles(
  folder: string,
  count: number,
  sizeBytes: number,
  seed = 0,
): void {
  for (let n = 0; n < count; n++) {
    const below = `${folder}/folder ${Math.floor(n / 50)}`;
    if (n % 50 === 0) mkdirSync(below, { recursive: true });
    writeFileSync(`${below}/file ${n}`, noise(sizeBytes, seed * 100_003 + n));
  }
}

/** Sets a file's mtime, in seconds since 1970, without changing anything else. */
export function setMtime(path: string, seconds: number): void {
  utimesSync(path, seconds, seconds);
}

/** Runs a Perl program in `folder`: names of any bytes, links, nodes, depths that no path can name. */
export async function perl(folder: string, program: string): Promise<void> {
  const { code, err } = await runProgram("perl", ["-e", `use strict; use warnings; ${program}`], {
    cwd: folder,
    env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", LC_ALL: "C" },
  });
  if (code !== 0) throw new Error(`perl failed (${code}): ${err}`);
}

/** Every kind of name and entry that a user can make, in `folder`. Needs perl. */
export async function fillOddTree(folder: string): Promise<void> {
  await perl(folder, ODD_TREE);
}

const ODD_TREE = String.raw`
sub put { my ($name, $text) = @_; open(my $f, '>', $name) or die "$name: $!"; print $f $text; close $f or die; }
mkdir $_ or die "$_: $!" for ('names', 'empty', 'links', 'modes', 'times', "non\xff\xfeutf8 dir", 'a', 'a/b', 'a/b/c');
put("./names/$_", "I am $_") for
  ("line\nbreak", "back\\slash", "\\", "carriage\rreturn", "-rf", "--help", "\xf0\x9f\x97\x84\xef\xb8\x8f", 'n' x 255,
   "\xff\xfe\x80", "caf\xe9", "caf\xc3\xa9", "cafe\xcc\x81", ' ', '  two', '*', '?', '"quoted"', "'", '~', '#', '!no', "tab\t",
   "\x01\x1b[31m", '...', '$(touch x)', 'Case', 'case', "\xc3\xa9" x 127);
put("non\xff\xfeutf8 dir/inside", "bytes");
put('a/b/c/file', 'deep'); put('empty file', ''); put('one byte', 'x');
put('links/first', 'several names' x 100);
link('links/first', "links/$_") or die "$!" for ('second', 'third'); link('links/first', 'a/other folder') or die;
symlink('first', 'links/to first') or die; symlink('nowhere', 'links/dangling') or die;
symlink('../a', 'links/to folder') or die; symlink('/absolute/nowhere', 'links/absolute') or die;
symlink("target\nwith \xff", "links/odd\ntarget") or die; symlink('l' x 1000, 'links/long target') or die;
system('mkfifo', 'links/fifo') == 0 or die;
put("modes/$_", "mode $_") for ('4755', '2755', '0444', '0000', '0777', '6711');
chmod(oct($_), "modes/$_") or die for ('4755', '2755', '0444', '0000', '0777', '6711');
mkdir 'modes/sticky' or die; chmod(01777, 'modes/sticky') or die;
mkdir 'modes/setgid' or die; chmod(02775, 'modes/setgid') or die;
mkdir 'modes/read only' or die; put('modes/read only/inside', 'kept'); chmod(0555, 'modes/read only') or die;
put('times/1901', 'old'); put('times/1969', 'before the epoch'); put('times/2106', 'far'); put('times/ns', 'exact');
system('touch', '-d', '1901-12-14 00:00:00 UTC', 'times/1901') == 0 or die;
system('touch', '-d', '1969-07-20 20:17:40.123456789 UTC', 'times/1969') == 0 or die;
system('touch', '-d', '2106-02-08 06:28:16.000000001 UTC', 'times/2106') == 0 or die;
system('touch', '-d', '2024-02-29 12:00:00.987654321 UTC', 'times/ns') == 0 or die;
system('touch', '-h', '-d', '1980-01-01 00:00:00.5 UTC', 'links/dangling') == 0 or die;
system('touch', '-d', '1975-05-05 05:05:05.555555555 UTC', 'empty') == 0 or die;
`;
