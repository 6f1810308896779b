#include "shim/place.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "shim/real_calls.h"
#include "shim/socket_table.h"

namespace cygnet::shim {
namespace {

// Of one thread. When that has ended, nothing is found in it.
struct Folder {
  int fd = -1;
  ino_t inode = 0;  // a program may close numbers that it does not know
  pthread_t thread = 0;
};
constinit Mutex g_mutex;
constinit Folder g_folder;

ino_t InodeOf(int fd) {
  struct stat facts {};
  return fstat(fd, &facts) == 0 ? facts.st_ino : 0;
}

void CloseFolder() {
  if (g_folder.fd >= 0 && InodeOf(g_folder.fd) == g_folder.inode) {
    real::close(g_folder.fd);
  }
  g_folder.fd = -1;
}

// Of the calling thread.
int OpenFolder() { return open("/proc/thread-self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC); }

bool KeepFolder() {
  CloseFolder();
  const int fd = OpenFolder();
  if (fd < 0) {
    return false;
  }
  g_folder = {.fd = real::fcntl(fd, F_DUPFD_CLOEXEC, kLowestHiddenNumber),
              .inode = InodeOf(fd),
              .thread = pthread_self()};
  real::close(fd);
  return g_folder.fd >= 0;
}

// Of a link like "net:[4026531840]". 0: there is none.
uint64_t NumberIn(int folder, const char* name) {
  char text[48];
  const ssize_t length = readlinkat(folder, name, text, sizeof text - 1);
  if (length <= 0) {
    return 0;
  }
  text[length] = '\0';
  const size_t prefix = strlen(name);
  const bool names_it = strncmp(text, name, prefix) == 0 && strncmp(text + prefix, ":[", 2) == 0;
  return names_it ? strtoull(text + prefix + 2, nullptr, 10) : 0;
}

bool ReadFolder(int folder, Place* place) {
  *place = {
      .user = geteuid(), .network = NumberIn(folder, "net"), .users = NumberIn(folder, "user")};
  return place->known();
}

}  // namespace

bool FindPlaceOnce(Place* place) {
  const int folder = OpenFolder();
  const bool found = folder >= 0 && ReadFolder(folder, place);
  if (folder >= 0) {
    real::close(folder);
  }
  return found;
}

bool FindPlace(Place* place) {
  const Lock lock(g_mutex);
  const bool mine = g_folder.fd >= 0 && pthread_equal(g_folder.thread, pthread_self()) != 0;
  return (mine && ReadFolder(g_folder.fd, place)) ||
         (KeepFolder() && ReadFolder(g_folder.fd, place));
}

void ForgetPlaceInChild() {
  g_mutex.Reset();
  CloseFolder();
}

}  // namespace cygnet::shim
