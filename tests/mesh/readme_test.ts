/**
 * What the README says about many agents, done word for word: on one machine, and on two with TLS between them, each with its
 * own machine id and its own files under the same paths. Rule: machines are network namespaces, and copies are compared by
 * stock tools.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles } from "../support/fill_tree.ts";
import { until } from "../support/mesh_processes.ts";
import { createNetns, createTwoHosts, type Netns, NETNS_TOOLS } from "../support/netns.ts";
import { type Outcome, type RunningProgram, startProgram } from "../support/run_program.ts";
import { createScene, parseLines } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const EXECUTABLE = fileURLToPath(new URL("../../dist/backup-agent", import.meta.url));
const README = fileURLToPath(new URL("../../README.md", import.meta.url));
/** As the README has them. */
const ADDRESSES = ["10.9.9.1", "10.9.9.2"] as const;
const WITHIN_MS = 30_000;
const FILES = 20;

interface Host {
  /** What the machine sees as /home/me, /srv/photos and its own folder lies below. */
  readonly folder: string;
  start(command: string): RunningProgram;
  run(command: string): Promise<Outcome>;
}

Deno.test({
  ...needs(
    "on one machine the commands of the README do what it says, with nothing set up",
    ...NETNS_TOOLS,
    "zstd",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    await using netns = await createNetns();
    await using running = new AsyncDisposableStack();
    const { folder } = scene;
    for (const name of ["bin", "disk"]) mkdirSync(`${folder}/${name}`);
    symlinkSync(EXECUTABLE, `${folder}/bin/backup-agent`);
    const host = createHost(netns, `${folder}/host`, folder, 1);
    for (const name of ["Documents", "Projects"]) {
      fillFiles(`${host.folder}/work/${name}`, FILES, 2_000, name.length);
    }
    const [roles, commands, wishes] = shellBlocks("## Many agents");
    for (const command of roles!.trimEnd().split("\n")) {
      const role = running.use(host.start(command));
      await role.saw("serves on").catch(async (thrown) => {
        throw new Error(`${thrown}: ${(await role.outcome).err}`);
      });
    }
    const [submit, ...others] = commands!.trimEnd().split("\n");
    const done = async (command: string, code = 0) => {
      const outcome = await host.run(command);
      assert.equal(outcome.code, code, `${command}: ${outcome.out}${outcome.err}`);
      return outcome.out;
    };
    await done(submit!);
    for (const name of ["Documents", "Projects"]) {
      await assertCopies(`${host.folder}/work/${name}`, [
        `${folder}/disk/ssd`,
        `${folder}/disk/nas`,
      ]);
    }
    const [run] = parseLines(await done("backup-agent runs --json"));
    const runId = String(run!["run_id"]);
    const [{ tasks }] = parseLines(await done(`backup-agent run ${runId} --json`)) as unknown as [
      { tasks: { task_id: string }[] },
    ];
    for (const line of others) {
      const command = line.replace(" ID", ` ${runId}`).replace("TASK", tasks[0]!.task_id);
      // The task is over by then, and that is said.
      const shown = await done(command, command.includes(" handoff ") ? 1 : 0);
      assert.notEqual(shown, "", command);
    }
    await done(wishes!);
    const zstd = await host.run(
      'for f in /mnt/ssd/Projects/*/*.zst; do zstd -tq "$f" || exit 1; done',
    );
    assert.equal(zstd.code, 0, zstd.err);
    await assertCopies(`${host.folder}/work/Documents`, [`${folder}/disk/ssd`]);
  },
});

