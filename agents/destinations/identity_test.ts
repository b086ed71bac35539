import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../tests/support/faulty_posix.ts";
import { inFolder } from "../../tests/support/posix_folder.ts";
import { openPosix } from "../platform/open_posix.ts";
import { ancestry, type DestinationPlace, findClashes, type SourcePlace } from "./identity.ts";

const posix = openPosix();

/** A place by its folders from the root down, there already or not; `copies` are the names in it. */
function destination(path: string, copies: string[] = []): DestinationPlace {
  return {
    key: path,
    ancestors: upwards(path),
    copies: new Map(copies.map((name) => [name, `${path}/${name}`])),
  };
}

function source(path: string, name = path.slice(path.lastIndexOf("/") + 1)): SourcePlace {
  return { name, path, ancestors: upwards(path) };
}

function upwards(path: string): string[] {
  const found: string[] = [];
  for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) found.push(at);
  return [...found, "/"];
}

interface Case {
  what: string;
  sources: SourcePlace[];
  destinations: DestinationPlace[];
  /** Part of the one sentence; none when all is well. */
  says?: string;
}

const CASES: Case[] = [
  {
    what: "apart",
    sources: [source("/data/photos")],
    destinations: [destination("/mnt/a", ["photos"])],
  },
  {
    what: "the copy would be the source",
    sources: [source("/data/photos")],
    destinations: [destination("/data", ["photos"])],
    says: "The copy of /data/photos at /data would be /data/photos itself",
  },
  {
    what: "another name beside the source is fine",
    sources: [source("/data/photos", "pictures")],
    destinations: [destination("/data")],
  },
  {
    what: "the destination in the source",
    sources: [source("/data")],
    destinations: [destination("/data/backup")],
    says: "/data/backup lies inside the source /data",
  },
  {
    what: "the destination is the source",
    sources: [source("/data")],
    destinations: [destination("/data")],
    says: "/data lies inside the source /data",
  },
  {
    what: "a destination that is still to be made in the source",
    sources: [source("/data")],
    destinations: [destination("/data/new")],
    says: "/data/new lies inside the source /data",
  },
  {
    what: "the source in a copy",
    sources: [source("/mnt/a/photos/2026")],
    destinations: [destination("/mnt/a", ["photos"])],
    says: "The source /mnt/a/photos/2026 lies inside /mnt/a/photos, which is a copy",
  },
  {
    what: "one destination twice",
    sources: [source("/data")],
    destinations: [destination("/mnt/a"), destination("/mnt/a")],
    says: "/mnt/a and /mnt/a are the same folder",
  },
  {
    what: "two new destinations in one folder are two",
    sources: [source("/data")],
    destinations: [destination("/mnt/a"), destination("/mnt/b")],
  },
  {
    what: "a destination in the copy of another",
    sources: [source("/data")],
    destinations: [destination("/mnt/a", ["data"]), destination("/mnt/a/data/inner")],
    says: "/mnt/a/data/inner lies inside /mnt/a/data, which is a copy",
  },
  {
    what: "a destination that is the copy of another",
    sources: [source("/data")],
    destinations: [destination("/mnt/a", ["data"]), destination("/mnt/a/data")],
    says: "/mnt/a/data would be a destination and a copy at /mnt/a",
  },
  {
    what: "a destination beside the copies of another",
    sources: [source("/data")],
    destinations: [destination("/mnt/a", ["data"]), destination("/mnt/a/second")],
  },
];

for (const { what, sources, destinations, says } of CASES) {
  Deno.test(`places: ${what}`, () => {
    const clashes = findClashes(sources, destinations);
    if (says === undefined) assert.deepEqual(clashes, []);
    else assert.deepEqual(clashes, [says]);
    assert.equal(
      findClashes(sources, destinations.toReversed()).length,
      clashes.length,
      "in any order",
    );
  });
}

Deno.test("the ancestry of a folder is itself and all above it, also through a symbolic link", () =>
  inFolder(posix, (_, path) => {
    fs.mkdirSync(join(path, "a/b"), { recursive: true });
    fs.symlinkSync("a/b", join(path, "link"));
    const watched = faultyPosix(posix);
    const direct = ancestry(watched.posix, join(path, "a/b"));
    assert.deepEqual(ancestry(watched.posix, join(path, "link")), direct);
    assert.deepEqual(ancestry(watched.posix, join(path, "a")), direct.slice(1));
    assert.deepEqual(ancestry(watched.posix, "/"), direct.slice(-1));
    assert.deepEqual(ancestry(watched.posix, join(path, "missing")), []);
    assert.equal(watched.openCount(), 0);
  }));
