/** How setting a mode, an owner or a time ends on a file system that cannot hold it: no reason to lose the content. */
import { EINVAL, EOPNOTSUPP, EPERM } from "../../platform/errno.ts";

export function isUnsupported(result: number): boolean {
  return result === -EPERM || result === -EOPNOTSUPP || result === -EINVAL;
}
