import assert from "node:assert/strict";
import { commandPart, isWhole, jobPart, PLAIN } from "./stored_form.tsx";

Deno.test("plain, compressed, encrypted or both, as a job and as a command", () => {
  assert.deepEqual(jobPart(PLAIN, []), {});
  assert.deepEqual(commandPart(PLAIN, []), []);
  const both = {
    isCompressed: true,
    isEncrypted: true,
    recipients: "age1a\n age1b\n",
    passphraseName: " night ",
    repositoryPasswordName: "repo",
    ownPasswordNames: {},
  };
  assert.deepEqual(jobPart(both, []), {
    encoding: { codec: "zst.age", recipients: ["age1a", "age1b"] },
    keys: { passphrase: "night" },
  });
  assert.deepEqual(commandPart(both, []), [
    ...["--compress", "--encrypt", "--recipient", "age1a", "--recipient", "age1b"],
    ...["--passphrase-name", "night"],
  ]);
  assert.deepEqual(jobPart({ ...both, isEncrypted: false }, []), {
    encoding: { codec: "zst", recipients: [] },
  });
});

Deno.test("nothing is encrypted for nobody", () => {
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true }, []), false);
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true, passphraseName: " " }, []), false);
  assert.equal(isWhole({ ...PLAIN, isEncrypted: true, recipients: "age1a" }, []), true);
  assert.equal(isWhole(PLAIN, []), true);
});

Deno.test("a repository's password goes along by its name, and without one nothing is begun", () => {
  const form = { ...PLAIN, repositoryPasswordName: " repo " };
  assert.equal(isWhole(PLAIN, ["restic:/usb"]), false);
  assert.equal(isWhole(form, ["restic:/usb"]), true);
  assert.deepEqual(jobPart(form, ["restic:/usb"]), { keys: { repositoryPassword: "repo" } });
  assert.deepEqual(commandPart(form, ["restic:/usb"]), ["--password-name", "repo"]);
  assert.deepEqual(jobPart(form, []), {});
  const both = { ...form, isEncrypted: true, passphraseName: "night" };
  assert.deepEqual(jobPart(both, ["restic:/usb"]).keys, {
    passphrase: "night",
    repositoryPassword: "repo",
  });
});

Deno.test("of several repositories each may have a name of its own, and all must have one", () => {
  const both = ["restic:/usb", "restic:/nas"];
  const form = { ...PLAIN, ownPasswordNames: { "restic:/nas": " nas ", "restic:/gone": "old" } };
  assert.equal(isWhole(form, both), false);
  assert.equal(isWhole(form, ["restic:/nas"]), false);
  const all = { ...form, repositoryPasswordName: "repo" };
  assert.equal(isWhole(all, both), true);
  assert.deepEqual(jobPart(all, both).keys, {
    repositoryPassword: "repo",
    repositories: [{ repository: "restic:/nas", password: "nas" }],
  });
  assert.deepEqual(commandPart(all, both), [
    ...["--password-name", "repo", "--password-name", "restic:/nas=nas"],
  ]);
  const each = { ...form, ownPasswordNames: { "restic:/usb": "usb", "restic:/nas": "nas" } };
  assert.equal(isWhole(each, both), true);
  assert.deepEqual(jobPart(each, both).keys?.repositories?.length, 2);
});
