/** Our task over A2A: the door to both ends and to what they share. */
export { createTaskClient, type TaskClientOptions } from "./task_client.ts";
export { createTaskExecutor } from "./task_executor.ts";
export { EXTENSION_URI, fromWireError, toWireError } from "./task_mapping.ts";
