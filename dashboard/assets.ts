/** The files of the page. Rule: part of the program, so that one executable has them; a reader that has a file is told so. */
import { createHash } from "node:crypto";
import icon from "./assets/icon.svg" with { type: "text" };
import pageStyle from "./assets/page.css" with { type: "text" };
import pageScript from "./assets/page.js" with { type: "text" };
import referenceStyle from "./assets/reference.css" with { type: "text" };

interface Asset {
  body: Uint8Array<ArrayBuffer>;
  mediaType: string;
  etag: string;
}

const FILES: Readonly<Record<string, Asset>> = {
  "page.js": asset(pageScript, "text/javascript; charset=utf-8"),
  "page.css": asset(pageStyle, "text/css; charset=utf-8"),
  "reference.css": asset(referenceStyle, "text/css; charset=utf-8"),
  "icon.svg": asset(icon, "image/svg+xml"),
};

function asset(text: unknown, mediaType: string): Asset {
  const body = new TextEncoder().encode(String(text));
  const digest = createHash("sha256").update(body).digest("base64url");
  return { body, mediaType, etag: `"${digest}"` };
}

/** Undefined when there is no such file. */
export function assetResponse(name: string, request: Request): Response | undefined {
  const file = Object.hasOwn(FILES, name) ? FILES[name] : undefined;
  if (file === undefined) return undefined;
  const headers = { etag: file.etag, "cache-control": "no-cache", "content-type": file.mediaType };
  const known = request.headers.get("if-none-match")?.split(",").map((tag) =>
    tag.trim().replace(/^W\//, "")
  );
  if (known?.includes(file.etag) === true) return new Response(null, { status: 304, headers });
  return new Response(file.body, { headers });
}
