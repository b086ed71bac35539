/** The door to the kernels. Rule: others import this file only. */
export { addToCounter } from "./counter.ts";
export { createKernels, createPortableKernels, createTwinKernels } from "./create_kernels.ts";
export {
  AES_BLOCK_BYTES,
  type BoundaryScanner,
  type Kernels,
  POLY1305_KEY_BYTES,
  POLY1305_TAG_BYTES,
  type TakeRoom,
  WINDOW_BYTES,
} from "./kernels.ts";
export { isIrreducible } from "./gf2.ts";
