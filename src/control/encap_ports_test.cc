#include "control/encap_ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cygnet {
namespace {

using testing::ElementsAre;

TEST(EncapPortsTest, PortIsKnownWhileAnSaUsesIt) {
  DataPath path(1);
  EncapPorts ports(&path);
  ports.Add(4700);
  ports.Add(4600);
  ports.Add(4700);
  EXPECT_THAT(path.encap_ports(), ElementsAre(4500, 4600, 4700)) << "sorted";
  ports.Remove(4700);
  EXPECT_THAT(path.encap_ports(), ElementsAre(4500, 4600, 4700)) << "one SA is left";
  ports.Remove(4700);
  ports.Remove(4600);
  EXPECT_THAT(path.encap_ports(), ElementsAre(4500)) << "IKE's port stays";
  while (path.quiescence.Collect() != 0) continue;
}

}  // namespace
}  // namespace cygnet
