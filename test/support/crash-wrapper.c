/*
 * A library that is loaded in front of the C library (LD_PRELOAD). It numbers the system calls that a
 * process makes below one folder, over all its threads, writes each to a log, and lets the n-th fail or
 * kill the process. strace can do neither: it counts for each thread by itself, and chooses by whole
 * paths, which temporary files do not have twice.
 *
 *   MSTORE_CRASH_ROOT  folder below which calls count
 *   MSTORE_CRASH_LOG   file to append a line to for each call
 *   MSTORE_CRASH_DATA  file to append all bytes to that are written (optional)
 *   MSTORE_CRASH_AT    number of the call that fails, from 1 (optional)
 *   MSTORE_CRASH_HOW   kill, torn, ENOSPC, EIO, EMFILE or EACCES
 *
 * kill ends the process before the call, torn in the middle of a write. ENOSPC stays: a write stores
 * one half, and nothing can be made or written from then on. The others happen once.
 *
 * A line of the log: number, call, result (0, or an errno below 0), descriptor, offset, length, offset in
 * the file of bytes, path, second path; tabs between them. What has no number is no point for a fault.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX 65536

static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1, data_fd = -1;
static long data_end, calls, fault_at;
static const char *how = "";
static int disk_full;
static char *paths[FDS_MAX];
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...)                       \
  static type (*real)(__VA_ARGS__);                 \
  if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t real_write(int fd, const void *bytes, size_t length) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return real(fd, bytes, length);
}

static ssize_t real_pwrite(int fd, const void *bytes, size_t length, off64_t offset) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  return real(fd, bytes, length, offset);
}

static int real_open(const char *path, int flags, mode_t mode) {
  REAL(int, "open64", const char *, int, ...);
  return real(path, flags, mode);
}

/* A high descriptor, so that those of the program are the same as without us. */
static int open_log(const char *name) {
  const char *path = getenv(name);
  if (path == NULL || path[0] == 0) return -1;
  int fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  int high = fcntl(fd, F_DUPFD_CLOEXEC, 900);
  close(fd);
  return high;
}

__attribute__((constructor)) static void begin(void) {
  const char *folder = getenv("MSTORE_CRASH_ROOT");
  if (folder == NULL) return;
  root_length = strlen(folder);
  memcpy(root, folder, root_length + 1);
  log_fd = open_log("MSTORE_CRASH_LOG");
  data_fd = open_log("MSTORE_CRASH_DATA");
  const char *at = getenv("MSTORE_CRASH_AT");
  fault_at = at == NULL ? 0 : atol(at);
  const char *chosen = getenv("MSTORE_CRASH_HOW");
  if (chosen != NULL) how = strdup(chosen);
  /* Programs that this one starts are not the ones under test. */
  unsetenv("LD_PRELOAD");
}

/* Makes a path absolute; returns NULL where it is not below the root. */
static const char *below(const char *path, char *buffer) {
  if (root_length == 0 || path == NULL) return NULL;
  if (path[0] != '/') {
    if (getcwd(buffer, PATH_MAX) == NULL) return NULL;
    size_t length = strlen(buffer);
    if (length + strlen(path) + 2 > PATH_MAX) return NULL;
    if (strcmp(path, ".") != 0) {
      buffer[length] = '/';
      strcpy(buffer + length + 1, path);
    }
    path = buffer;
  }
  if (strncmp(path, root, root_length) != 0) return NULL;
  return path[root_length] == '/' || path[root_length] == 0 ? path : NULL;
}

static const char *path_of(int fd) {
  return fd >= 0 && fd < FDS_MAX ? paths[fd] : NULL;
}

struct line {
  const char *call;
  int fd;
  long offset, length, data;
  const char *path, *second;
};

static void write_line(long number, const struct line *line, int result) {
  char text[3 * PATH_MAX];
  int length = snprintf(text, sizeof text, "%ld\t%s\t%d\t%d\t%ld\t%ld\t%ld\t%s\t%s\n", number, line->call,
                        result, line->fd, line->offset, line->length, line->data,
                        line->path ? line->path : "", line->second ? line->second : "");
  if (length > 0 && log_fd >= 0) real_write(log_fd, text, (size_t)length);
}

