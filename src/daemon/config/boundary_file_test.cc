// Boundary lists as files: every key and every kind of error.
#include "daemon/config/boundary_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kEngine[] =
    "[[module]]\nkind = \"engine\"\nmodel = \"M\"\nversion = \"1\"\ncertificate = \"#1\"\n";
constexpr char kDevice[] =
    "[[module]]\nkind = \"device\"\nmodel = \"M\"\nfirmware = \"1\"\ncertificate = \"#1\"\n";

std::string ErrorOf(const std::string& text) {
  const auto boundary = ParseBoundary(text, "b.toml");
  return boundary ? "no error" : boundary.error().message;
}

uint64_t ExpiryOf(const std::string& date) {
  const auto boundary = ParseBoundary(kEngine + ("expires = " + date + "\n"), "b.toml");
  EXPECT_TRUE(boundary) << boundary.error().message;
  return boundary ? boundary->entries[0].expires : 0;
}

TEST(BoundaryFileTest, ReadsEveryKey) {
  const auto boundary = ParseBoundary(R"(
[[module]]
kind = "device"
name = "nic0"
model = "Acme CX-9"
serial = "A17"
firmware = "28.39"
certificate = "CMVP #1"
expires = 2027-01-31
[[module]]
kind = "engine"
model = "OpenSSL FIPS Provider"
version = "3.0.9"
certificate = "CMVP #4282"
)",
                                      "b.toml");
  ASSERT_TRUE(boundary) << boundary.error().message;
  const Boundary expected{.entries = {{.kind = HolderKind::kDevice,
                                       .name = "nic0",
                                       .model = "Acme CX-9",
                                       .serial = "A17",
                                       .version = "28.39",
                                       .certificate = "CMVP #1",
                                       .expires = 1'801'440'000},
                                      {.kind = HolderKind::kEngine,
                                       .model = "OpenSSL FIPS Provider",
                                       .version = "3.0.9",
                                       .certificate = "CMVP #4282"}},
                          .source = "b.toml"};
  EXPECT_EQ(*boundary, expected);
  EXPECT_EQ(ExpiryDate(boundary->entries[0]), "2027-01-31");
}

TEST(BoundaryFileTest, AnEmptyListIsAListThatNamesNobody) {
  const auto boundary = ParseBoundary("# nothing\n", "b.toml");
  ASSERT_TRUE(boundary);
  EXPECT_TRUE(boundary->entries.empty());
  EXPECT_EQ(boundary->source, "b.toml");
}

TEST(BoundaryFileTest, AnEntryHoldsToTheEndOfItsLastDay) {
  EXPECT_EQ(ExpiryOf("1970-01-01"), 86'400u);
  EXPECT_EQ(ExpiryOf("2024-02-29"), 1'709'251'200u);
  EXPECT_EQ(ExpiryOf("9999-12-31"), 253'402'300'800u);
}

// 0 means never: a day before 1970 must not become 0.
TEST(BoundaryFileTest, DaysBefore1970AreOver) {
  EXPECT_EQ(ExpiryOf("1969-12-31"), 1u);
  EXPECT_EQ(ExpiryOf("0001-01-01"), 1u);
}

TEST(BoundaryFileTest, ErrorsNameFileLineAndKey) {
  const std::string engine = kEngine;
  const std::string device = kDevice;
  const std::pair<std::string, const char*> kWrong[] = {
      {"modul = 1\n", "b.toml:1: modul: unknown key; did you mean \"module\"?"},
      {"[module]\nkind = \"engine\"\n", "must be an array of tables: [[module]], is a table"},
      {"module = 1\n", "must be an array of tables: [[module]], is an integer"},
      {"module = []\n", "must be an array of tables"},
      {"[[module]]\n", "b.toml:1: module.kind: missing"},
      {"[[module]]\nkind = \"card\"\n",
       "b.toml:2: module.kind: must be one of \"device\", \"engine\", is \"card\""},
      {"[[module]]\nkind = 1\n", "module.kind: must be a string, is an integer"},
      {"[[module]]\nkind = \"engine\"\n", "module.model: missing"},
      {"[[module]]\nkind = \"engine\"\nmodel = \"\"\n", "module.model: must not be empty"},
      {"[[module]]\nkind = \"engine\"\nmodel = \"M\"\n", "module.version: missing"},
      {"[[module]]\nkind = \"device\"\nmodel = \"M\"\n", "module.firmware: missing"},
      {"[[module]]\nkind = \"device\"\nmodel = \"M\"\nfirmware = \"1\"\n",
       "module.certificate: missing"},
      {engine + "certficate = \"#1\"\n",
       "b.toml:6: module.certficate: unknown key; did you mean \"certificate\"?"},
      {device + "version = \"1\"\n",
       "module.version: only for an engine; a device has \"firmware\""},
      {device + "serial = \"\"\n", "module.serial: must not be empty"},
      {device + "name = \"\"\n", "module.name: must not be empty"},
      {engine + "expires = \"2027-01-31\"\n",
       "b.toml:6: module.expires: must be a date without quotes, as 2027-01-31, is a string"},
      {engine + "expires = 2027-01-31T00:00:00Z\n",
       "must be a date without quotes, as 2027-01-31, is a date or time"},
      {engine + "expires = 20270131\n", "must be a date without quotes"},
      {engine + "expires = 2027-02-30\n", "b.toml:6: "},
      {engine + "expires = \n", "b.toml:6: "},
      {"[[module]", "b.toml:1: "},
      {engine + "name = \"\xc3\xa4\"\n", "b.toml:6: a boundary list must be ASCII"},
      {"# \xc3\xa4\n", "b.toml:1: a boundary list must be ASCII"},
      {"[= 1", "b.toml:1: "},  // an assertion of the TOML library
  };
  for (const auto& [text, expected] : kWrong) {
    const std::string error = ErrorOf(text);
    EXPECT_THAT(error, HasSubstr(expected)) << text;
    EXPECT_THAT(error, StartsWith("b.toml:")) << text;
  }
}

// One bad entry invalidates the list: half a list is not what the operator wrote.
TEST(BoundaryFileTest, ABadEntryIsAnErrorHoweverGoodTheOthers) {
  EXPECT_NE(ErrorOf(std::string(kEngine) + "[[module]]\nkind = \"engine\"\n" + kDevice),
            "no error");
}

TEST(BoundaryFileTest, AFileThatIsNotThereOrCannotBeReadIsAnError) {
  const auto missing = LoadBoundary("/nonexistent/boundary.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNoEntry);
  EXPECT_THAT(missing.error().message, StartsWith("/nonexistent/boundary.toml: "));
  const auto folder = LoadBoundary(std::filesystem::temp_directory_path());
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, Errc::kIo);
}

TEST(BoundaryFileTest, TheExampleIsAsItSays) {
  const auto boundary = LoadBoundary(CYGNET_EXAMPLE_BOUNDARY);
  ASSERT_TRUE(boundary) << boundary.error().message;
  ASSERT_EQ(boundary->entries.size(), 2u);
  EXPECT_EQ(boundary->entries[0].kind, HolderKind::kEngine);
  EXPECT_EQ(ExpiryDate(boundary->entries[0]), "2026-09-21");
  EXPECT_EQ(boundary->entries[1].name, "nic0");
  EXPECT_EQ(boundary->entries[1].version, "28.39.1002");
}

}  // namespace
}  // namespace cygnet
