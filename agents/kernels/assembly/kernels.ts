/** What the compiled module exports. Rule: nothing here allocates; all memory is laid out in memory.ts. */
export { firstBoundary } from "./rabin";
export { begin, finish, quads } from "./poly1305";
