# The first code the packed executable runs, Linux arm64. Rule: the same contract as stub_x86_64.s, which explains it:
# stack before and after, table behind this code, N odd, exit 126 with one line on stderr when it cannot go on.

    .set ENV_FD, 186
    .set PROGRAM_FD, 187
    .set SYS_DUP3, 24
    .set SYS_CLOSE, 57
    .set SYS_WRITE, 64
    .set SYS_EXIT_GROUP, 94
    .set SYS_MEMFD_CREATE, 279
    .set O_CLOEXEC, 0x80000
    .set MFD_CLOEXEC, 1
    .set MFD_NOEXEC_SEAL, 8
    .set EINTR, 4
    .set EINVAL, 22
    .set FAILED_EXIT_CODE, 126

    .text
    .globl _start
_start:
    mov x25, x0                     // ld.so's termination function, passed on untouched
    mov x19, sp
    adr x20, table
    ldr x9, [x19]
    cmp x9, #1                      // without argv[0] there is no slot to replace
    b.lt fail

    mov x21, #ENV_FD
    ldp x22, x23, [x20, #8]
    bl place
    mov x21, #PROGRAM_FD
    ldp x22, x23, [x20, #24]
    bl place

    ldr x9, [x20, #40]              // N
    add x10, x19, #16
    sub x10, x10, x9, lsl #3        // where baked[0] goes: argv[1] follows baked[N-1]
    ldr x11, [x19]
    add x11, x11, x9
    sub x11, x11, #1
    sub x12, x10, #8
    mov sp, x12
    str x11, [x12]                  // the new argc
    add x13, x20, #48
next_string:
    ldr x11, [x13], #8
    add x11, x11, x20
    str x11, [x10], #8
    subs x9, x9, #1
    b.ne next_string

    mov x0, x25
    ldr x9, [x20]
    add x9, x9, x20
    br x9

// Puts x23 bytes at table offset x22 into a fresh memory file with descriptor x21, closed on exec.
place:
    add x22, x22, x20
    adr x0, name
    mov x1, #(MFD_CLOEXEC | MFD_NOEXEC_SEAL)
    mov x8, #SYS_MEMFD_CREATE
    svc #0
    cmn x0, #EINVAL                 // the seal is unknown before Linux 6.3
    b.ne created
    adr x0, name
    mov x1, #MFD_CLOEXEC
    mov x8, #SYS_MEMFD_CREATE
    svc #0
created:
    tbnz x0, #63, fail
    mov x24, x0
write_more:
    mov x0, x24
    mov x1, x22
    mov x2, x23
    mov x8, #SYS_WRITE
    svc #0
    cmn x0, #EINTR
    b.eq write_more
    cmp x0, #0
    b.le fail
    add x22, x22, x0
    subs x23, x23, x0
    b.ne write_more
    cmp x24, x21                    // the kernel may hand out the wanted number at once
    b.eq placed
    mov x0, x24
    mov x1, x21
    mov x2, #O_CLOEXEC
    mov x8, #SYS_DUP3
    svc #0
    tbnz x0, #63, fail
    mov x0, x24
    mov x8, #SYS_CLOSE
    svc #0
placed:
    ret

fail:
    mov x0, #2
    adr x1, message
    mov x2, #message_length
    mov x8, #SYS_WRITE
    svc #0
    mov x0, #FAILED_EXIT_CODE
    mov x8, #SYS_EXIT_GROUP
    svc #0

name:
    .asciz "backup-agent"
message:
    .ascii "backup-agent: cannot start: needs memfd_create (Linux 3.17) and file descriptors up to 187 (ulimit -n)\n"
    .set message_length, . - message
    .balign 8
table:
