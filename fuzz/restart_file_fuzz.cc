// The restart file, whatever it holds: what could be understood is written anew, and the next life
// of the daemon finds the same in it.
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/log.h"
#include "daemon/restart_log.h"
#include "support/fake_xfrm_control.h"

namespace {

using namespace cygnet;  // NOLINT: a test program

class Nobody final : public ControlListener {
 public:
  void OnControlEvent(const ControlEvent&, const RequestOrigin&) override {}
  bool WantsAcquire() const override { return false; }
  bool WantsAevents() const override { return false; }
};

class Folder {
 public:
  Folder() : name_((std::filesystem::temp_directory_path() / "restart-XXXXXX").string()) {
    CYGNET_CHECK(mkdtemp(name_.data()) != nullptr);
    SetLogSink([](LogLevel, std::string_view) {});  // what is refused is said for each input
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(name_, ignored);
  }
  std::string file() const { return name_ + "/restart"; }

 private:
  std::string name_;
};

struct Life {
  explicit Life(const std::string& path) : log(&nobody, path) {
    auto opened = log.Open(control);
    CYGNET_CHECK(opened.has_value());
    lost = *std::move(opened);
  }
  Nobody nobody;
  RestartLog log;
  test::FakeXfrmControl control;
  std::vector<LostSa> lost;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static const Folder folder;
  {
    std::ofstream file(folder.file(), std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  }
  const Life first(folder.file());
  const Life second(folder.file());
  CYGNET_CHECK(first.lost.size() == second.lost.size());
  CYGNET_CHECK(first.control.policies.size() == second.control.policies.size());
  for (std::size_t i = 0; i < first.control.policies.size(); ++i) {
    const PolicySpec& before = first.control.policies[i].spec;
    const PolicySpec& after = second.control.policies[i].spec;
    CYGNET_CHECK(before.selector == after.selector && before.action == after.action &&
                 before.templates == after.templates && before.priority == after.priority);
  }
  return 0;
}
