/** Certificates for tests of TLS, by stock openssl. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Certificates {
  /** Path of `ca.pem`, `server.pem`, `server.key`, `client.…`, `stranger.…`. */
  path(file: string): string;
  read(file: string): string;
}

/** An authority; a server and a client that it has signed, for 127.0.0.1; and a stranger signed by nobody else. */
export function makeCertificates(folder: string): Certificates {
  const openssl = (...args: string[]): void => {
    const { success, stderr } = new Deno.Command("openssl", { args, cwd: folder }).outputSync();
    assert.ok(success, new TextDecoder().decode(stderr));
  };
  const newKey = (name: string) => [
    ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", `${name}.key`, "-subj", `/CN=${name}`],
  ];
  for (const name of ["ca", "stranger"]) {
    openssl("req", "-x509", ...newKey(name), "-out", `${name}.pem`, "-days", "2");
  }
  for (const name of ["server", "client"]) {
    openssl(
      ...["req", ...newKey(name), "-out", `${name}.csr`],
      ...["-addext", "subjectAltName=IP:127.0.0.1"],
    );
    openssl(
      ...["x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, "-days", "2"],
      ...["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions", "copy"],
    );
  }
  const path = (file: string): string => join(folder, file);
  return { path, read: (file) => readFileSync(path(file), "utf8") };
}
