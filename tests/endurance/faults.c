/* Disturbs one call of a process: preloaded, armed by a forked child for the files below two folders.

   Every call on a file there is counted and logged on a page that the test shares: its name, what it may suffer, its
   path. The N-th call that the fault suits suffers it. What changes files can be recorded too, with its data and in
   order, so that a test can build what a power cut would leave. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* As in faults.py. */
enum fault { NONE, KILL_BEFORE, KILL_AFTER, TORN, EIO_ERROR, ENOSPC_ERROR, SHORT, STOP };
enum suits { CHANGES = 1, WRITES = 2, READS = 4, ROOM = 8, FAILED = 16 };

#define LOGGED 8192
#define LONG 1024 /* of paths */
struct entry {
    int32_t suits;
    char call[20];
    char path[232];
};
struct page {
    int64_t logged, suited, struck;
    struct entry log[LOGGED];
};

static struct page *page;
static enum fault fault;
static long nth;
static char roots[2][LONG];
static int record = -1;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

struct call {
    const char *name;
    int suits;
    int watched, cut, kill;
    struct entry *entry;
    char path[LONG], other[LONG];
};

/* Begins to count and to disturb; `recorded` may be empty. */
int arm(const char *shared, const char *out, const char *source, int which, long number, const char *recorded) {
    int fd = syscall(SYS_openat, AT_FDCWD, shared, O_RDWR);
    if (fd < 0) return -1;
    struct page *found = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (found == MAP_FAILED) return -1;
    snprintf(roots[0], LONG, "%s", out);
    snprintf(roots[1], LONG, "%s", source);
    fault = which;
    nth = number;
    if (*recorded) record = syscall(SYS_openat, AT_FDCWD, recorded, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    page = found;
    return 0;
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

static int below(const char *path) {
    for (int n = 0; n < 2; n++) {
        size_t size = strlen(roots[n]);
        if (size && !strncmp(path, roots[n], size) && (path[size] == '/' || !path[size])) return 1;
    }
    return 0;
}

static void fd_path(int fd, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, path, LONG - 1);
    path[size < 0 ? 0 : size] = 0;
}

static void at_path(int folder, const char *name, char *path) {
    if (folder == AT_FDCWD || *name == '/') {
        snprintf(path, LONG, "%s", name);
    } else {
        fd_path(folder, path);
        size_t size = strlen(path);
        snprintf(path + size, LONG - size, "/%s", name);
    }
}

static int suited(int suits) {
    switch (fault) {
        case KILL_BEFORE: case KILL_AFTER: case STOP: return suits & CHANGES;
        case TORN: return suits & WRITES;
        case SHORT: return suits & (WRITES | READS);
        case ENOSPC_ERROR: return suits & ROOM;
        case EIO_ERROR: return 1;
        default: return 0;
    }
}

/* Counts a call; -1 where it fails. Otherwise the caller makes it, in full or cut, and then calls `done`. */
static int reach(struct call *call) {
    if (!page || !(call->watched = below(call->path) || (*call->other && below(call->other)))) return 0;
    int64_t number = __atomic_fetch_add(&page->logged, 1, __ATOMIC_SEQ_CST);
    if (number < LOGGED) {
        struct entry *entry = call->entry = &page->log[number];
        entry->suits = call->suits;
        snprintf(entry->call, sizeof entry->call, "%s", call->name);
        snprintf(entry->path, sizeof entry->path, "%.231s", call->path);
    }
    if (suited(call->suits)) {
        int64_t turn = __atomic_add_fetch(&page->suited, 1, __ATOMIC_SEQ_CST);
        /* A full disk stays full, and a process is stopped again and again. */
        int now = turn == nth || (fault == ENOSPC_ERROR && turn > nth) || (fault == STOP && turn % nth == 0);
        if (turn == nth) page->struck = number + 1;
        if (now) switch (fault) {
            case KILL_BEFORE: die();
            case STOP: syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGSTOP); break;
            case KILL_AFTER: call->kill = 1; break;
            case TORN: call->cut = call->kill = 1; break;
            case SHORT: call->cut = 1; break;
            case EIO_ERROR: errno = EIO; return -1;
            case ENOSPC_ERROR: errno = ENOSPC; return -1;
            default: break;
        }
    }
    if (record >= 0 && call->suits & CHANGES) pthread_mutex_lock(&order);
    return 0;
}

struct change {
    char call[20];
    uint32_t path, other;
    uint64_t inode, folder;
    int64_t offset, size;
};

