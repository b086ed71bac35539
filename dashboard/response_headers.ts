/** Headers of every answer. Rule: no script but our own file, no frame, no guess at types, nothing sent on to others. */

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
};

/** `allowedOrigin`: the page of that origin may read the answer. */
export function withSafeHeaders(
  response: Response,
  allowedOrigin: string | undefined,
  isSecure: boolean,
): Response {
  // Some answers, such as that of an upgrade, must be passed on as they are.
  if (response.status === 101) return response;
  const safe = new Response(response.body, response);
  for (const [name, value] of Object.entries(HEADERS)) safe.headers.set(name, value);
  if (isSecure) safe.headers.set("strict-transport-security", "max-age=31536000");
  if (allowedOrigin === undefined) {
    safe.headers.set("cross-origin-resource-policy", "same-origin");
  } else {
    safe.headers.set("cross-origin-resource-policy", "cross-origin");
    safe.headers.set("access-control-allow-origin", allowedOrigin);
  }
  safe.headers.append("vary", "Origin");
  return safe;
}

/** What a page of an allowed origin may send. */
export function preflightResponse(): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": "authorization, content-type",
      "access-control-max-age": "600",
    },
  });
}
