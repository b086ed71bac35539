import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ElfLayoutError, elfMachine, packElf, type Payload } from "./elf.ts";
import { bakedCommandLine, permissionFlags } from "./command_line.ts";
import { ENVIRONMENT_FD, PROGRAM_FD, readStub, type StubMachine } from "./stub.ts";
import { assemblerFor, assembleStub } from "./stub.ts";
import { needs } from "../../tests/support/tools.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const PAYLOAD: Payload = {
  stub: bytes("stubstub"),
  commandLine: ["deno", "run", `/proc/self/fd/${PROGRAM_FD}`],
  environment: bytes("A=1\n"),
  program: bytes("console.log(1)"),
};

/** An ELF file of program headers only: [type, address, memory size] each. */
function elf(headers: [number, number, number][], machine = 62): Uint8Array {
  const file = new Uint8Array(64 + 56 * headers.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  view.setUint16(18, machine, true);
  view.setBigUint64(24, 0x1000n, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, headers.length, true);
  headers.forEach(([type, address, size], i) => {
    view.setUint32(64 + 56 * i, type, true);
    view.setBigUint64(64 + 56 * i + 16, BigInt(address), true);
    view.setBigUint64(64 + 56 * i + 40, BigInt(size), true);
  });
  return file;
}

const LOAD = 1;
const NOTE = 4;

Deno.test("the segment lands behind all others and the entry point moves to it", () => {
  const host = elf([[LOAD, 0, 0x2345], [NOTE, 0x10, 0x20]]);
  const packed = packElf(host, PAYLOAD);
  const view = new DataView(packed.buffer);
  const header = 64 + 56;
  const offset = Number(view.getBigUint64(header + 8, true));
  const address = Number(view.getBigUint64(header + 16, true));
  assert.equal(view.getUint32(header, true), LOAD);
  assert.equal(Number(view.getBigUint64(24, true)), address);
  assert.ok(address >= 0x2345 && offset >= host.length);
  assert.equal(address % 0x10000, offset % 0x10000);
  assert.equal(new TextDecoder().decode(packed.subarray(offset, offset + 8)), "stubstub");

  const table = offset + 8;
  const word = (i: number): number => Number(view.getBigInt64(table + 8 * i, true));
  const blob = (at: number, size: number): string =>
    new TextDecoder().decode(packed.subarray(table + at, table + at + size));
  assert.equal(address + 8 + word(0), 0x1000, "leads back to the host's own entry");
  assert.equal(blob(word(1), word(2)), "A=1\n");
  assert.equal(blob(word(3), word(4)), "console.log(1)");
  assert.equal(word(5), 3);
  assert.equal(blob(word(6), 5), "deno\0");
  assert.deepEqual(packElf(host, PAYLOAD), packed, "the same input gives the same bytes");
});

Deno.test("a layout that does not fit is refused", () => {
  const refused: [string, Uint8Array, RegExp][] = [
    ["a script", bytes("#!/bin/sh\n".repeat(10)), /Not a 64-bit/],
    ["another machine", elf([[LOAD, 0, 1], [NOTE, 0, 1]], 8), /Neither/],
    ["no note", elf([[LOAD, 0, 0x100]]), /No PT_NOTE/],
    ["note before the last load", elf([[LOAD, 0, 1], [NOTE, 0, 1], [LOAD, 9, 1]]), /No PT_NOTE/],
    ["no load", elf([[NOTE, 0, 1]]), /No loaded segment/],
    ["loads out of order", elf([[LOAD, 0x5000, 9], [LOAD, 0, 9], [NOTE, 0, 1]]), /address order/],
    ["cut short", elf([[LOAD, 0, 1], [NOTE, 0, 1]]).subarray(0, 100), /outside the file/],
  ];
  for (const [what, host, message] of refused) {
    assert.throws(() => packElf(host, PAYLOAD), (error) => {
      assert.ok(error instanceof ElfLayoutError, what);
      assert.match(error.message, message, what);
      return true;
    });
  }
});

Deno.test("a payload the stub could not place is refused", () => {
  const host = elf([[LOAD, 0, 1], [NOTE, 0, 1]]);
  const wrong: Partial<Payload>[] = [
    { commandLine: ["deno", `/proc/self/fd/${PROGRAM_FD}`] },
    { commandLine: ["deno", "run", "app.js"] },
    { program: new Uint8Array() },
    { environment: new Uint8Array() },
  ];
  for (const part of wrong) {
    assert.throws(() => packElf(host, { ...PAYLOAD, ...part }), RangeError);
  }
});

Deno.test("the baked command line is odd in number whatever the permissions", () => {
  for (let count = 1; count < 6; count++) {
    const line = bakedCommandLine(Array.from({ length: count }, (_, i) => `--allow-${i}`));
    assert.equal(line.length % 2, 1);
    assert.equal(line[0], "deno");
    assert.equal(line.at(-1), `/proc/self/fd/${PROGRAM_FD}`);
  }
});

Deno.test("permissions come from the agent task and from nothing else", () => {
  assert.deepEqual(
    permissionFlags("deno run --quiet --allow-read --allow-net=127.0.0.1 mod.ts"),
    ["--allow-read", "--allow-net=127.0.0.1"],
  );
  assert.throws(() => permissionFlags("deno run mod.ts"), TypeError);
  assert.throws(() => permissionFlags("npx something --allow-read"), TypeError);
});

Deno.test({
  ...needs("this very deno has the layout the packer expects", "linux"),
  fn() {
    const host = readFileSync(Deno.execPath());
    assert.equal(elfMachine(host), Deno.build.arch);
    packElf(host, { ...PAYLOAD, stub: readStub(elfMachine(host)) });
  },
});

for (const machine of ["x86_64", "aarch64"] satisfies StubMachine[]) {
  const tools = assemblerFor(machine);
  // Only the host's own assembler is part of the required tools; the other one is a bonus.
  const test = machine === Deno.build.arch
    ? needs(`the committed ${machine} stub is what its listing assembles to`, "as", "objcopy")
    : {
      name: `the committed ${machine} stub is what its listing assembles to (cross assembler)`,
      ignore: tools === undefined,
    };
  Deno.test({
    ...test,
    fn() {
      assert.ok(tools);
      const dir = Deno.makeTempDirSync();
      try {
        assert.deepEqual(readStub(machine), assembleStub(machine, tools, dir));
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    },
  });

  Deno.test(`the ${machine} listing names the descriptors of the command line`, () => {
    const listing = readFileSync(new URL(`stub_${machine}.s`, import.meta.url), "utf8");
    assert.match(listing, new RegExp(`\\.set ENV_FD, ${ENVIRONMENT_FD}\\n`));
    assert.match(listing, new RegExp(`\\.set PROGRAM_FD, ${PROGRAM_FD}\\n`));
  });
}
