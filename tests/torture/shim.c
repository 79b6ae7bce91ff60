/* Faults below a process: what it writes is lost at a kill unless it was synced, the disk is full, slow or broken, the
 * clock jumps. Preloaded (LD_PRELOAD) into a daemon whose files lie below TORTURE_DIRECTORY.
 *
 * Every write goes through to the file, and before that into the journal TORTURE_JOURNAL with what it replaces; a sync
 * puts a mark there. Who kills the process undoes from the journal what no sync followed, whole or in part, as
 * tests/torture/power.py does. TORTURE_CONTROL is a file of one struct control, mapped, that may change at any time.
 *
 * A record of the journal: kind (1 byte), then 64 bit little endian: length of the path, offset, length, size of the
 * file before; then the path, the new bytes, and the old bytes as far as the file had any. Kinds: W write, T truncate
 * (length is the new size, old bytes are what is cut off), S sync, C created, U unlinked (the bytes are in the journal).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    int32_t write_errno; /* what writing and creating fail with, 0 for nothing */
    int32_t sync_errno;  /* what syncing fails with */
    int32_t sync_delay;  /* milliseconds that a sync takes longer */
    int32_t sync_lies;   /* a sync does nothing, and says that it did */
    int64_t clock_offset; /* seconds that the wall clock is ahead */
    int32_t read_errno;  /* what reading fails with */
    int32_t unused;
};

static struct control nothing;
static struct control *control = &nothing;
static int journal = -1;
static char directory[4096];
static size_t directory_length;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CACHED(name) static __typeof__(&name) real; if (!real) real = REAL(name)

