/** A tiny program for the packer's tests, entry and worker in one like mod.ts. Rule: one mode a test, no imports. */

interface Scope {
  WorkerGlobalScope?: unknown;
  name?: string;
  onmessage: (event: MessageEvent) => void;
  postMessage(message: unknown): void;
}

const scope = globalThis as unknown as Scope;

if (scope.WorkerGlobalScope !== undefined) {
  scope.onmessage = (event) => scope.postMessage({ role: scope.name, square: event.data ** 2 });
} else {
  await main(Deno.args);
}

async function main(args: string[]): Promise<void> {
  switch (args[0]) {
    case "arguments":
      console.log(JSON.stringify(args.slice(1)));
      break;
    case "exit":
      Deno.exit(Number(args[1]));
      break;
    case "environment":
      console.log(JSON.stringify(Deno.env.toObject()));
      break;
    case "facts":
      console.log(JSON.stringify({ url: import.meta.url, execPath: Deno.execPath() }));
      break;
    case "threads":
      console.log(JSON.stringify(await squares(["reader", "writer", "hasher"])));
      break;
    case "wait":
      if (args[1] === "handled") Deno.addSignalListener("SIGTERM", () => Deno.exit(42));
      console.log("ready");
      await new Promise(() => setInterval(() => {}, 1_000));
      break;
    case "again": {
      const again = new Deno.Command(Deno.execPath(), { args: ["exit", "7"] });
      console.log((await again.output()).code);
      break;
    }
    default:
      console.log("nothing asked");
  }
}

async function squares(roles: string[]): Promise<unknown[]> {
  const replies = roles.map((role, i) => {
    const thread = new Worker(import.meta.url, { type: "module", name: role });
    const reply = new Promise((resolve) => {
      thread.onmessage = (event) => resolve(event.data);
    });
    thread.postMessage(i + 2);
    return reply.finally(() => thread.terminate());
  });
  return await Promise.all(replies);
}
