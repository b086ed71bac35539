/** ProtoJSON on input, through the real message schemas. */
import assert from "node:assert/strict";
import * as v from "valibot";
import { Message, Part } from "./message.ts";
import { ListTasksParams } from "./methods.ts";
import { StreamEvent } from "./stream_event.ts";

Deno.test("snake_case members are read as camelCase, nested messages too", () => {
  const message = v.parse(Message, {
    message_id: "m",
    role: "ROLE_USER",
    context_id: "c",
    parts: [{ text: "hi", media_type: "text/plain" }],
  });
  assert.deepEqual(message, {
    messageId: "m",
    role: "ROLE_USER",
    contextId: "c",
    parts: [{ text: "hi", mediaType: "text/plain" }],
  });
});

Deno.test("keys inside metadata and data are left alone", () => {
  const content = { snake_key: { inner_key: null } };
  const part = v.parse(Part, { data: content, metadata: content });
  assert.deepEqual(part, { data: content, metadata: content });
});

Deno.test("unknown members are ignored, null means absent, the canonical spelling counts", () => {
  const parsed = v.parse(ListTasksParams, {
    page_size: 7,
    pageSize: 9,
    context_id: null,
    unknown: 1,
  });
  assert.deepEqual(parsed, { pageSize: 9 });
});

Deno.test("a part has exactly one content and its data may be null", () => {
  assert.deepEqual(v.parse(Part, { data: null }), { data: null });
  for (const part of [{}, { mediaType: "text/plain" }, { text: "a", data: 1 }, { raw: "?" }, []]) {
    assert(!v.is(Part, part), JSON.stringify(part));
  }
});

Deno.test("roles and states are their full names only", () => {
  assert(!v.is(Message, { messageId: "m", role: "user", parts: [{ text: "" }] }));
  assert(!v.is(Message, { messageId: "m", role: "ROLE_USER", parts: [] }));
  assert(!v.is(ListTasksParams, { status: "completed" }));
});

Deno.test("a stream event is told by its member", () => {
  const event = {
    status_update: { task_id: "t", context_id: "c", status: { state: "TASK_STATE_WORKING" } },
  };
  assert.deepEqual(v.parse(StreamEvent, event), {
    statusUpdate: { taskId: "t", contextId: "c", status: { state: "TASK_STATE_WORKING" } },
  });
  assert(!v.is(StreamEvent, { other: {} }));
});
