/** File modes as Go has them. Rule: types and bits are translated both ways without loss. */
import type { NodeType } from "./tree.ts";

const GO_SETUID = 2 ** 23;
const GO_SETGID = 2 ** 22;
const GO_STICKY = 2 ** 20;
const TYPE_BITS: Readonly<Record<NodeType, number>> = {
  file: 0,
  dir: 2 ** 31,
  symlink: 2 ** 27,
  dev: 2 ** 26,
  chardev: 2 ** 26 + 2 ** 21,
  fifo: 2 ** 25,
  socket: 2 ** 24,
  irregular: 2 ** 19,
};

/** From permission bits with setuid, setgid and sticky. */
export function toGoMode(type: NodeType, mode: number): number {
  return (mode & 0o777) + TYPE_BITS[type] + ((mode & 0o4000) !== 0 ? GO_SETUID : 0) +
    ((mode & 0o2000) !== 0 ? GO_SETGID : 0) + ((mode & 0o1000) !== 0 ? GO_STICKY : 0);
}

/** To permission bits with setuid, setgid and sticky. */
export function fromGoMode(goMode: number): number {
  return (goMode & 0o777) | ((goMode & GO_SETUID) !== 0 ? 0o4000 : 0) |
    ((goMode & GO_SETGID) !== 0 ? 0o2000 : 0) | ((goMode & GO_STICKY) !== 0 ? 0o1000 : 0);
}