static void die(const struct line *line, long number) {
  write_line(number, line, -EINTR);
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

enum kind { READING, MAKING, WRITING, CHANGING, FLUSHING };

/* What a call is to do. */
enum verdict { GO_ON = 0, HALF = -1, HALF_AND_DIE = -2 };

static int errno_of(const char *name) {
  if (strcmp(name, "ENOSPC") == 0) return ENOSPC;
  if (strcmp(name, "EIO") == 0) return EIO;
  if (strcmp(name, "EMFILE") == 0) return EMFILE;
  if (strcmp(name, "EACCES") == 0) return EACCES;
  return EINVAL;
}

/* Numbers a call; returns a verdict, or the errno that it fails with. The turn is held. */
static int judge(struct line *line, enum kind kind, long *number) {
  *number = ++calls;
  if (*number != fault_at) return disk_full && (kind == MAKING || kind == WRITING) ? ENOSPC : GO_ON;
  if (strcmp(how, "kill") == 0) die(line, *number);
  if (strcmp(how, "torn") == 0) {
    if (kind != WRITING || line->length < 2) die(line, *number);
    return HALF_AND_DIE;
  }
  int error = errno_of(how);
  if (error != ENOSPC) return error;
  disk_full = 1;
  return kind == WRITING && line->length > 1 ? HALF : ENOSPC;
}

static long keep_bytes(const void *bytes, ssize_t length) {
  if (data_fd < 0 || length <= 0) return -1;
  long at = data_end;
  for (ssize_t done = 0; done < length;) {
    ssize_t written = real_write(data_fd, (const char *)bytes + done, (size_t)(length - done));
    if (written <= 0) abort();
    done += written;
  }
  data_end += length;
  return at;
}

/* Runs a call that has no bytes: fails it, or writes what came of it. */
#define CALL(kind, ...)                                     \
  struct line line = {__VA_ARGS__};                         \
  long number;                                              \
  pthread_mutex_lock(&turn);                                \
  int verdict = judge(&line, kind, &number);                \
  int result = -1;                                          \
  if (verdict == GO_ON) result = real(ARGUMENTS);           \
  else errno = verdict;                                     \
  int saved = errno;                                        \
  write_line(number, &line, result < 0 ? -saved : 0);       \
  pthread_mutex_unlock(&turn);                              \
  errno = saved;                                            \
  return result

static int opened(const char *path, const char *given, int at, int flags, mode_t mode) {
  REAL(int, "openat64", int, const char *, int, ...);
  struct stat stat;
  int there = fstatat(at, given, &stat, 0) == 0;
  int making = (flags & O_CREAT) != 0 && !there;
  const char *call = making ? "create" : (flags & O_ACCMODE) == O_RDONLY ? "open" : "open-write";
  struct line line = {call, -1, flags & O_TRUNC ? 1 : 0, (long)mode, -1, path, NULL};
  long number;
  pthread_mutex_lock(&turn);
  int verdict = judge(&line, making ? MAKING : (flags & O_TRUNC) ? CHANGING : READING, &number);
  int fd = -1;
  if (verdict == GO_ON) fd = real(at, given, flags, mode);
  else errno = verdict < 0 ? ENOSPC : verdict;
  int saved = errno;
  if (fd >= 0 && fd < FDS_MAX) {
    free(paths[fd]);
    paths[fd] = strdup(path);
    if (making && fstat(fd, &stat) == 0) line.length = stat.st_mode & 0777;
  }
  line.fd = fd;
  write_line(number, &line, fd < 0 ? -saved : 0);
  pthread_mutex_unlock(&turn);
  errno = saved;
  return fd;
}

static mode_t mode_of(int flags, va_list list) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? (mode_t)va_arg(list, int) : 0;
}

static int open_any(int at, const char *given, int flags, mode_t mode) {
  REAL(int, "openat64", int, const char *, int, ...);
  char buffer[PATH_MAX];
  const char *path = below(given, buffer);
  return path == NULL ? real(at, given, flags, mode) : opened(path, given, at, flags, mode);
}

