import assert from "node:assert/strict";
import { commandPart, isWhole, jobPart, PLAIN } from "./stored_form.tsx";

Deno.test("plain, compressed, encrypted or both, as a job and as a command", () => {
  assert.deepEqual(jobPart(PLAIN), {});
  assert.deepEqual(commandPart(PLAIN), []);
  const both = {
    isCompressed: true,
    isEncrypted: true,
    recipients: "age1a\n age1b\n",
    passphraseName: " night ",
  };
  assert.deepEqual(jobPart(both), {
    encoding: { codec: "zst.age", recipients: ["age1a", "age1b"] },
    keys: { passphrase: "night" },
  });
  assert.deepEqual(commandPart(both), [
    ...["--compress", "--encrypt", "--recipient", "age1a", "--recipient", "age1b"],
    ...["--passphrase-name", "night"],
  ]);
  assert.deepEqual(jobPart({ ...both, isEncrypted: false }), {
    encoding: { codec: "zst", recipients: [] },
  });
});

Deno.test("nothing is encrypted for nobody", () => {
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true }), false);
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true, passphraseName: " " }), false);
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true, recipients: "age1a" }), true);
  assert.equal(isWhole(PLAIN), true);
});
