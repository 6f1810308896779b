#include "datapath/per_cpu.h"

#include <gtest/gtest.h>
#include <sys/sysinfo.h>

namespace cygnet {
namespace {

TEST(PerCpuTest, AWorkerCountsAsACpuThatExists) {
  const auto cpus = static_cast<uint32_t>(get_nprocs_conf());
  EXPECT_EQ(CpuOfWorker(0), 0u);
  EXPECT_EQ(CpuOfWorker(cpus - 1), cpus - 1);
  EXPECT_EQ(CpuOfWorker(cpus), 0u);
}

TEST(PerCpuTest, OnlyThePolicysFlagWantsAnSaOfItsOwn) {
  PolicySpec policy;
  SaSpec sa;
  EXPECT_FALSE(LacksOwnSa(policy, sa, 1));
  policy.flags = kPolicyCpuAcquire;
  EXPECT_TRUE(LacksOwnSa(policy, sa, 1));
  EXPECT_FALSE(LacksOwnSa(policy, sa, std::nullopt));
  sa.rare.Change()->cpu = 1;
  EXPECT_FALSE(LacksOwnSa(policy, sa, 1));
}

TEST(PerCpuTest, APolicyIsAskedForOnceASecond) {
  OwnSaWishes wishes;
  EXPECT_TRUE(wishes.MayAsk(7, 100));
  EXPECT_FALSE(wishes.MayAsk(7, 100));
  EXPECT_TRUE(wishes.MayAsk(8, 100));
  EXPECT_TRUE(wishes.MayAsk(7, 101));
}

}  // namespace
}  // namespace cygnet
