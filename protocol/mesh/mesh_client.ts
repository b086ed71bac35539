/** A caller of the mesh's own methods: JSON-RPC with the headers that every A2A agent asks for. */
import { A2A_VERSION, EXTENSIONS_HEADER, VERSION_HEADER } from "../a2a/version.ts";
import { createRpcClient, type FetchLike, type RpcClient } from "../rpc/client.ts";
import { EXTENSION_URI } from "./task_mapping.ts";

/** `url`: the JSON-RPC endpoint. The token is the fetch's business. */
export function createMeshClient({ fetch, url }: { fetch: FetchLike; url: string }): RpcClient {
  return createRpcClient({
    fetch,
    url,
    headers: { [VERSION_HEADER]: A2A_VERSION, [EXTENSIONS_HEADER]: EXTENSION_URI },
  });
}