Deno.test({
  ...needs(
    "each machine copies what is its own, over TLS, with the commands of the README",
    ...NETNS_TOOLS,
    "openssl",
    ...STOCK_TOOLS,
  ),
  async fn(t) {
    await using scene = createScene();
    await using network = await createTwoHosts(ADDRESSES);
    await using running = new AsyncDisposableStack();
    const { folder } = scene;
    const [keys, desk, nas, commands] = shellBlocks("### Across machines");
    for (const name of ["keys", "bin", "disk"]) mkdirSync(`${folder}/${name}`);
    symlinkSync(EXECUTABLE, `${folder}/bin/backup-agent`);
    const made = await inShell(`${folder}/keys`, keys!);
    assert.equal(made.code, 0, made.err);

    const [deskHost, nasHost] = network.hosts.map((netns, at) =>
      createHost(netns, `${folder}/host ${at + 1}`, folder, at + 1)
    ) as [Host, Host];
    for (const [host, name] of [[deskHost, "desk"], [nasHost, "nas"]] as const) {
      for (const file of ["mesh-token", "ca.pem", `${name}.pem`, `${name}.key`]) {
        cpSync(`${folder}/keys/${file}`, `${host.folder}/work/${file}`);
      }
    }
    for (
      const [host, block] of [[deskHost, desk!], [nasHost, nas!]] as const
    ) {
      for (const command of block.split("\n\n")) {
        const role = running.use(host.start(command));
        await role.saw("serves on").catch(async (thrown) => {
          throw new Error(`${thrown}: ${(await role.outcome).err}`);
        });
      }
    }
    const words = commands!.trimEnd().split("\n");
    const [exports, [list, submit]] = [words.slice(0, -2), words.slice(-2) as [string, string]];
    const ask = async (host: Host, command: string) => {
      const outcome = await host.run([...exports, command].join("\n"));
      assert.equal(outcome.code, 0, `${command}: ${outcome.out}${outcome.err}`);
      return outcome.out;
    };
    const agents = await until(
      async () => {
        const found = parseLines(await ask(deskHost, `${list} --json`));
        return found.filter((a) => a["state"] === "alive").length === 2 ? found : undefined;
      },
      WITHIN_MS,
      () => "the two workers never met their coordinator",
    );
    assert.equal(new Set(agents.map((a) => a["host_id"])).size, 2);
    const agentOf = (address: string) => agents.find((a) => String(a["url"]).includes(address))!;
    const tasksOf = async (name: string) => {
      const runs = parseLines(await ask(deskHost, "backup-agent runs --json"));
      const run = parseLines(
        await ask(deskHost, `backup-agent run ${runs[0]!["run_id"]} --json`),
      )[0]!;
      const tasks = run["tasks"] as { source: string; agent: string }[];
      return new Set(tasks.filter((task) => task.source === name).map((task) => task.agent));
    };
    const ids = ADDRESSES.map((address) => String(agentOf(address)["agent_id"]));

    await t.step("a run with sources of both machines", async () => {
      await ask(deskHost, submit);
      await assertCopies(`${deskHost.folder}/home/me/Documents`, [`${folder}/disk/copies`]);
      await assertCopies(`${nasHost.folder}/srv/photos/2026`, [`${folder}/disk/copies`]);
      assert.deepEqual(await tasksOf("Documents"), new Set([ids[0]]));
      assert.deepEqual(await tasksOf("2026"), new Set([ids[1]]));
    });

    await t.step(
      "the same path submitted on the other machine is that machine's folder",
      async () => {
        await ask(nasHost, "backup-agent submit /home/me/Documents --to /mnt/nas");
        await assertCopies(`${nasHost.folder}/home/me/Documents`, [`${folder}/disk/nas`]);
        assert.deepEqual(await tasksOf("Documents"), new Set([ids[1]]));
        // Under a name that belongs to the desk nothing of the NAS is written.
        const clash = await nasHost.run(
          [...exports, "backup-agent submit /home/me/Documents --to /mnt/copies"].join("\n"),
        );
        assert.equal(clash.code, 2, clash.out + clash.err);
        await assertCopies(`${deskHost.folder}/home/me/Documents`, [`${folder}/disk/copies`]);
      },
    );

    await t.step("without the authority, the token or TLS nobody is answered", async () => {
      const otherToken = `${nasHost.folder}/work/other-token`;
      writeFileSync(otherToken, `${"x".repeat(44)}\n`, { mode: 0o600 });
      for (
        const [change, says] of [
          ["unset BACKUP_AGENT_TLS_CA", /certificate|trust/i],
          ["export BACKUP_AGENT_TOKEN_FILE=other-token", /does not know this mesh's token/],
          [`export BACKUP_AGENT_COORDINATOR=http://${ADDRESSES[0]}:8800`, /./],
        ] as const
      ) {
        const { code, err } = await nasHost.run([...exports, change, list].join("\n"));
        assert.deepEqual([code, says.test(err)], [1, true], `${change}: ${err}`);
      }
    });
  },
});

/** A machine whose /home, /srv, machine id and working folder are its own, and whose /mnt is a disk that both reach. */
function createHost(netns: Netns, folder: string, shared: string, number: number): Host {
  for (const path of ["home/me/Documents", "srv/photos/2026", "work", "etc"]) {
    mkdirSync(`${folder}/${path}`, { recursive: true });
  }
  fillFiles(`${folder}/home/me/Documents`, FILES, 2_000, number);
  fillFiles(`${folder}/srv/photos/2026`, FILES, 2_000, 10 + number);
  writeFileSync(`${folder}/etc/machine-id`, `${String(number).repeat(32)}\n`);
  const before = netns.before([
    { what: `${folder}/home`, at: "/home" },
    { what: `${folder}/srv`, at: "/srv" },
    { what: `${shared}/disk`, at: "/mnt" },
    { what: `${folder}/etc/machine-id`, at: "/etc/machine-id" },
  ]);
  const start = (command: string): RunningProgram =>
    startProgram(before[0]!, [
      ...before.slice(1),
      ...["/bin/sh", "-c", command.replace(/^backup-agent /, "exec backup-agent ")],
    ], {
      cwd: `${folder}/work`,
      env: {
        HOME: "/home/me",
        PATH: `${shared}/bin:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`,
      },
    });
  return {
    folder,
    start,
    async run(command) {
      await using running = start(command);
      return await running.outcome;
    },
  };
}

async function inShell(cwd: string, script: string): Promise<Outcome> {
  await using running = startProgram("/bin/sh", ["-e", "-c", script], {
    cwd,
    env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
  });
  return await running.outcome;
}

/** The shell commands of one section of the README. */
function shellBlocks(heading: string): string[] {
  const [, section] = readFileSync(README, "utf8").split(`\n${heading}\n`);
  const [own] = section!.split(/\n##/);
  return [...own!.matchAll(/```sh\n(.*?)```/gs)].map(([, text]) => text!);
}
