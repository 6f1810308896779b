#include "web/privileges.h"

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "base/errno_error.h"

namespace cygnet::web {
namespace {

Status Become(const std::string& user) {
  errno = 0;
  const passwd* entry = getpwnam(user.c_str());
  if (entry == nullptr) {
    return MakeError(Errc::kNoEntry,
                     fmt::format("there is no user \"{}\"; create it (systemd-sysusers), or give "
                                 "--user NAME",
                                 user));
  }
  if (entry->pw_uid == geteuid()) return {};
  if (setgroups(0, nullptr) != 0 || setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0) {
    return ErrnoError("cannot become the user " + user);
  }
  return {};
}

Status SetCapabilities(uint64_t kept) {
  __user_cap_header_struct head{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i].effective = data[i].permitted = static_cast<uint32_t>(kept >> (32 * i));
  }
  if (syscall(SYS_capset, &head, data.data()) != 0) return ErrnoError("capset");
  return {};
}

}  // namespace

Status DropPrivileges(const std::string& user, Keep keep) {
  const uint64_t kept = keep == Keep::kNetAdmin ? uint64_t{1} << CAP_NET_ADMIN : 0;
  // Fails without CAP_SETPCAP; then no_new_privs has to do.
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if ((kept >> capability & 1) == 0) (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return ErrnoError("PR_SET_KEEPCAPS");
  if (geteuid() == 0) CYGNET_RETURN_IF_ERROR(Become(user));
  (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  const Status set = SetCapabilities(kept);
  if (!set && keep == Keep::kNothing) return set.error();
  if (!set) {
    return MakeError(Errc::kPermission,
                     "cygnet-web needs CAP_NET_ADMIN to ask cygnetd; start it as root, or as its "
                     "unit does");
  }
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return ErrnoError("prctl");
  }
  return {};
}

}  // namespace cygnet::web
