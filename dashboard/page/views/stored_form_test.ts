import assert from "node:assert/strict";
import { commandPart, isWhole, jobPart, PLAIN } from "./stored_form.tsx";

Deno.test("plain, compressed, encrypted or both, as a job and as a command", () => {
  assert.deepEqual(jobPart(PLAIN, false), {});
  assert.deepEqual(commandPart(PLAIN, false), []);
  const both = {
    isCompressed: true,
    isEncrypted: true,
    recipients: "age1a\n age1b\n",
    passphraseName: " night ",
    repositoryPasswordName: "repo",
  };
  assert.deepEqual(jobPart(both, false), {
    encoding: { codec: "zst.age", recipients: ["age1a", "age1b"] },
    keys: { passphrase: "night" },
  });
  assert.deepEqual(commandPart(both, false), [
    ...["--compress", "--encrypt", "--recipient", "age1a", "--recipient", "age1b"],
    ...["--passphrase-name", "night"],
  ]);
  assert.deepEqual(jobPart({ ...both, isEncrypted: false }, false), {
    encoding: { codec: "zst", recipients: [] },
  });
});

Deno.test("nothing is encrypted for nobody", () => {
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true }, false), false);
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true, passphraseName: " " }, false), false);
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true, recipients: "age1a" }, false), true);
  assert.equal(isWhole(PLAIN, false), true);
});

Deno.test("a repository's password goes along by its name, and without one nothing is begun", () => {
  const form = { ...PLAIN, repositoryPasswordName: " repo " };
  assert.equal(isWhole(PLAIN, true), false);
  assert.equal(isWhole(form, true), true);
  assert.deepEqual(jobPart(form, true), { keys: { repositoryPassword: "repo" } });
  assert.deepEqual(commandPart(form, true), ["--password-name", "repo"]);
  assert.deepEqual(jobPart(form, false), {});
  const both = { ...form, isEncrypted: true, passphraseName: "night" };
  assert.deepEqual(jobPart(both, true).keys, { passphrase: "night", repositoryPassword: "repo" });
});
