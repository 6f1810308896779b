#include "daemon/config/written_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace cygnet {
namespace {

TEST(WhatIsTheSameFile, IsFoundByPathAndByWhatIsKeptBeside) {
  const std::vector<std::string> lock = {".lock", ".new"};
  EXPECT_EQ(WhatIsTheSameFile({{"a.file", "/x/a", lock}, {"b.file", "/x/b", lock}}), "");
  EXPECT_EQ(WhatIsTheSameFile({{"a.file", "", lock}, {"b.file", "", lock}}), "");
  EXPECT_EQ(WhatIsTheSameFile({{"a.file", "/x/a", lock}, {"b.file", "/x/./y/../a", lock}}),
            "a.file and b.file are the same file, /x/./y/../a: name different ones");
  EXPECT_EQ(
      WhatIsTheSameFile({{"a.file", "/x/a", lock}, {"b.file", "/x/a.lock", lock}}),
      "a.file with \".lock\" appended and b.file are the same file, /x/a.lock: name different "
      "ones");
  EXPECT_EQ(WhatIsTheSameFile({{"a.file", "/x/a.new"}, {"b.file", "/x/a", lock}}),
            "a.file and b.file with \".new\" appended are the same file, /x/a.new: name different "
            "ones");
}

// A certificate and its key may be in one file.
TEST(WhatIsTheSameFile, IsNoFaultOfFilesThatAreOnlyRead) {
  const NamedFile a{.key = "a", .path = "/x/a", .written = false};
  const NamedFile b{.key = "b", .path = "/x/a", .written = false};
  EXPECT_EQ(WhatIsTheSameFile({a, b}), "");
  EXPECT_NE(WhatIsTheSameFile({a, b, {"c", "/x/a"}}), "");
}

TEST(WhatIsTheSameFile, IsFoundThroughLinks) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("cygnet-same-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder / "real");
  std::filesystem::create_directory_symlink(folder / "real", folder / "link");
  EXPECT_NE(WhatIsTheSameFile({{"a.file", folder / "real/x"}, {"b.file", folder / "link/x"}}), "");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace cygnet
