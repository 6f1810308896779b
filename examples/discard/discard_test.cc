// The example of doc/adding_a_driver.md, in a table with the built-in drivers.
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "daemon/config/config.h"
#include "device/wires/wire_port.h"
#include "support/port_fixture.h"

namespace cygnet {
namespace {

using testing::HasSubstr;

std::string TextOf(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(DiscardTest, ThePageShowsTheFileThatIsBuiltHere) {
  const std::string source = TextOf(CYGNET_EXAMPLE_SOURCE);
  ASSERT_FALSE(source.empty());
  EXPECT_THAT(TextOf(CYGNET_EXAMPLE_PAGE), HasSubstr("```cpp\n" + source + "```\n"));
}

TEST(DiscardTest, TheConfigurationKnowsTheDriverAndItsKey) {
  const std::string table = "[[device]]\nname = \"nic0\"\ndriver = \"discard\"\n";
  const auto config = ParseConfig(table + "discard_mtu = 1400\n", "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(PrintEntries(config->devices[0].options), "discard_mtu = 1400\n");
  const auto wrong = ParseConfig(table + "discard_mtu = 99\n", "f.toml");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message,
            "f.toml:4: device.discard_mtu: must be between 1280 and 2048, is 99");
  const auto near = ParseConfig(table + "discard_mtuu = 1400\n", "f.toml");
  ASSERT_FALSE(near);
  EXPECT_THAT(near.error().message, HasSubstr("did you mean \"discard_mtu\"?"));
  EXPECT_THAT(DescribeKeys(), HasSubstr("discard_mtu        MTU of the wire (1280 to 2048)"));
}

using DiscardPortTest = test::PortTest;

TEST_F(DiscardPortTest, StandsByItselfAndUnderTheSoftwareNic) {
  for (const auto& [driver, keys] :
       {std::pair("discard", "discard_mtu = 1400"),
        {"sim_nic", "wire_driver = \"discard\"\ndiscard_mtu = 1400"}}) {
    DriverParams params = Params("");
    params.options = OptionsOf(driver, keys);
    const auto device = OpenDevice(*FindDriver(driver), params);
    ASSERT_TRUE(device) << device.error().message;
    Port& port = *device->port;
    EXPECT_EQ(port.mtu(), 1400u);
    PacketBatch batch;
    batch.Push(MakeFrame("gone"));
    port.Transmit(0, &batch, &user.sink);
    for (int i = 0; i < 1000 && port.stats().tx_packets == 0; ++i) usleep(1000);
    EXPECT_EQ(port.stats().tx_packets, 1u) << driver;
  }
}

}  // namespace
}  // namespace cygnet
