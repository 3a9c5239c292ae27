// attempts NAME…: tries each system call that is named, and writes `NAME ok` or `NAME ERROR`.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char page[4096];

static long try(const char *name) {
#define IS(text) (strcmp(name, text) == 0)
    if (IS("mount")) return mount("none", "/root", "tmpfs", 0, "");
    if (IS("bind")) return mount("/etc", "/root", "", MS_BIND, "");
    if (IS("umount")) return umount2("/proc/sys", MNT_DETACH);
    if (IS("fsopen")) return syscall(SYS_fsopen, "tmpfs", 0);
    if (IS("open_tree")) return syscall(SYS_open_tree, AT_FDCWD, "/", 1);
    if (IS("pivot_root")) return syscall(SYS_pivot_root, "/", "/root");
    if (IS("setns")) return syscall(SYS_setns, open("/proc/self/ns/mnt", O_RDONLY), 0);
    if (IS("unshare_user")) return unshare(CLONE_NEWUSER);
    if (IS("unshare_mount")) return unshare(CLONE_NEWNS);
    if (IS("unshare_files")) return unshare(CLONE_FILES);
    if (IS("clone_user") || IS("clone")) {
        long child = syscall(SYS_clone, (IS("clone") ? 0 : CLONE_NEWUSER) | SIGCHLD, 0, 0, 0, 0);
        if (child == 0) _exit(0);
        if (child > 0) waitpid(child, 0, 0);
        return child;
    }
    if (IS("clone3")) return syscall(SYS_clone3, page, 64);
    if (IS("keyctl")) return syscall(SYS_keyctl, 0, -3, 0);
    if (IS("add_key")) return syscall(SYS_add_key, "user", "a", "b", 1, -3);
    if (IS("request_key")) return syscall(SYS_request_key, "user", "a", 0, -3);
    if (IS("bpf")) return syscall(SYS_bpf, 0, page, 64);
    if (IS("kexec_load")) return syscall(SYS_kexec_load, 0, 0, 0, 0);
    if (IS("kexec_file_load")) return syscall(SYS_kexec_file_load, -1, -1, 0, 0, 0);
    if (IS("init_module")) return syscall(SYS_init_module, page, 64, "");
    if (IS("finit_module")) return syscall(SYS_finit_module, 0, "", 0);
    if (IS("delete_module")) return syscall(SYS_delete_module, "ext4", 0);
    if (IS("perf_event_open")) return syscall(SYS_perf_event_open, page, 0, -1, -1, 0);
    if (IS("open_by_handle_at")) return syscall(SYS_open_by_handle_at, AT_FDCWD, page, 0);
    if (IS("userfaultfd")) return syscall(SYS_userfaultfd, 1);
    if (IS("io_uring_setup")) return syscall(SYS_io_uring_setup, 8, page);
    if (IS("reboot")) return syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0);
    if (IS("swapon")) return syscall(SYS_swapon, "/bin/busybox", 0);
    if (IS("settimeofday")) return syscall(SYS_settimeofday, page, 0);
    if (IS("syslog")) return syscall(SYS_syslog, 3, page, 64);
    if (IS("sethostname")) return sethostname("other", 5);
    if (IS("personality")) return personality(ADDR_NO_RANDOMIZE);
    if (IS("personality_query")) return personality(0xffffffff);
    if (IS("vsock")) return socket(40, SOCK_STREAM, 0);
    if (IS("alg")) return socket(38, SOCK_SEQPACKET, 0);
    if (IS("inet")) return socket(AF_INET, SOCK_STREAM, 0);
    if (IS("unix")) return socket(AF_UNIX, SOCK_STREAM, 0);
    if (IS("ptrace_first")) return ptrace(PTRACE_ATTACH, 1, 0, 0);
    if (IS("kill_first")) return kill(1, SIGKILL);
    if (IS("mknod_memory")) return mknod("/root/mem", S_IFCHR | 0600, makedev(1, 1));
    if (IS("mknod_disk")) return mknod("/tmp/vda", S_IFBLK | 0600, makedev(254, 0));
    if (IS("mknod_pipe")) return mknod("/tmp/pipe", S_IFIFO | 0600, 0);
    if (IS("open_memory")) return open("/dev/mem", O_RDONLY);
    if (IS("open_first_memory")) return open("/proc/1/mem", O_RDONLY);
    if (IS("open_first_environment")) return open("/proc/1/environ", O_RDONLY);
    if (IS("open_first_root")) return open("/proc/1/root", O_RDONLY);
    if (IS("open_first_program")) return open("/proc/1/exe", O_RDONLY);
    if (IS("open_sysrq")) return open("/proc/sysrq-trigger", O_WRONLY);
    if (IS("open_sysctl")) return open("/proc/sys/kernel/core_pattern", O_WRONLY);
    if (IS("open_sys")) return open("/sys/power/state", O_WRONLY);
    if (IS("file_capability")) {
        // CAP_NET_RAW, version 2.
        static const unsigned char value[20] = {1, 0, 0, 2, 0, 0x20};
        return setxattr("/root", "security.capability", value, 20, 0);
    }
    if (IS("trusted")) return setxattr("/root", "trusted.a", "b", 1, 0);
    if (IS("chown")) return chown("/root", 1000, 1000);
    if (IS("setgid")) return setgid(1000);
    if (IS("setuid")) return setuid(1000);
    if (IS("x32")) return syscall(0x40000000 | SYS_getpid);
    if (IS("i386") || IS("i386_bpf")) {
        long said;
        __asm__ volatile("int $0x80" : "=a"(said) : "a"(IS("i386") ? 20 : 357), "b"(0), "c"(0), "d"(0) : "memory");
        if (said < 0) { errno = -said; return -1; }
        return said;
    }
    if (IS("status")) {
        // The calls for the same say the same.
        struct stat by_path, by_file;
        struct statx extended;
        int file = open("/etc/passwd", O_RDONLY);
        if (stat("/etc/passwd", &by_path) || fstat(file, &by_file)) return -1;
        if (statx(AT_FDCWD, "/etc/passwd", 0, STATX_BASIC_STATS, &extended)) return -1;
        errno = EPROTO;
        if (memcmp(&by_path, &by_file, sizeof by_path)) return -1;
        return by_path.st_ino == extended.stx_ino && by_path.st_mode == extended.stx_mode &&
                       by_path.st_uid == extended.stx_uid && by_path.st_gid == extended.stx_gid &&
                       by_path.st_size == (long)extended.stx_size && by_path.st_nlink == extended.stx_nlink &&
                       by_path.st_mtim.tv_sec == extended.stx_mtime.tv_sec &&
                       by_path.st_mtim.tv_nsec == extended.stx_mtime.tv_nsec &&
                       by_path.st_ctim.tv_sec == extended.stx_ctime.tv_sec &&
                       by_path.st_blocks == (long)extended.stx_blocks &&
                       by_path.st_dev == makedev(extended.stx_dev_major, extended.stx_dev_minor)
                   ? 0
                   : -1;
    }
    errno = EINVAL;
    return -1;
}

int main(int count, char **names) {
    // `attempts eat BYTES`: uses so much memory for ever.
    if (count == 3 && strcmp(names[1], "eat") == 0) {
        long bytes = atol(names[2]);
        volatile char *memory = malloc(bytes);
        if (!memory) return puts("no memory"), 1;
        for (long at = 0; at < bytes; at += 4096) memory[at] = 1;
        for (;;) pause();
    }
    // `attempts as USER PROGRAM…`: becomes that user, and the program.
    if (count > 3 && strcmp(names[1], "as") == 0) {
        if (setgid(atoi(names[2])) || setuid(atoi(names[2]))) return perror("as"), 1;
        return execv(names[3], names + 3), 1;
    }
    for (int each = 1; each < count; each++) {
        errno = 0;
        long said = try(names[each]);
        printf("%s %s\n", names[each], said < 0 ? strerrorname_np(errno) : "ok");
        fflush(stdout);
    }
    return 0;
}
