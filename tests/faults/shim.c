/*
 * A file layer that injects faults and keeps a record of what a process asked of the disk.
 *
 * It is preloaded (LD_PRELOAD) into a process under test and stands between that process and libc, so the tested program is the
 * one that is shipped. Only files below PROVOST_FAULT_ROOT are looked at.
 *
 *   PROVOST_FAULT_ROOT     absolute path of the watched folder
 *   PROVOST_FAULT_LOG      file to which every call that changes the disk is appended, with its data (see `record`)
 *   PROVOST_FAULT_PLAN     rules "KIND:FIRST:COUNT:ACTION;...": calls FIRST to FIRST+COUNT-1 of a kind (from 1) meet ACTION
 *                          KIND   w write, s sync, m change of a name, a any of them
 *                          ACTION eio | enospc | short (half is written, and reported so) | die (half is written, then _exit)
 *   PROVOST_FAULT_CONTROL  file read at every call: "full" = writes that lengthen a file, and new files, fail with ENOSPC;
 *                          "eio" = every sync fails with EIO; anything else, or no file = the disk is sound
 *
 * One lock is held over each call and its record: the order of the record is the order of the calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 65536
#define RULES 16

enum { UNSEEN = 0, RECORDED = 1, SCRATCH = 2, MARKS = 3 };
struct rule { char kind; long first, count; char action; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char seen[FDS];
static char root[PATH_MAX];
static size_t root_length;
static char control[PATH_MAX];
static int log_fd = -1;
static struct rule rules[RULES];
static int rule_count;
static long writes, syncs, names, all;

#define REAL(name) __typeof__(&name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void parse_plan(const char *plan) {
    while (plan && *plan && rule_count < RULES) {
        struct rule *rule = &rules[rule_count];
        char action[16] = "";
        if (sscanf(plan, "%c:%ld:%ld:%15[a-z]", &rule->kind, &rule->first, &rule->count, action) == 4) {
            rule->action = strcmp(action, "enospc") ? action[0] : 'f';
            rule_count++;
        }
        plan = strchr(plan, ';');
        if (plan) plan++;
    }
}

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("PROVOST_FAULT_ROOT");
    if (!folder || !realpath(folder, root)) { root[0] = 0; return; }
    root_length = strlen(root);
    const char *at = getenv("PROVOST_FAULT_CONTROL");
    if (at) snprintf(control, sizeof control, "%s", at);
    const char *log = getenv("PROVOST_FAULT_LOG");
    REAL(open);
    if (log) log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    parse_plan(getenv("PROVOST_FAULT_PLAN"));
}

/* One record: type, inode, offset, lengths of path and data, path, data; numbers in the machine's order. */
static void record(char type, uint64_t inode, uint64_t offset, const char *path, const void *data, size_t length) {
    if (log_fd < 0) return;
    if (path && !strncmp(path, root, root_length)) path += root_length;
    struct { uint64_t inode, offset, data; uint32_t path; char type, pad[3]; } head = {
        inode, offset, length, path ? strlen(path) : 0, type, { 0 } };
    struct iovec parts[3] = { { &head, sizeof head }, { (void *)(path ? path : ""), head.path }, { (void *)data, length } };
    REAL(writev);
    if (real_writev(log_fd, parts, 3) != (ssize_t)(sizeof head + head.path + length)) _exit(99);
}

static int is_below(const char *path) {
    return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* What is rebuilt or means nothing after a crash is not recorded, but meets a full disk as well. */
static int kind_of(const char *path) {
    if (!is_below(path)) return UNSEEN;
    const char *dash = strrchr(path, '-'), *slash = strrchr(path, '/');
    if ((dash && !strcmp(dash, "-shm")) || (slash && !strcmp(slash, "/lock")) || strstr(path, " (deleted)")) return SCRATCH;
    if (slash && !strcmp(slash, "/marks")) return MARKS;
    return RECORDED;
}

static int absolute(int at, const char *path, char *out) {
    if (path[0] == '/') return snprintf(out, PATH_MAX, "%s", path) < PATH_MAX;
    char link[64];
    if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, out, PATH_MAX - 2 - strlen(path));
    if (length < 0) return 0;
    if (*path) { out[length++] = '/'; strcpy(out + length, path); }
    else out[length] = 0;
    return 1;
}

