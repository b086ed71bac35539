/** Memory for reading and writing past the page cache. Rule: it begins at a page, which the kernel needs for that. */

/** Shared, so that it may travel between threads. Memory that could grow begins at a page; any other begins anywhere. */
export function pagedMemory(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(bytes, { maxByteLength: bytes + 1 });
}