static void put(const void *data, size_t size) {
    while (size) {
        long n = syscall(SYS_write, record, data, size);
        if (n <= 0) die();
        data = (const char *)data + n;
        size -= n;
    }
}

/* What a call has changed; `size` bytes of data follow where it wrote some. */
static void note(const struct call *call, int fd, int64_t offset, int64_t size, const void *data) {
    struct change change = {.path = strlen(call->path), .other = strlen(call->other), .offset = offset, .size = size};
    struct stat about;
    snprintf(change.call, sizeof change.call, "%s", call->name);
    if (fd >= 0 && !syscall(SYS_newfstatat, fd, "", &about, AT_EMPTY_PATH)) change.inode = about.st_ino;
    change.folder = fd >= 0 && S_ISDIR(about.st_mode);
    put(&change, sizeof change);
    put(call->path, change.path);
    put(call->other, change.other);
    if (data) put(data, size);
}

static long done(struct call *call, long result) {
    int kept = errno;
    if (call->entry && result < 0) call->entry->suits |= FAILED;
    if (call->watched && record >= 0 && call->suits & CHANGES) pthread_mutex_unlock(&order);
    if (call->kill) die();
    errno = kept;
    return result;
}

static int noting(const struct call *call, long result) { return call->watched && record >= 0 && result >= 0; }

#define PATH_CALL(NAME, SUITS, FOLDER, PATH) \
    struct call call = {.name = NAME, .suits = SUITS}; \
    if (page) at_path(FOLDER, PATH, call.path); \
    if (reach(&call)) return -1
#define FD_CALL(NAME, SUITS, FD) \
    struct call call = {.name = NAME, .suits = SUITS}; \
    if (page) fd_path(FD, call.path); \
    if (reach(&call)) return -1

static int opens(int folder, const char *path, int flags, int mode) {
    int makes = flags & (O_CREAT | O_TRUNC);
    PATH_CALL("open", makes ? CHANGES | ROOM : 0, folder, path);
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    if (makes && noting(&call, fd)) note(&call, fd, flags & O_TRUNC ? 0 : -1, 0, NULL);
    return done(&call, fd);
}

static int mode_of(int flags, va_list more) { return flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, int) : 0; }

#define OPEN(NAME) \
    int NAME(const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); int mode = mode_of(flags, more); va_end(more); \
        return opens(AT_FDCWD, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(NAME) \
    int NAME(int folder, const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); int mode = mode_of(flags, more); va_end(more); \
        return opens(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    struct call call = {.name = "close"};
    if (page) fd_path(fd, call.path);
    int failed = reach(&call), kept = errno;
    int result = syscall(SYS_close, fd);
    if (!failed) return result;
    errno = kept;
    return -1;
}

static size_t half(const struct call *call, size_t size) { return call->cut && size > 1 ? size / 2 : size; }

#define WRITING (CHANGES | WRITES | ROOM)

ssize_t write(int fd, const void *data, size_t size) {
    FD_CALL("write", WRITING, fd);
    ssize_t result = syscall(SYS_write, fd, data, half(&call, size));
    if (noting(&call, result)) note(&call, fd, syscall(SYS_lseek, fd, 0, SEEK_CUR) - result, result, data);
    return done(&call, result);
}

static ssize_t writes_at(int fd, const void *data, size_t size, off_t offset) {
    FD_CALL("pwrite", WRITING, fd);
    ssize_t result = syscall(SYS_pwrite64, fd, data, half(&call, size), offset);
    if (noting(&call, result)) note(&call, fd, offset, result, data);
    return done(&call, result);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return writes_at(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return writes_at(fd, data, size, offset); }

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    if (!page) return syscall(SYS_writev, fd, pieces, count);
    /* Gathered, so that half of it can be written. */
    size_t size = 0, at = 0;
    for (int n = 0; n < count; n++) size += pieces[n].iov_len;
    char *data = malloc(size + 1);
    for (int n = 0; n < count; at += pieces[n++].iov_len) memcpy(data + at, pieces[n].iov_base, pieces[n].iov_len);
    ssize_t result = write(fd, data, size);
    int kept = errno;
    free(data);
    errno = kept;
    return result;
}

static void note_copied(const struct call *call, int fd, int64_t offset, size_t size) {
    char link[40], *data = malloc(size + 1);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY);
    if (again < 0 || syscall(SYS_pread64, again, data, size, offset) != (long)size) die();
    note(call, fd, offset, size, data);
    syscall(SYS_close, again);
    free(data);
}