static char control_says(void) {
    if (!control[0]) return 0;
    REAL(open); REAL(read); REAL(close);
    char first = 0;
    int fd = real_open(control, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    if (real_read(fd, &first, 1) != 1) first = 0;
    real_close(fd);
    return first;
}

/* The action for a call of this kind: 0 none, 'e' EIO, 'f' full, 's' short, 'd' die. Counts the call. */
static char action(char kind, int lengthens) {
    long count = kind == 'w' ? ++writes : kind == 's' ? ++syncs : ++names;
    all++;
    for (int i = 0; i < rule_count; i++) {
        long at = rules[i].kind == 'a' ? all : count;
        if ((rules[i].kind == 'a' || rules[i].kind == kind) && at >= rules[i].first && at < rules[i].first + rules[i].count)
            return rules[i].action;
    }
    char said = control_says();
    if (said == 'f' && lengthens) return 'f';
    if (said == 'e' && kind == 's') return 'e';
    return 0;
}

/* A fault of a call without data; 0 when there is none. */
static int fails(char kind, int lengthens) {
    char what = action(kind, lengthens);
    if (what == 'd') { record('K', 0, 0, NULL, NULL, 0); _exit(137); }
    if (what == 'e') { errno = EIO; return 1; }
    if (what == 'f') { errno = ENOSPC; return 1; }
    return 0;
}

static void forget(int fd) { if (fd >= 0 && fd < FDS) seen[fd] = UNSEEN; }

static int open_at(int at, const char *path, int flags, mode_t mode) {
    REAL(openat);
    char whole[PATH_MAX];
    if (!root_length || !absolute(at, path, whole) || kind_of(whole) == UNSEEN) {
        int fd = real_openat(at, path, flags, mode);
        forget(fd);
        return fd;
    }
    pthread_mutex_lock(&lock);
    struct stat before;
    int is_new = (flags & O_CREAT) && !(flags & O_TMPFILE & ~O_DIRECTORY) && stat(whole, &before) != 0;
    int fd = -1, kind = kind_of(whole);
    if (!(is_new && kind == RECORDED && fails('m', 1))) fd = real_openat(at, path, flags, mode);
    int kept = errno;
    if (fd >= 0 && fd < FDS) {
        if ((flags & O_TMPFILE) == O_TMPFILE) kind = SCRATCH;
        seen[fd] = kind;
        struct stat now;
        if (kind != SCRATCH && fstat(fd, &now) == 0) {
            if (is_new) record('C', now.st_ino, 0, whole, NULL, 0);
            else if ((flags & O_TRUNC) && S_ISREG(now.st_mode)) record('T', now.st_ino, 0, NULL, NULL, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    errno = kept;
    return fd;
}

#define MODE mode_t mode = 0; \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_at(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE return open_at(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    REAL(close);
    forget(fd);
    return real_close(fd);
}

static int is_seen(int fd) { return fd >= 0 && fd < FDS ? seen[fd] : UNSEEN; }

/* Every write comes here. `offset` is -1 for the file's own position. */
static ssize_t write_at(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(writev); REAL(pwritev);
    int kind = is_seen(fd);
    struct stat now;
    if (kind == UNSEEN || fstat(fd, &now) != 0 || !S_ISREG(now.st_mode))
        return offset < 0 ? real_writev(fd, parts, count) : real_pwritev(fd, parts, count, offset);
    size_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    pthread_mutex_lock(&lock);
    off_t at = offset;
    if (at < 0) at = fcntl(fd, F_GETFL) & O_APPEND ? now.st_size : lseek(fd, 0, SEEK_CUR);
    ssize_t done = -1;
    char what = kind == SCRATCH ? (control_says() == 'f' && at + (off_t)length > now.st_size ? 'f' : 0)
              : kind == MARKS ? 0 : action('w', at + (off_t)length > now.st_size);
    if (what == 'e' || what == 'f') errno = what == 'e' ? EIO : ENOSPC;
    else {
        char *flat = malloc(length + 1);
        size_t filled = 0;
        for (int i = 0; i < count; i++) { memcpy(flat + filled, parts[i].iov_base, parts[i].iov_len); filled += parts[i].iov_len; }
        struct iovec whole = { flat, (what == 's' || what == 'd') && length > 1 ? length / 2 : length };
        done = offset < 0 ? real_writev(fd, &whole, 1) : real_pwritev(fd, &whole, 1, offset);
        int kept = errno;
        if (done > 0 && kind != SCRATCH) record('W', now.st_ino, at, NULL, flat, done);
        free(flat);
        if (what == 'd') { record('K', 0, 0, NULL, NULL, 0); _exit(137); }
        errno = kept;
    }
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}

ssize_t write(int fd, const void *data, size_t length) {
    REAL(write);
    if (is_seen(fd) == UNSEEN) return real_write(fd, data, length);
    struct iovec one = { (void *)data, length };
    return write_at(fd, &one, 1, -1);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    struct iovec one = { (void *)data, length };
    return write_at(fd, &one, 1, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite(fd, data, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_at(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return write_at(fd, parts, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return write_at(fd, parts, count, offset); }

static int sync_file(int fd, int (*real)(int)) {
    struct stat now;
    if (is_seen(fd) != RECORDED || fstat(fd, &now) != 0) return real(fd);
    pthread_mutex_lock(&lock);
    int done = 0, kept = 0;
    char link[64], path[PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (fails('s', 0)) {
        done = -1; kept = errno;
        if (S_ISREG(now.st_mode)) record('F', now.st_ino, 0, NULL, NULL, 0);
    } else if (S_ISDIR(now.st_mode)) record('D', now.st_ino, 0, path, NULL, 0);
    /* The state after a power cut is worked out from the record: the real disk need not be waited for. */
    else record('S', now.st_ino, 0, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
int fsync(int fd) { REAL(fsync); return sync_file(fd, real_fsync); }
int fdatasync(int fd) { REAL(fdatasync); return sync_file(fd, real_fdatasync); }

static int cut(int fd, off_t length) {
    REAL(ftruncate);
    struct stat now;
    int kind = is_seen(fd);
    if (kind == UNSEEN || fstat(fd, &now) != 0) return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    int done = -1;
    /* A hole costs no space, so a full disk lets a file be lengthened. */
    if (kind == SCRATCH || !fails('m', 0)) done = real_ftruncate(fd, length);
    if (done == 0 && kind == RECORDED) record('T', now.st_ino, length, NULL, NULL, 0);
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

static int reserve(int fd, int mode, off_t offset, off_t length) {
    REAL(fallocate);
    struct stat now;
    int kind = is_seen(fd);
    if (kind == UNSEEN || fstat(fd, &now) != 0) return real_fallocate(fd, mode, offset, length);
    pthread_mutex_lock(&lock);
    int done = -1;
    if (kind == SCRATCH ? control_says() != 'f' : !fails('m', 1)) done = real_fallocate(fd, mode, offset, length);
    else errno = ENOSPC;
    if (done == 0 && kind == RECORDED && mode == 0 && offset + length > now.st_size)
        record('T', now.st_ino, offset + length, NULL, NULL, 0);
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return reserve(fd, mode, offset, length); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return reserve(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return reserve(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return reserve(fd, 0, offset, length) ? errno : 0; }

/* A change of names: `type` is recorded with the name, and the new name as data. */
#define NAMED(type, at, path, lengthens, call, new_at, new_path) \
    char whole[PATH_MAX], other[PATH_MAX] = ""; \
    if (!root_length || !absolute(at, path, whole) || (new_path && !absolute(new_at, new_path ? new_path : "", other)) || \
        kind_of(whole) != RECORDED) return call; \
    pthread_mutex_lock(&lock); \
    int done = fails('m', lengthens) ? -1 : call, kept = errno; \
    if (done == 0) { const char *to = is_below(other) ? other + root_length : other; record(type, 0, 0, whole, to, strlen(to)); } \
    pthread_mutex_unlock(&lock); \
    errno = kept; \
    return done;
#define NONE ((const char *)0)

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    REAL(renameat2);
    NAMED('N', from_at, from, 0, real_renameat2(from_at, from, to_at, to, flags), to_at, to)
}
int renameat(int from_at, const char *from, int to_at, const char *to) { return renameat2(from_at, from, to_at, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    REAL(linkat);
    NAMED('L', from_at, from, 1, real_linkat(from_at, from, to_at, to, flags), to_at, to)
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int unlinkat(int at, const char *path, int flags) {
    REAL(unlinkat);
    NAMED(flags & AT_REMOVEDIR ? 'R' : 'U', at, path, 0, real_unlinkat(at, path, flags), AT_FDCWD, NONE)
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int at, const char *path, mode_t mode) {
    REAL(mkdirat);
    NAMED('M', at, path, 1, real_mkdirat(at, path, mode), AT_FDCWD, NONE)
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
