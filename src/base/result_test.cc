#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/errno_error.h"

namespace cygnet {
namespace {

TEST(ResultTest, HoldsAValueOrAnError) {
  Result<int> value = 5;
  EXPECT_TRUE(value.has_value());
  EXPECT_EQ(*value, 5);
  Result<int> error = MakeError(Errc::kNoEntry, "gone");
  EXPECT_FALSE(error.has_value());
  EXPECT_EQ(error.error().code, Errc::kNoEntry);
  EXPECT_EQ(error.error().message, "gone");
  EXPECT_EQ(std::move(error).value_or(7), 7);
}

TEST(ResultTest, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> r = std::make_unique<int>(3);
  const std::unique_ptr<int> out = *std::move(r);
  EXPECT_EQ(*out, 3);
}

Status Twice(bool fail, int* calls) {
  CYGNET_RETURN_IF_ERROR(fail ? Status(MakeError(Errc::kBusy)) : Status());
  ++*calls;
  return {};
}

TEST(ResultTest, ReturnIfErrorReturnsTheError) {
  int calls = 0;
  EXPECT_TRUE(Twice(false, &calls).has_value());
  EXPECT_EQ(Twice(true, &calls).error().code, Errc::kBusy);
  EXPECT_EQ(calls, 1);
}

TEST(ResultDeathTest, ValueOfAnErrorIsABug) {
  Result<int> error = MakeError(Errc::kInvalid);
  EXPECT_DEATH((void)*error, "CHECK failed");
}

TEST(ErrnoErrorTest, NamesWhatFailedAndWhy) {
  errno = ENOENT;
  EXPECT_EQ(ErrnoError("open x").code, Errc::kNoEntry);
  EXPECT_EQ(ErrnoError("open x").message, "open x: No such file or directory");
  EXPECT_EQ(ErrnoError("open x", EBUSY).code, Errc::kBusy);
  const Error error = ErrnoError(Errc::kNotSupported, "open x", EPERM);
  EXPECT_EQ(error.code, Errc::kNotSupported);
  EXPECT_EQ(error.message, "open x: Operation not permitted");
}

}  // namespace
}  // namespace cygnet