ssize_t copy_file_range(int from, off_t *start, int fd, off_t *offset, size_t size, unsigned flags) {
    FD_CALL("copy_file_range", WRITING, fd);
    int64_t at = offset ? *offset : syscall(SYS_lseek, fd, 0, SEEK_CUR);
    ssize_t result = syscall(SYS_copy_file_range, from, start, fd, offset, half(&call, size), flags);
    if (noting(&call, result)) note_copied(&call, fd, at, result);
    return done(&call, result);
}

static ssize_t sends(int fd, int from, off_t *start, size_t size) {
    FD_CALL("sendfile", WRITING, fd);
    int64_t at = syscall(SYS_lseek, fd, 0, SEEK_CUR);
    ssize_t result = syscall(SYS_sendfile, fd, from, start, half(&call, size));
    if (noting(&call, result)) note_copied(&call, fd, at, result);
    return done(&call, result);
}
ssize_t sendfile(int fd, int from, off_t *start, size_t size) { return sends(fd, from, start, size); }
ssize_t sendfile64(int fd, int from, off_t *start, size_t size) { return sends(fd, from, start, size); }

/* A short read takes half of what there was: half of what was asked for may be more than a small file holds. */
ssize_t read(int fd, void *data, size_t size) {
    FD_CALL("read", READS, fd);
    ssize_t result = syscall(SYS_read, fd, data, size);
    if (call.cut && result > 1 && syscall(SYS_lseek, fd, result / 2 - result, SEEK_CUR) >= 0) result /= 2;
    return result;
}
static ssize_t reads_at(int fd, void *data, size_t size, off_t offset) {
    FD_CALL("pread", READS, fd);
    ssize_t result = syscall(SYS_pread64, fd, data, size, offset);
    return call.cut && result > 1 ? result / 2 : result;
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) { return reads_at(fd, data, size, offset); }
ssize_t pread64(int fd, void *data, size_t size, off_t offset) { return reads_at(fd, data, size, offset); }

static ssize_t reads_all_at(int fd, const struct iovec *pieces, int count, off_t offset) {
    FD_CALL("preadv", READS, fd);
    ssize_t result = syscall(SYS_preadv, fd, pieces, (long)count, (long)offset, 0L);
    return call.cut && result > 1 ? result / 2 : result;
}
ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t offset) {
    return reads_all_at(fd, pieces, count, offset);
}
ssize_t preadv64(int fd, const struct iovec *pieces, int count, off_t offset) {
    return reads_all_at(fd, pieces, count, offset);
}

