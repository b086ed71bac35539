import { strict as assert } from "node:assert";
import { fakeThread } from "../../tests/support/fake_threads.ts";
import { tableOfFiles } from "../../tests/support/sample_table.ts";
import { ReaderThreads } from "./reader_threads.ts";

Deno.test("a further reader thread is started when all have something to do", async () => {
  const fakes: ReturnType<typeof fakeThread>[] = [];
  const readers = new ReaderThreads(2, () => {
    const fake = fakeThread();
    fakes.push(fake);
    return fake.client;
  });
  await readers.addSource("task-1", "/data", tableOfFiles([1]).freeze());
  const first = readers.idlest();
  assert.equal(fakes.length, 1);
  first.call("readFiles", undefined);
  const second = readers.idlest();
  assert.notEqual(second, first);
  second.call("readFiles", undefined);
  second.call("readFiles", undefined);
  assert.equal(readers.idlest(), first);
  assert.equal(fakes.length, 2);
});

Deno.test("a reader thread that was given up is replaced, and the new one knows the same sources", async () => {
  const asked: string[] = [];
  const threads: { isClosed: boolean }[] = [];
  const readers = new ReaderThreads(1, () => {
    const { client } = fakeThread();
    const number = threads.length;
    const call = client.call.bind(client);
    client.call = (method, argument) => {
      asked.push(`${number} ${method}`);
      return call(method, argument);
    };
    threads.push(client as unknown as { isClosed: boolean });
    return client;
  });
  await readers.addSource("task-1", "/data", tableOfFiles([1]).freeze());
  const first = readers.idlest();
  threads[0]!.isClosed = true;
  assert.notEqual(readers.idlest(), first);
  assert.equal(readers.idlest(), readers.idlest());
  assert.deepEqual(asked, ["0 addSource", "1 addSource"]);
});
