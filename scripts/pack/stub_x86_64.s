# The first code the packed executable runs, Linux x86-64. Rule: position-independent, no stack or data of its own,
# one line on stderr and exit 126 when it cannot go on.
#
# ld.so jumps here instead of to Deno's own entry. The stub puts two blobs (environment file, bundled program) into
# memory files at fixed descriptors, replaces argv[0] by the baked command line and jumps to Deno's entry:
#
#   stack before:  argc      | argv[0] argv[1] ... NULL envp ... NULL auxv
#   stack after:   argc+N-1  | baked[0] ... baked[N-1] argv[1] ... NULL envp ... NULL auxv
#
# Nothing above argv[0] moves. N is odd, so the stack pointer stays 16-byte aligned.
# The table that elf.ts appends right behind this code (all 64-bit, offsets count from the table):
#   0 offset of Deno's entry (negative)   8 environment offset   16 environment length
#   24 program offset   32 program length   40 N   48 offsets of the N strings

    .set ENV_FD, 186
    .set PROGRAM_FD, 187
    .set SYS_WRITE, 1
    .set SYS_CLOSE, 3
    .set SYS_EXIT_GROUP, 231
    .set SYS_DUP3, 292
    .set SYS_MEMFD_CREATE, 319
    .set O_CLOEXEC, 0x80000
    .set MFD_CLOEXEC, 1
    .set MFD_NOEXEC_SEAL, 8
    .set EINTR, 4
    .set EINVAL, 22
    .set FAILED_EXIT_CODE, 126

    .text
    .globl _start
_start:
    endbr64
    mov %rdx, %r15                  # ld.so's termination function, passed on untouched
    mov %rsp, %r14
    lea table(%rip), %rbx
    cmpq $1, (%r14)                 # without argv[0] there is no slot to replace
    jl fail

    mov $ENV_FD, %r12d
    mov 8(%rbx), %rbp
    mov 16(%rbx), %r13
    call place
    mov $PROGRAM_FD, %r12d
    mov 24(%rbx), %rbp
    mov 32(%rbx), %r13
    call place

    mov 40(%rbx), %rcx              # N
    lea 0(,%rcx,8), %rax
    lea 16(%r14), %rdi
    sub %rax, %rdi                  # where baked[0] goes: argv[1] follows baked[N-1]
    mov (%r14), %rax
    lea -1(%rax,%rcx), %rax
    lea -8(%rdi), %rsp
    mov %rax, (%rsp)                # the new argc
    xor %esi, %esi
next_string:
    mov 48(%rbx,%rsi,8), %rax
    add %rbx, %rax
    mov %rax, (%rdi,%rsi,8)
    inc %rsi
    cmp %rcx, %rsi
    jb next_string

    mov %r15, %rdx
    mov (%rbx), %rax
    add %rbx, %rax
    jmp *%rax

# Puts r13 bytes at table offset rbp into a fresh memory file with descriptor r12, closed on exec.
place:
    add %rbx, %rbp
    lea name(%rip), %rdi
    mov $(MFD_CLOEXEC | MFD_NOEXEC_SEAL), %esi
    mov $SYS_MEMFD_CREATE, %eax
    syscall
    cmp $-EINVAL, %rax              # the seal is unknown before Linux 6.3
    jne created
    mov $MFD_CLOEXEC, %esi
    mov $SYS_MEMFD_CREATE, %eax
    syscall
created:
    test %rax, %rax
    js fail
    mov %rax, %r10
write_more:
    mov %r10, %rdi
    mov %rbp, %rsi
    mov %r13, %rdx
    mov $SYS_WRITE, %eax
    syscall
    cmp $-EINTR, %rax
    je write_more
    test %rax, %rax
    jle fail
    add %rax, %rbp
    sub %rax, %r13
    jnz write_more
    cmp %r10, %r12                  # the kernel may hand out the wanted number at once
    je placed
    mov %r10, %rdi
    mov %r12, %rsi
    mov $O_CLOEXEC, %edx
    mov $SYS_DUP3, %eax
    syscall
    test %rax, %rax
    js fail
    mov %r10, %rdi
    mov $SYS_CLOSE, %eax
    syscall
placed:
    ret

fail:
    mov $2, %edi
    lea message(%rip), %rsi
    mov $message_length, %edx
    mov $SYS_WRITE, %eax
    syscall
    mov $FAILED_EXIT_CODE, %edi
    mov $SYS_EXIT_GROUP, %eax
    syscall

name:
    .asciz "backup-agent"
message:
    .ascii "backup-agent: cannot start: needs memfd_create (Linux 3.17) and file descriptors up to 187 (ulimit -n)\n"
    .set message_length, . - message
    .balign 8
table:
