#include "plugin/isolation/child/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/isolation/child/system_calls.h"

namespace cygnet::isolation {
namespace {

bool Limit(decltype(RLIMIT_CORE) what, rlim_t value) {
  const rlimit limit{.rlim_cur = value, .rlim_max = value};
  return setrlimit(what, &limit) == 0;
}

// Locks what is mapped from now on when it is touched. A limit would make later allocations fail,
// so that memory is locked only without one.
bool LockMemory() {
  rlimit limit{};
  if (!Limit(RLIMIT_MEMLOCK, RLIM_INFINITY)) {
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_max != RLIM_INFINITY) return false;
    if (!Limit(RLIMIT_MEMLOCK, RLIM_INFINITY)) return false;
  }
  return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

bool TakeUser(uint32_t user, uint32_t group) {
  return setgroups(0, nullptr) == 0 && setresgid(group, group, group) == 0 &&
         setresuid(user, user, user) == 0;
}

// Permitted, effective, inheritable, and with them the ambient ones.
bool DropCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

// --- Files: Landlock ---

constexpr uint64_t kReadFile = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t kReadFolder = kReadFile | LANDLOCK_ACCESS_FS_READ_DIR;

// Folders of libraries and their configuration. What does not exist is left out.
struct Place {
  const char* path;
  uint64_t access;
};
constexpr Place kPlaces[] = {
    {"/usr", kReadFolder},           {"/lib", kReadFolder},
    {"/lib64", kReadFolder},         {"/etc/ssl", kReadFolder},
    {"/etc/ld.so.cache", kReadFile}, {"/sys/devices/system/cpu", kReadFolder},
    {"/dev/null", kReadFile},        {"/dev/urandom", kReadFile}};

void AllowPlace(int rules, const char* path, uint64_t access) {
  const int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return;
  landlock_path_beneath_attr place{};
  place.allowed_access = access;
  place.parent_fd = fd;
  (void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &place, 0);
  close(fd);
}

// All rights that this kernel can withhold.
uint64_t RightsOfKernel(long version) {
  if (version >= 5) return 0xffff;
  if (version >= 3) return 0x7fff;
  return version == 2 ? 0x3fff : 0x1fff;
}

bool LimitFiles(const char* plugin) {
  const long version =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return false;
  landlock_ruleset_attr all{};
  all.handled_access_fs = RightsOfKernel(version);
  const auto rules = static_cast<int>(syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0));
  if (rules < 0) return false;
  for (const Place& place : kPlaces) AllowPlace(rules, place.path, place.access);
  AllowPlace(rules, plugin, kReadFile);
  const bool done = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  close(rules);
  return done;
}

}  // namespace

const char* EnterSandbox(const SandboxOrder& order, Description* done) {
  if (!Limit(RLIMIT_CORE, 0)) return "core dumps cannot be turned off";
  done->locked = order.lock != 0 && LockMemory() ? 1 : 0;
  done->own_net = unshare(CLONE_NEWNET | CLONE_NEWIPC) == 0 ? 1 : 0;
  done->own_user = order.user != kSameUser ? 1 : 0;
  if (done->own_user != 0 && !TakeUser(order.user, order.group)) {
    return "the child cannot become the user of isolate_user; in a user namespace, name a user "
           "that it maps";
  }
  if (!DropCapabilities()) return "capabilities cannot be dropped";
  // After the change of user, which resets them.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0 ||
      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return "the process cannot be protected (prctl)";
  }
  if (getppid() != order.parent) return "the daemon has ended";
  done->files_limited = LimitFiles(order.plugin) ? 1 : 0;
  if (done->own_user == 0 && done->files_limited == 0) {
    return "as the daemon's own user it could read the daemon's files, and this kernel cannot "
           "limit them (Landlock): run the daemon as root with isolate_user, or use a kernel with "
           "Landlock";
  }
  return LimitSystemCalls() ? nullptr : "the list of system calls cannot be set (seccomp)";
}

bool ShutFiles() { return LimitSystemCallsOfKeys(); }

}  // namespace cygnet::isolation
