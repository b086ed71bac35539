/** Names of file systems by the magic number `statfs` gives on Linux. */
const NAMES: Readonly<Record<number, string>> = {
  0xef53: "ext4",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x01021994: "tmpfs",
  0x65735546: "fuse",
  0x6969: "nfs",
  0xff534d42: "cifs",
  0xfe534d42: "smb2",
  0x4d44: "vfat",
  0x2011bab0: "exfat",
  0x5346544e: "ntfs",
  0x7366746e: "ntfs3",
  0x2fc12fc1: "zfs",
  0xf2f52010: "f2fs",
  0x794c7630: "overlay",
};

/** `ext4`, `tmpfs`, …, or `0x…` for a number not known here. */
export function fileSystemType(magic: number): string {
  return NAMES[magic] ?? `0x${magic.toString(16)}`;
}