__attribute__((constructor)) static void begin(void)
{
    const char *place = getenv("TORTURE_DIRECTORY"), *file = getenv("TORTURE_JOURNAL");
    const char *controls = getenv("TORTURE_CONTROL");
    if (place && file) {
        snprintf(directory, sizeof directory, "%s/", place);
        directory_length = strlen(directory);
        journal = REAL(open64)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    if (controls) {
        int fd = REAL(open64)(controls, O_RDWR | O_CLOEXEC);
        void *found = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (found != MAP_FAILED)
            control = found;
        if (fd >= 0)
            close(fd);
    }
}

/* The path of a file of ours, 0 for any other; the index of the write-ahead log need not survive. */
static int ours(const char *path)
{
    size_t length = strlen(path);
    if (!directory_length || strncmp(path, directory, directory_length))
        return 0;
    return length < 4 || (strcmp(path + length - 4, "-shm") && strcmp(path + length - 5, ".lock"));
}

static int path_of(int fd, char *path, size_t size)
{
    char link[64];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = directory_length ? readlink(link, path, size - 1) : -1;
    errno = saved;
    if (length < 0)
        return 0;
    path[length] = 0;
    if (length + 1 == (ssize_t)directory_length && !strncmp(path, directory, length))
        return 1;
    return ours(path);
}

/* Nothing that follows would be true. */
static void broken(int where)
{
    dprintf(2, "shim: broken at %d: %s\n", where, strerror(errno));
    abort();
}

static void record(char kind, const char *path, int64_t offset, int64_t length, int64_t size, const void *new,
                   int64_t new_length, const void *old, int64_t old_length)
{
    int64_t head[4] = {(int64_t)strlen(path), offset, length, size};
    size_t total = 1 + sizeof head + head[0] + new_length + old_length, at = 0;
    char *bytes = malloc(total);
    if (!bytes || journal < 0)
        broken(1);
    bytes[at++] = kind;
    memcpy(bytes + at, head, sizeof head);
    at += sizeof head;
    memcpy(bytes + at, path, head[0]);
    at += head[0];
    if (new_length)
        memcpy(bytes + at, new, new_length);
    at += new_length;
    if (old_length)
        memcpy(bytes + at, old, old_length);
    if (REAL(write)(journal, bytes, total) != (ssize_t)total)
        broken(2);
    free(bytes);
}

/* Note a write at an offset together with what it replaces. */
static void note_write(int fd, const char *path, const void *data, size_t length, int64_t offset)
{
    struct stat64 found;
    if (fstat64(fd, &found))
        return;
    int64_t before = found.st_size - offset;
    int64_t old_length = before < 0 ? 0 : before > (int64_t)length ? (int64_t)length : before;
    char *old = malloc(old_length + 1);
    int descriptor = REAL(open64)(path, O_RDONLY | O_CLOEXEC);
    if (!old || descriptor < 0 || REAL(pread64)(descriptor, old, old_length, offset) != old_length)
        broken(3);
    close(descriptor);
    record('W', path, offset, length, found.st_size, data, length, old, old_length);
    free(old);
}

static int refused(const int32_t *fault)
{
    int found = __atomic_load_n(fault, __ATOMIC_RELAXED);
    if (found)
        errno = found;
    return found;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    char path[4096];
    CACHED(pwrite64);
    if (!path_of(fd, path, sizeof path))
        return real(fd, data, length, offset);
    if (refused(&control->write_errno))
        return -1;
    pthread_mutex_lock(&lock);
    note_write(fd, path, data, length, offset);
    ssize_t done = real(fd, data, length, offset);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite64(fd, data, length, offset);
}

ssize_t write(int fd, const void *data, size_t length)
{
    char path[4096];
    CACHED(write);
    if (!path_of(fd, path, sizeof path))
        return real(fd, data, length);
    if (refused(&control->write_errno))
        return -1;
    pthread_mutex_lock(&lock);
    struct stat64 found;
    int64_t offset = fcntl(fd, F_GETFL) & O_APPEND && !fstat64(fd, &found) ? found.st_size : lseek64(fd, 0, SEEK_CUR);
    note_write(fd, path, data, length, offset);
    ssize_t done = real(fd, data, length);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pread64(int fd, void *data, size_t length, off64_t offset)
{
    char path[4096];
    CACHED(pread64);
    if (control->read_errno && path_of(fd, path, sizeof path) && refused(&control->read_errno))
        return -1;
    return real(fd, data, length, offset);
}

int ftruncate64(int fd, off64_t size)
{
    char path[4096];
    struct stat64 found;
    CACHED(ftruncate64);
    if (!path_of(fd, path, sizeof path))
        return real(fd, size);
    if (refused(&control->write_errno))
        return -1;
    pthread_mutex_lock(&lock);
    if (!fstat64(fd, &found)) {
        int64_t cut = found.st_size > size ? found.st_size - size : 0;
        char *old = malloc(cut + 1);
        int descriptor = REAL(open64)(path, O_RDONLY | O_CLOEXEC);
        if (!old || descriptor < 0 || REAL(pread64)(descriptor, old, cut, size) != cut)
            broken(4);
        close(descriptor);
        record('T', path, size, size, found.st_size, NULL, 0, old, cut);
        free(old);
    }
    int done = real(fd, size);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

static int synced(int fd, int (*real)(int))
{
    char path[4096];
    if (!path_of(fd, path, sizeof path))
        return real(fd);
    int delay = __atomic_load_n(&control->sync_delay, __ATOMIC_RELAXED);
    if (delay)
        usleep(1000 * delay);
    if (refused(&control->sync_errno))
        return -1;
    if (!control->sync_lies) {
        pthread_mutex_lock(&lock);
        record('S', path, 0, 0, 0, NULL, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return 0; /* the journal is the disk here, and the machine does not really lose its power */
}

int fsync(int fd)
{
    return synced(fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return synced(fd, REAL(fdatasync));
}

static int opened(int at, const char *path, int flags, mode_t mode, int (*real)(int, const char *, int, ...))
{
    char absolute[4096];
    int missing = 0;
    if (path[0] == '/' && ours(path)) {
        snprintf(absolute, sizeof absolute, "%s", path);
        missing = flags & O_CREAT && access(path, F_OK);
        if (((flags & O_ACCMODE) != O_RDONLY || missing) && control->write_errno == EROFS && refused(&control->write_errno))
            return -1;
        if (missing && refused(&control->write_errno))
            return -1;
        if (flags & O_TRUNC && !missing) {
            int before = real(at, path, (flags & ~(O_TRUNC | O_CREAT | O_EXCL)), mode);
            if (before >= 0) {
                ftruncate64(before, 0);
                close(before);
            }
        }
    }
    int fd = real(at, path, flags, mode);
    if (fd >= 0 && missing) {
        pthread_mutex_lock(&lock);
        record('C', absolute, 0, 0, 0, NULL, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list list; \
        va_start(list, last); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

int open64(const char *path, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode, REAL(openat64));
}

int open(const char *path, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode, REAL(openat64));
}

int openat64(int at, const char *path, int flags, ...)
{
    MODE(flags)
    return opened(at, path, flags, mode, REAL(openat64));
}

int unlink(const char *path)
{
    CACHED(unlink);
    struct stat64 found;
    if (path[0] == '/' && ours(path) && !stat64(path, &found) && S_ISREG(found.st_mode)) {
        int fd = REAL(open64)(path, O_RDONLY | O_CLOEXEC);
        char *old = malloc(found.st_size + 1);
        if (!old || fd < 0 || REAL(pread64)(fd, old, found.st_size, 0) != found.st_size)
            broken(5);
        close(fd);
        pthread_mutex_lock(&lock);
        record('U', path, 0, 0, found.st_size, NULL, 0, old, found.st_size);
        pthread_mutex_unlock(&lock);
        free(old);
    }
    return real(path);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    CACHED(clock_gettime);
    int done = real(clock, time);
    if (!done && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += control->clock_offset;
    return done;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    CACHED(gettimeofday);
    int done = real(time, zone);
    if (!done)
        time->tv_sec += control->clock_offset;
    return done;
}

time_t time(time_t *where)
{
    CACHED(time);
    time_t found = real(NULL) + control->clock_offset;
    if (where)
        *where = found;
    return found;
}
