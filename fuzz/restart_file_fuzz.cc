// The restart file with any content: what could be read is rewritten, and the next start of the
// daemon finds the same. If the file is damaged, the default policies block.
#include <stdlib.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "daemon/store/record_file.h"
#include "daemon/store/restart_log.h"
#include "daemon/store/restart_replay.h"
#include "netlink/message.h"
#include "support/fake_xfrm_control.h"
#include "support/foreign_lock.h"

namespace {

using namespace cygnet;  // NOLINT: a test program

class Folder {
 public:
  Folder() : name_((std::filesystem::temp_directory_path() / "restart-XXXXXX").string()) {
    CYGNET_CHECK(mkdtemp(name_.data()) != nullptr);
    SetLogSink([](LogLevel, std::string_view) {});  // errors would be logged for each input
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
  explicit Life(const std::string& path) : log(path) {
    control.journal = &log;
    CYGNET_CHECK(log.Open(&control, MissingFile::kIsFirstStart).has_value());
    lost = log.ListLost();
  }
  void CheckThatDamageBlocks() const {
    if (log.damage().empty()) return;
    for (const PolicyAction action : control.GetDefaults()) {
      CYGNET_CHECK(action == PolicyAction::kBlock);
    }
  }
  RestartLog log;
  test::FakeXfrmControl control;
  std::vector<LostSa> lost;
};

void Write(const std::string& path, std::span<const uint8_t> bytes) {
  {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  CYGNET_CHECK(chmod(path.c_str(), 0600) == 0);
  test::WriteForeignLock(path);
}

// The next daemon must know what this one knew.
void TwoLives(const std::string& path) {
  std::size_t lost = 0;
  std::string damage;
  std::vector<PolicyView> policies;
  {
    const Life first(path);
    first.CheckThatDamageBlocks();
    lost = first.lost.size();
    damage = first.log.damage();
    policies = first.control.policies;
  }
  const Life second(path);
  second.CheckThatDamageBlocks();
  CYGNET_CHECK(lost == second.lost.size());
  CYGNET_CHECK(damage == second.log.damage());
  CYGNET_CHECK(policies.size() == second.control.policies.size());
  for (std::size_t i = 0; i < policies.size(); ++i) {
    const PolicySpec& before = policies[i].spec;
    const PolicySpec& after = second.control.policies[i].spec;
    CYGNET_CHECK(before.selector == after.selector && before.action == after.action &&
                 before.templates == after.templates && before.priority == after.priority);
  }
}

}  // namespace

// Uses the input as the whole file, and, because a fuzzer finds no checksums, as the records of a
// file: the first byte of each message selects its type.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static const Folder folder;
  Write(folder.file(), {data, size});
  TwoLives(folder.file());
  RecordFile::Image image;
  const std::string_view format = restart_record::kFormatName;
  image.Add(restart_record::kFormat,
            {reinterpret_cast<const uint8_t*>(format.data()), format.size()});
  std::span<const uint8_t> rest{data, size};
  while (const auto message = netlink::NextMessage(rest)) {
    image.Add(restart_record::kMessage, message->bytes);
  }
  if (!rest.empty()) image.Add(rest[0] % 8u, rest.subspan(1));
  Write(folder.file(), image.Finish());
  TwoLives(folder.file());
  return 0;
}
