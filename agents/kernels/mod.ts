/** The door to the kernels. Rule: others import this file only. */
export { createKernels, createTwinKernels } from "./create_kernels.ts";
export {
  type BoundaryScanner,
  type Kernels,
  POLY1305_KEY_BYTES,
  POLY1305_TAG_BYTES,
  WINDOW_BYTES,
} from "./kernels.ts";
export { isIrreducible } from "./gf2.ts";