#define SYNC(NAME) \
    int NAME(int fd) { \
        FD_CALL("fsync", CHANGES | ROOM, fd); \
        int result = syscall(SYS_##NAME, fd); \
        if (noting(&call, result)) note(&call, fd, 0, 0, NULL); \
        return done(&call, result); \
    }
SYNC(fsync)
SYNC(fdatasync)

static int truncates(int fd, off_t size) {
    FD_CALL("truncate", CHANGES, fd);
    int result = syscall(SYS_ftruncate, fd, size);
    if (noting(&call, result)) note(&call, fd, size, 0, NULL);
    return done(&call, result);
}
int ftruncate(int fd, off_t size) { return truncates(fd, size); }
int ftruncate64(int fd, off_t size) { return truncates(fd, size); }

static int allocates(int fd, int mode, off_t offset, off_t size) {
    FD_CALL("fallocate", CHANGES | ROOM, fd);
    return done(&call, syscall(SYS_fallocate, fd, mode, offset, size));
}
int fallocate(int fd, int mode, off_t offset, off_t size) { return allocates(fd, mode, offset, size); }
int fallocate64(int fd, int mode, off_t offset, off_t size) { return allocates(fd, mode, offset, size); }
/* These return the error's number. */
int posix_fallocate(int fd, off_t offset, off_t size) { return allocates(fd, 0, offset, size) ? errno : 0; }
int posix_fallocate64(int fd, off_t offset, off_t size) { return allocates(fd, 0, offset, size) ? errno : 0; }

static int renames(int from, const char *path, int to, const char *other, unsigned flags) {
    struct call call = {.name = "rename", .suits = CHANGES};
    if (page) at_path(from, path, call.path), at_path(to, other, call.other);
    if (reach(&call)) return -1;
    int result = syscall(SYS_renameat2, from, path, to, other, flags);
    if (noting(&call, result)) note(&call, -1, 0, 0, NULL);
    return done(&call, result);
}
int rename(const char *path, const char *other) { return renames(AT_FDCWD, path, AT_FDCWD, other, 0); }
int renameat(int from, const char *path, int to, const char *other) { return renames(from, path, to, other, 0); }
int renameat2(int from, const char *path, int to, const char *other, unsigned flags) {
    return renames(from, path, to, other, flags);
}

static int links(int from, const char *path, int to, const char *other, int flags) {
    struct call call = {.name = "link", .suits = CHANGES | ROOM};
    if (page) at_path(from, path, call.path), at_path(to, other, call.other);
    if (reach(&call)) return -1;
    int result = syscall(SYS_linkat, from, path, to, other, flags);
    if (noting(&call, result)) note(&call, -1, 0, 0, NULL);
    return done(&call, result);
}
int link(const char *path, const char *other) { return links(AT_FDCWD, path, AT_FDCWD, other, 0); }
int linkat(int from, const char *path, int to, const char *other, int flags) {
    return links(from, path, to, other, flags);
}

static int removes(const char *name, int folder, const char *path, int flags) {
    PATH_CALL(name, CHANGES, folder, path);
    int result = syscall(SYS_unlinkat, folder, path, flags);
    if (noting(&call, result)) note(&call, -1, 0, 0, NULL);
    return done(&call, result);
}
int unlink(const char *path) { return removes("unlink", AT_FDCWD, path, 0); }
int rmdir(const char *path) { return removes("rmdir", AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int folder, const char *path, int flags) {
    return removes(flags & AT_REMOVEDIR ? "rmdir" : "unlink", folder, path, flags);
}

static int makes(int folder, const char *path, mode_t mode) {
    PATH_CALL("mkdir", CHANGES | ROOM, folder, path);
    int result = syscall(SYS_mkdirat, folder, path, mode);
    if (noting(&call, result)) note(&call, -1, 0, 0, NULL);
    return done(&call, result);
}
int mkdir(const char *path, mode_t mode) { return makes(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return makes(folder, path, mode); }

int flock(int fd, int operation) {
    FD_CALL("flock", CHANGES, fd);
    return done(&call, syscall(SYS_flock, fd, operation));
}

static int controls(int fd, int command, long argument) {
    if (!page || (command != F_SETLK && command != F_SETLKW)) return syscall(SYS_fcntl, fd, command, argument);
    FD_CALL("lock", CHANGES, fd);
    return done(&call, syscall(SYS_fcntl, fd, command, argument));
}
#define CONTROL(NAME) \
    int NAME(int fd, int command, ...) { \
        va_list more; va_start(more, command); long argument = va_arg(more, long); va_end(more); \
        return controls(fd, command, argument); \
    }
CONTROL(fcntl)
CONTROL(fcntl64)

static int looks(int folder, const char *path, void *about, int flags) {
    if (flags & AT_EMPTY_PATH && !*path) {
        FD_CALL("stat", 0, folder);
        return syscall(SYS_newfstatat, folder, path, about, flags);
    }
    PATH_CALL("stat", 0, folder, path);
    return syscall(SYS_newfstatat, folder, path, about, flags);
}
int stat(const char *path, struct stat *about) { return looks(AT_FDCWD, path, about, 0); }
int stat64(const char *path, struct stat64 *about) { return looks(AT_FDCWD, path, about, 0); }
int lstat(const char *path, struct stat *about) { return looks(AT_FDCWD, path, about, AT_SYMLINK_NOFOLLOW); }
int lstat64(const char *path, struct stat64 *about) { return looks(AT_FDCWD, path, about, AT_SYMLINK_NOFOLLOW); }
int fstat(int fd, struct stat *about) { return looks(fd, "", about, AT_EMPTY_PATH); }
int fstat64(int fd, struct stat64 *about) { return looks(fd, "", about, AT_EMPTY_PATH); }
int fstatat(int folder, const char *path, struct stat *about, int flags) { return looks(folder, path, about, flags); }
int fstatat64(int folder, const char *path, struct stat64 *about, int flags) {
    return looks(folder, path, about, flags);
}

DIR *opendir(const char *path) {
    static DIR *(*real)(const char *);
    if (!real) real = dlsym(RTLD_NEXT, "opendir");
    struct call call = {.name = "opendir"};
    if (page) at_path(AT_FDCWD, path, call.path);
    return reach(&call) ? NULL : real(path);
}

static struct dirent64 *lists(DIR *folder, const char *name) {
    struct call call = {.name = "readdir"};
    if (page) fd_path(dirfd(folder), call.path);
    if (reach(&call)) return NULL;
    return ((struct dirent64 * (*)(DIR *)) dlsym(RTLD_NEXT, name))(folder);
}
struct dirent64 *readdir64(DIR *folder) { return lists(folder, "readdir64"); }
