import assert from "node:assert/strict";
import { BackupError } from "../base/errors.ts";
import { parseArguments } from "./arguments.ts";
import { askOnTerminal } from "./ask_on_terminal.ts";
import { fakeSurroundings, fakeTerminal } from "./fake_world.ts";
import {
  askPassword,
  FROM_PASSWORD_OPTIONS,
  PASSWORD_OPTIONS,
  passwordPlaces,
  readPassword,
} from "./repository_password.ts";
import { parseRepositoryAddress } from "./repository_address.ts";
import { resolveSettings } from "./settings.ts";

const KEYS = [...PASSWORD_OPTIONS, ...FROM_PASSWORD_OPTIONS];

function sourceOf(
  words: string[],
  env: Record<string, string> = {},
  of: "shared" | "from" = "shared",
  config = "{}",
) {
  const at = fakeSurroundings({ env, files: { "/c.json": config } });
  const parsed = { ...parseArguments(words, KEYS), configPath: "/c.json" };
  return passwordPlaces(resolveSettings(KEYS, parsed, at), at, [])[of];
}

Deno.test("a password is where the options say, then restic's variables, then the configuration", () => {
  assert.equal(sourceOf([]), undefined);
  assert.deepEqual(sourceOf(["--password-file=p"], { RESTIC_PASSWORD: "x" }), { file: "/here/p" });
  assert.deepEqual(sourceOf(["--password-command=pass x"]), { command: "pass x" });
  assert.deepEqual(sourceOf([], { RESTIC_PASSWORD_FILE: "/p" }), { file: "/p" });
  assert.deepEqual(
    sourceOf([], { RESTIC_PASSWORD_FILE: "/p", BACKUP_AGENT_PASSWORD_FILE: "/own" }),
    { file: "/own" },
  );
  assert.deepEqual(sourceOf([], { RESTIC_PASSWORD_COMMAND: "c", RESTIC_PASSWORD: "x" }), {
    command: "c",
  });
  assert.deepEqual(sourceOf([], { RESTIC_PASSWORD: "x" }), { env: "RESTIC_PASSWORD" });
  const config = '{ "passwordFile": "~/p" }';
  assert.deepEqual(sourceOf([], {}, "shared", config), { file: "/home/me/p" });
  assert.deepEqual(sourceOf([], { RESTIC_FROM_PASSWORD: "x" }, "from"), {
    env: "RESTIC_FROM_PASSWORD",
  });
  assert.deepEqual(sourceOf(["--from-password-file=/p"], {}, "from"), { file: "/p" });
  assert.throws(() => sourceOf(["--password-file=p", "--password-command=c"]), /both given/);
});

Deno.test("one repository's own password wins over what is for all, wherever each is given", () => {
  const a = parseRepositoryAddress("restic:/a", "/here");
  const b = parseRepositoryAddress("restic:rel/b=c", "/here");
  const at = fakeSurroundings({
    env: {
      RESTIC_PASSWORD_COMMAND: "one\ntwo",
      BACKUP_AGENT_KEY_HINT: "restic:/a=12\nrestic:/x=1",
    },
    files: { "/etc/c.json": '{ "passwordFile": ["restic:~/a=~/own", "restic:/elsewhere=x"] }' },
  });
  const placesOf = (words: string[], named = [a, b]) => {
    const parsed = { ...parseArguments(words, KEYS), configPath: "/etc/c.json" };
    return passwordPlaces(resolveSettings(KEYS, parsed, at), at, named);
  };
  const home = parseRepositoryAddress("restic:/home/me/a", "/here");
  const kept = placesOf([], [a, home]);
  assert.deepEqual([kept.own(a), kept.own(home)], [undefined, { file: "/home/me/own" }]);
  assert.deepEqual(kept.shared, { command: "one\ntwo" });
  const typed = placesOf(["--password-file=all", "--password-file", "restic:rel/b=c=p=q"]);
  assert.deepEqual([typed.own(a), typed.own(b)], [undefined, { file: "/here/p=q" }]);
  assert.deepEqual(typed.shared, { file: "/here/all" });
  assert.deepEqual(
    placesOf(["--password-file=1", "--password-file=2"]).shared,
    { file: "/here/2" },
  );
  const both = ["--password-file=restic:/a=f", "--password-command=restic:/a=c"];
  assert.throws(() => placesOf(both), /both given/);
});

Deno.test("a password is read as restic reads it, and never shown when it cannot be", async () => {
  const folder = Deno.makeTempDirSync();
  const file = `${folder}/password`;
  const read = (bytes: Uint8Array | string) => {
    Deno.writeFileSync(file, typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
    return readPassword({ file });
  };
  try {
    assert.equal(await read("  pässword \n\n"), "pässword");
    assert.equal(await read("\ufeffwith mark\r\n"), "with mark");
    assert.equal(await read(Uint8Array.of(0xff, 0xfe, 0x61, 0, 0x62, 0)), "ab");
    assert.equal(await readPassword({ command: "echo ' a b '" }), "a b");
    assert.equal(await readPassword({ env: "X" }, () => " as it is "), " as it is ");
    const fails = (code: string) => (error: unknown) =>
      error instanceof BackupError && error.code === code && !error.message.includes("secret");
    await assert.rejects(read(""), fails("wrong_key"));
    await assert.rejects(read(Uint8Array.of(0x73, 0xff)), fails("usage"));
    await assert.rejects(read("secret".repeat(20_000)), fails("usage"));
    await assert.rejects(readPassword({ file: `${folder}/none` }), fails("usage"));
    await assert.rejects(readPassword({ command: "exit 3 # secret" }), fails("usage"));
    await assert.rejects(readPassword({ env: "X" }, () => undefined), fails("wrong_key"));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a person is asked, twice for a new one; nobody to ask is exit code 12", async () => {
  const ask = (answers: string[], isNew: boolean) =>
    askPassword(fakeTerminal({ answers }), "restic:/a", isNew);
  assert.equal(await ask(["once"], false), "once");
  assert.equal(await ask(["twice", "twice"], true), "twice");
  await assert.rejects(ask(["one", "other"], true), /not the same/);
  await assert.rejects(
    ask([], false),
    (error) => error instanceof BackupError && error.code === "wrong_key" && !!error.hint,
  );
});

Deno.test("what is typed is not shown, can be put right, and leaves the terminal as it was", async () => {
  const type = async (...pieces: (string | null)[]) => {
    const raw: boolean[] = [];
    let shown = "";
    const port = {
      setRaw: (on: boolean) => void raw.push(on),
      read(into: Uint8Array) {
        const piece = pieces.shift() ?? null;
        if (piece === null) return Promise.resolve(null);
        return Promise.resolve(new TextEncoder().encodeInto(piece, into).written);
      },
    };
    try {
      return await askOnTerminal("Password: ", port, (text) => void (shown += text));
    } finally {
      assert.deepEqual(raw, [true, false]);
      assert.equal(shown, "Password: \n");
    }
  };
  assert.equal(await type("sec", "ret\r"), "secret");
  assert.equal(await type("wrong\x15ä\x7fgood\n"), "good");
  assert.equal(await type("\x04"), undefined);
  assert.equal(await type("half", null), undefined);
  await assert.rejects(type("ab\x03"), (error) => (error as BackupError).code === "cancelled");
});
