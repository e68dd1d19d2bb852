/* Preloaded: the FAULT_AT-th read or write of a file below FAULT_FOLDER fails, and all
   later ones too where FAULT_STAYS is set. Each such call adds a byte to FAULT_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_below(const char *path) {
  const char *folder = getenv("FAULT_FOLDER");
  return folder && !strncmp(path, folder, strlen(folder));
}

static int is_watched(int fd) {
  char link[40], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return is_below(path);
}

static int is_failing(const char *kind) {
  static int count = 0, log = -1;
  const char *wanted = getenv("FAULT_KIND"), *at = getenv("FAULT_AT");
  if (!wanted || strcmp(wanted, kind) || !at) return 0;
  int number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
  if (log < 0 && getenv("FAULT_LOG"))
    log = syscall(SYS_openat, AT_FDCWD, getenv("FAULT_LOG"),
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log >= 0) syscall(SYS_write, log, ".", 1);
  int first = atoi(at);
  if (!first || number < first) return 0;
  if (number > first && !getenv("FAULT_STAYS")) return 0;
  errno = strcmp(kind, "read") ? ENOSPC : EIO;
  return 1;
}

#define FD_CALL(kind, type, name, parameters, arguments)                  \
  type name parameters {                                                  \
    type (*real) parameters = dlsym(RTLD_NEXT, #name);                    \
    if (is_watched(fd) && is_failing(kind)) return -1;                    \
    return real arguments;                                                \
  }

FD_CALL("read", ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
FD_CALL("read", ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
FD_CALL("read", ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
FD_CALL("read", ssize_t, readv, (int fd, const struct iovec *to, int n), (fd, to, n))
FD_CALL("write", ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n))
FD_CALL("write", ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at))
FD_CALL("write", ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at))
FD_CALL("write", ssize_t, writev, (int fd, const struct iovec *from, int n), (fd, from, n))
FD_CALL("write", int, fsync, (int fd), (fd))

int rename(const char *from, const char *to) {
  int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
  if (is_below(to) && is_failing("write")) return -1;
  return real(from, to);
}
