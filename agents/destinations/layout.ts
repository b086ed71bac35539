/** Names inside `DEST/.backup-agent/`. Rule: everything of ours at a destination lives there, and this file names it. */

export const OWN_DIRECTORY = ".backup-agent";
export const MARKER_FILE = "marker.json";
export const LOCK_FILE = "lock";
/** Held by every agent of the run that uses the destination; its text is the run. */
export const RUN_LOCK_FILE = "run";
export const MANIFESTS_DIRECTORY = "manifests";
export const STAGE_DIRECTORY = "stage";
export const DISPLACED_DIRECTORY = "displaced";
/** Earlier versions by source and run; see `versions.ts` of the mirror strategy. */
export const VERSIONS_DIRECTORY = "versions";
/** An age file with the secret key of this destination, behind a passphrase; the second is its copy. */
export const IDENTITY_FILE = "identity.age";
export const IDENTITY_SPARE_FILE = "identity-spare.age";
export const DRILLS_DIRECTORY = "drills";
export const CHECKSUMS_FILE = "SHA256SUMS";
/** There from before a manifest changes until SHA256SUMS says the same, so that a crash in between is made good. */
export const CHECKSUMS_STALE_FILE = "SHA256SUMS.stale";
export const README_FILE = "README.txt";

/** What a person finds who opens the folder in ten years. */
export const README_TEXT =
  `This folder was made by backup-agent. The copies beside it are plain files,
some of them perhaps compressed or encrypted, as their names say:

NAME.zst       zstd -d NAME.zst
NAME.age       age -d -i KEY -o NAME NAME.age, with the secret key of one of its recipients;
               where a passphrase was used, KEY is .backup-agent/identity.age and age asks for it

marker.json    which destination this is, and which source each folder beside this one came from
manifests/     one list per source: JSON lines, one per entry, with size, times, mode and SHA-256,
               and storedAs where a name could not be kept; encrypted like a file where it ends in .age
identity.age   with a passphrase: the secret key of the encrypted files here. Without it they cannot be
               read, so there is a second copy, identity-spare.age; keep another one elsewhere
SHA256SUMS     the hashes of the files as they stand here, for stock tools. To check every copy without backup-agent:
                 cd to the folder above this one, then: sha256sum --quiet -c .backup-agent/SHA256SUMS
stage/         files on their way; removed by the next run
versions/      replaced and deleted files, in a folder per source and run, each under its own path;
               the list beside such a folder has their sizes, times and SHA-256
drills/        reports of test restores, by date
displaced/     things that stood where a copy had to go; yours to look through and delete

Nothing here is needed to read the copies.
`;