#define OPEN(name)                                  \
  int name(const char *path, int flags, ...) {      \
    va_list list;                                   \
    va_start(list, flags);                          \
    mode_t mode = mode_of(flags, list);             \
    va_end(list);                                   \
    return open_any(AT_FDCWD, path, flags, mode);   \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                      \
  int name(int at, const char *path, int flags, ...) {    \
    va_list list;                                         \
    va_start(list, flags);                                \
    mode_t mode = mode_of(flags, list);                   \
    va_end(list);                                         \
    return open_any(at, path, flags, mode);               \
  }
OPENAT(openat)
OPENAT(openat64)

/* Must come before the call: from then on the number may be that of another file. */
static void forget(int fd) {
  if (path_of(fd) == NULL) return;
  pthread_mutex_lock(&turn);
  struct line line = {"close", fd, 0, 0, -1, path_of(fd), NULL};
  write_line(0, &line, 0);
  free(paths[fd]);
  paths[fd] = NULL;
  pthread_mutex_unlock(&turn);
}

int close(int fd) {
  REAL(int, "close", int);
  forget(fd);
  return real(fd);
}

/* All writes end here; an offset below 0 is the position of the descriptor. */
static ssize_t written(const char *call, int fd, const void *bytes, size_t length, off64_t offset) {
  off64_t at = offset < 0 ? lseek64(fd, 0, SEEK_CUR) : offset;
  struct line line = {call, fd, (long)at, (long)length, -1, path_of(fd), NULL};
  long number;
  pthread_mutex_lock(&turn);
  int verdict = judge(&line, WRITING, &number);
  ssize_t result = -1;
  if (verdict > 0) {
    errno = verdict;
  } else {
    size_t count = verdict == GO_ON ? length : length / 2;
    /* Writes past the page cache take whole blocks only. */
    if (verdict != GO_ON && length % 4096 == 0 && length > 4096) count -= count % 4096;
    result = offset < 0 ? real_write(fd, bytes, count) : real_pwrite(fd, bytes, count, offset);
  }
  int saved = errno;
  line.data = keep_bytes(bytes, result);
  line.length = result < 0 ? (long)length : (long)result;
  if (verdict == HALF_AND_DIE) die(&line, number);
  write_line(number, &line, result < 0 ? -saved : 0);
  pthread_mutex_unlock(&turn);
  errno = saved;
  return result;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (path_of(fd) == NULL) return real_write(fd, bytes, length);
  return written("write", fd, bytes, length, -1);
}

#define PWRITE(name)                                                                    \
  ssize_t name(int fd, const void *bytes, size_t length, off64_t offset) {              \
    if (path_of(fd) == NULL) return real_pwrite(fd, bytes, length, offset);             \
    return written("pwrite", fd, bytes, length, offset);                                \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

/* Of several pieces the first that is not empty is written: the system may always take fewer bytes. */
static ssize_t first_piece(const char *call, int fd, const struct iovec *pieces, int count, off64_t offset) {
  int at = 0;
  while (at < count - 1 && pieces[at].iov_len == 0) at++;
  return written(call, fd, pieces[at].iov_base, pieces[at].iov_len, offset);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  if (path_of(fd) == NULL || count < 1) return real(fd, pieces, count);
  return first_piece("writev", fd, pieces, count, -1);
}

#define PWRITEV(name)                                                                   \
  ssize_t name(int fd, const struct iovec *pieces, int count, off64_t offset) {         \
    REAL(ssize_t, #name, int, const struct iovec *, int, off64_t);                      \
    if (path_of(fd) == NULL || count < 1) return real(fd, pieces, count, offset);       \
    return first_piece("pwritev", fd, pieces, count, offset);                           \
  }
PWRITEV(pwritev)
PWRITEV(pwritev64)

/* Copies inside the system are done by a read and a write, so that their bytes are known. */
static ssize_t copied(const char *call, int in, off64_t *in_at, int out, off64_t *out_at, size_t length) {
  static char block[1 << 20];
  static pthread_mutex_t block_turn = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&block_turn);
  if (length > sizeof block) length = sizeof block;
  ssize_t count = in_at ? pread64(in, block, length, *in_at) : read(in, block, length);
  ssize_t result = count <= 0 ? count : written(call, out, block, (size_t)count, out_at ? *out_at : -1);
  pthread_mutex_unlock(&block_turn);
  if (result > 0 && in_at) *in_at += result;
  else if (result >= 0 && result < count) lseek64(in, result - count, SEEK_CUR);
  if (result > 0 && out_at) *out_at += result;
  return result;
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned int flags) {
  REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned int);
  if (path_of(out) == NULL) return real(in, in_at, out, out_at, length, flags);
  return copied("copy_file_range", in, in_at, out, out_at, length);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t length) {
  REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
  if (path_of(out) == NULL) return real(out, in, offset, length);
  return copied("sendfile", in, offset, out, NULL, length);
}

/* libuv calls these two by their numbers. */
long syscall(long id, ...) {
  REAL(long, "syscall", long, ...);
  va_list list;
  va_start(list, id);
  long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
  long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
  va_end(list);
  if (id == SYS_close) forget((int)a);
  if (id == SYS_copy_file_range && path_of((int)c) != NULL)
    return copied("copy_file_range", (int)a, (off64_t *)b, (int)c, (off64_t *)d, (size_t)e);
  return real(id, a, b, c, d, e, f);
}

#define READ(name, call, parameters, ...)                                    \
  ssize_t name parameters {                                                  \
    static ssize_t(*real) parameters;                                        \
    if (real == NULL) real = (ssize_t(*) parameters)dlsym(RTLD_NEXT, #name); \
    const char *path = path_of(fd);                                          \
    if (path == NULL) return real(__VA_ARGS__);                              \
    struct line line = {call, fd, 0, 0, -1, path, NULL};                     \
    long number;                                                             \
    pthread_mutex_lock(&turn);                                               \
    int verdict = judge(&line, READING, &number);                            \
    write_line(number, &line, -verdict);                                     \
    pthread_mutex_unlock(&turn);                                             \
    if (verdict == GO_ON) return real(__VA_ARGS__);                          \
    errno = verdict;                                                         \
    return -1;                                                               \
  }
READ(read, "read", (int fd, void *bytes, size_t length), fd, bytes, length)
READ(pread, "read", (int fd, void *bytes, size_t length, off64_t at), fd, bytes, length, at)
READ(pread64, "read", (int fd, void *bytes, size_t length, off64_t at), fd, bytes, length, at)
READ(readv, "read", (int fd, const struct iovec *pieces, int count), fd, pieces, count)
READ(preadv, "read", (int fd, const struct iovec *pieces, int count, off64_t at), fd, pieces, count, at)
READ(preadv64, "read", (int fd, const struct iovec *pieces, int count, off64_t at), fd, pieces, count, at)

#define FLUSH(name)                                         \
  int name(int fd) {                                        \
    REAL(int, #name, int);                                  \
    if (path_of(fd) == NULL) return real(fd);               \
    CALL(FLUSHING, #name, fd, 0, 0, -1, path_of(fd), NULL); \
  }
#define ARGUMENTS fd
FLUSH(fsync)
FLUSH(fdatasync)
#undef ARGUMENTS

#define TRUNCATE(name)                                                \
  int name(int fd, off64_t size) {                                    \
    REAL(int, #name, int, off64_t);                                   \
    if (path_of(fd) == NULL) return real(fd, size);                   \
    CALL(MAKING, "ftruncate", fd, 0, (long)size, -1, path_of(fd), NULL); \
  }
#define ARGUMENTS fd, size
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)
#undef ARGUMENTS

#define ALLOCATE(name)                                                                    \
  int name(int fd, int mode, off64_t offset, off64_t size) {                              \
    REAL(int, #name, int, int, off64_t, off64_t);                                         \
    if (path_of(fd) == NULL) return real(fd, mode, offset, size);                         \
    CALL(MAKING, "fallocate", fd, (long)offset, (long)size, -1, path_of(fd), NULL);       \
  }
#define ARGUMENTS fd, mode, offset, size
ALLOCATE(fallocate)
ALLOCATE(fallocate64)
#undef ARGUMENTS

#define PATH_CALL(kind, name, parameters, number_of, ...)                    \
  int name parameters {                                                      \
    static int(*real) parameters;                                            \
    if (real == NULL) real = (int(*) parameters)dlsym(RTLD_NEXT, #name);     \
    char buffer[PATH_MAX];                                                   \
    const char *full = below(path, buffer);                                  \
    if (full == NULL) return real(__VA_ARGS__);                              \
    CALL(kind, #name, -1, 0, number_of, -1, full, NULL);                     \
  }
#define ARGUMENTS path
PATH_CALL(CHANGING, unlink, (const char *path), 0, path)
PATH_CALL(CHANGING, rmdir, (const char *path), 0, path)
PATH_CALL(CHANGING, remove, (const char *path), 0, path)
#undef ARGUMENTS
#define ARGUMENTS path, mode
PATH_CALL(MAKING, mkdir, (const char *path, mode_t mode), (long)mode, path, mode)
PATH_CALL(CHANGING, chmod, (const char *path, mode_t mode), (long)mode, path, mode)
#undef ARGUMENTS

int unlinkat(int at, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  char buffer[PATH_MAX];
  const char *full = below(path, buffer);
  if (full == NULL) return real(at, path, flags);
#define ARGUMENTS at, path, flags
  CALL(CHANGING, flags & AT_REMOVEDIR ? "rmdir" : "unlink", -1, 0, 0, -1, full, NULL);
#undef ARGUMENTS
}

int mkdirat(int at, const char *path, mode_t mode) {
  REAL(int, "mkdirat", int, const char *, mode_t);
  char buffer[PATH_MAX];
  const char *full = below(path, buffer);
  if (full == NULL) return real(at, path, mode);
#define ARGUMENTS at, path, mode
  CALL(MAKING, "mkdir", -1, 0, (long)mode, -1, full, NULL);
#undef ARGUMENTS
}

int fchmod(int fd, mode_t mode) {
  REAL(int, "fchmod", int, mode_t);
  if (path_of(fd) == NULL) return real(fd, mode);
#define ARGUMENTS fd, mode
  CALL(CHANGING, "fchmod", fd, 0, (long)mode, -1, path_of(fd), NULL);
#undef ARGUMENTS
}

#define PAIR_CALL(kind, name, call, parameters, ...)                         \
  int name parameters {                                                      \
    static int(*real) parameters;                                            \
    if (real == NULL) real = (int(*) parameters)dlsym(RTLD_NEXT, #name);     \
    char from_buffer[PATH_MAX], to_buffer[PATH_MAX];                         \
    const char *to_full = below(to, to_buffer);                              \
    const char *from_full = below(from, from_buffer);                        \
    if (to_full == NULL && from_full == NULL) return real(__VA_ARGS__);      \
    CALL(kind, call, -1, 0, 0, -1, from_full, to_full);                      \
  }
#define ARGUMENTS from, to
PAIR_CALL(CHANGING, rename, "rename", (const char *from, const char *to), from, to)
PAIR_CALL(MAKING, link, "link", (const char *from, const char *to), from, to)

/* The text of a symbolic link is kept as it is given. */
int symlink(const char *from, const char *to) {
  REAL(int, "symlink", const char *, const char *);
  char buffer[PATH_MAX];
  const char *full = below(to, buffer);
  if (full == NULL) return real(from, to);
  CALL(MAKING, "symlink", -1, 0, 0, -1, full, from);
}
#undef ARGUMENTS

#define ARGUMENTS from_at, from, to_at, to
PAIR_CALL(CHANGING, renameat, "rename", (int from_at, const char *from, int to_at, const char *to), from_at, from,
          to_at, to)
#undef ARGUMENTS
#define ARGUMENTS from_at, from, to_at, to, flags
PAIR_CALL(CHANGING, renameat2, "rename",
          (int from_at, const char *from, int to_at, const char *to, unsigned int flags), from_at, from, to_at,
          to, flags)
PAIR_CALL(MAKING, linkat, "link", (int from_at, const char *from, int to_at, const char *to, int flags), from_at,
          from, to_at, to, flags)
#undef ARGUMENTS

/* Listing a folder opens it inside the C library; it counts as an open. */
static int may_list(const char *path) {
  char buffer[PATH_MAX];
  const char *full = below(path, buffer);
  if (full == NULL) return 1;
  struct line line = {"opendir", -1, 0, 0, -1, full, NULL};
  long number;
  pthread_mutex_lock(&turn);
  int verdict = judge(&line, READING, &number);
  write_line(number, &line, -verdict);
  pthread_mutex_unlock(&turn);
  if (verdict == GO_ON) return 1;
  errno = verdict;
  return 0;
}

DIR *opendir(const char *path) {
  REAL(DIR *, "opendir", const char *);
  return may_list(path) ? real(path) : NULL;
}

int scandir64(const char *path, struct dirent64 ***names, int (*filter)(const struct dirent64 *),
              int (*compare)(const struct dirent64 **, const struct dirent64 **)) {
  REAL(int, "scandir64", const char *, struct dirent64 ***, int (*)(const struct dirent64 *),
       int (*)(const struct dirent64 **, const struct dirent64 **));
  return may_list(path) ? real(path, names, filter, compare) : -1;
}
