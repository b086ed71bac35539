/**
 * A tree with everything a file can be on Linux: attributes, ACLs, capabilities, holes, nodes, links, odd names, modes and
 * times. Rule: nothing of the program under test takes part in making it. Root only.
 */
import { Buffer } from "node:buffer";
import { mkdirSync } from "node:fs";

/** The stock programs it is made with, for `needs`. */
export const EVERY_KIND_TOOLS = [
  "root",
  "linux",
  "bash",
  "setfattr",
  "setfacl",
  "setcap",
  "mkfifo",
  "mknod",
  "truncate",
] as const;

/** Times that 32 bits of seconds cannot say, and the half second before the epoch; all of them ext4 can hold. */
const TIMES = {
  "before-1970": "1955-11-05T06:15:00.123456789Z",
  "at-minus-half-second": "1969-12-31T23:59:59.5Z",
  "after-2038": "2100-02-28T12:00:00.987654321Z",
  "in-2400": "2400-12-31T23:59:59.999999999Z",
} as const;

const SCRIPT = String.raw`
set -euo pipefail
umask 022
cd "$1"
printf plain > plain
chmod 0640 plain
chown 12:34 plain

mkdir attributes
cd attributes
printf a > many
setfattr -n user.comment -v 'with "quotes" and ümlaut' many
setfattr -n user.empty many
setfattr -n user.bytes -v 0x00ff0a0d22 many
setfattr -n trusted.note -v of-root many
setfattr -n user.large -v "$(head -c 2000 /dev/zero | tr '\0' x)" many
: > only-attributes
setfattr -n user.a -v 1 only-attributes
chmod 0400 only-attributes
ln -s many link
setfattr -h -n trusted.link -v its-own link
mkdir folder
setfattr -n user.folder -v 1 folder
setfattr -n trusted.folder -v 2 folder
mkfifo pipe
setfattr -n trusted.pipe -v 1 pipe
printf cap > capable
chmod 0755 capable
chown 7:8 capable
setcap cap_net_raw,cap_net_bind_service+ep capable
cd ..

mkdir acl
cd acl
printf b > access
chmod 0640 access
setfacl -m u:1234:rwx,g:4321:r-- access
printf b > owned
chown 55:66 owned
setfacl -m u:1235:r-- owned
chmod 0604 owned
mkdir defaults
setfacl -m u:1234:rx,d:u:1234:rwx,d:g:4321:r-x defaults
printf c > defaults/inherited
printf c > defaults/without
setfacl -b defaults/without
chmod 0644 defaults/without
mkdir defaults/inner defaults/plain
setfacl -b -k defaults/plain
printf d > defaults/plain/file
cd ..

mkdir sparse
cd sparse
truncate -s 5000 small-hole
truncate -s 100M only-hole
truncate -s 64M start-and-end
printf start | dd of=start-and-end conv=notrunc status=none
printf end | dd of=start-and-end bs=1 seek=67108000 conv=notrunc status=none
truncate -s 10000001 middle
head -c 300000 /dev/urandom | dd of=middle bs=4096 seek=1000 conv=notrunc status=none
printf tail > hole-then-tail.tmp
truncate -s 3M hole-then-tail
cat hole-then-tail.tmp >> hole-then-tail
rm hole-then-tail.tmp
head -c 1000000 /dev/zero > zeros-written
head -c 5000000 /dev/zero > large-zeros-written
head -c 20000 /dev/urandom > dense
cd ..

mkdir nodes
mkfifo -m 0622 nodes/fifo
mknod -m 0660 nodes/null c 1 3
mknod -m 0600 nodes/wide c 4000 1000000
mknod -m 0640 nodes/block b 7 200
chown 3:4 nodes/null nodes/block

mkdir modes
for mode in 0000 0444 4755 2755 1644 6711 7777; do printf m > "modes/$mode"; chmod "$mode" "modes/$mode"; done
mkdir modes/sticky modes/setgid modes/closed
printf in > modes/closed/in
chmod 1777 modes/sticky
chmod 2775 modes/setgid
chmod 0500 modes/closed
printf s > modes/owned-setuid
chown 99:98 modes/owned-setuid
chmod 6755 modes/owned-setuid

mkdir -p links/a links/b/c
printf one > links/a/first
setfattr -n user.linked -v yes links/a/first
ln links/a/first links/b/c/second
ln links/a/first links/third
ln -s ../a/first links/b/symbolic
ln links/b/symbolic links/a/symbolic-too
mkfifo links/a/pipe
ln links/a/pipe links/pipe-too
ln -s /nowhere/at/all links/dangling
ln -s "$(printf 'target \xff bytes')" links/odd-target

mkdir names
cd names
printf n > "$(printf 'latin1-\xe9\xff')"
mkdir "$(printf 'folder-\xfe')"
printf n > "$(printf 'folder-\xfe/inner-\xc3')"
ln -s x "$(printf 'link-\x80')"
printf n > $'new\nline'
printf n > 'back\slash "quoted"'
printf n > ' '
printf n > -rf
setfattr -n "$(printf 'user.odd-\xff')" -v 1 -- -rf
cd ..
`;

/** Fills an existing empty folder. @throws when a stock tool fails, with what it said */
export async function makeEveryKind(folder: string): Promise<void> {
  await stock("bash", ["-c", SCRIPT, "every-kind", folder]);
  mkdirSync(`${folder}/times`);
  for (const [name, time] of Object.entries(TIMES)) {
    const at = `${folder}/times/${name}`;
    await stock("bash", [
      "-c",
      'printf t > "$1"; mkdir "$1.d"; ln -s x "$1.l"; mkfifo "$1.p"',
      "t",
      at,
    ]);
    for (const suffix of ["", ".d", ".l", ".p"]) {
      await stock("touch", ["-h", "-m", "-d", time, at + suffix]);
    }
  }
  await stock("touch", ["-h", "-m", "-d", TIMES["after-2038"], `${folder}/times`]);
}

/** What a stock program printed, one character a byte. @throws when it fails */
export async function stock(program: string, args: readonly string[], cwd = "/"): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd,
    env: { LC_ALL: "C", TZ: "UTC" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const said = Buffer.from(stdout).toString("latin1");
  if (code === 0) return said;
  throw new Error(
    `${program} ${args.join(" ").slice(0, 200)}: ${Buffer.from(stderr).toString("latin1")}${said}`,
  );
}
