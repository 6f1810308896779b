// The shim's test client: `shim_client SCENARIO`, run with the shim preloaded.
#include "shim_client/client_support.h"

int main(int argc, char** argv) {
  using namespace cygnet::shim;
  const char* wanted = argc > 1 ? argv[1] : "";
  for (const Scenario* list :
       {kAddressScenarios, kEthtoolScenarios, kTransferScenarios, kProcessScenarios,
        kRestartScenarios, kNativeScenarios, kPolicyScenarios}) {
    for (; list->name != nullptr; ++list) {
      if (strcmp(list->name, wanted) == 0) {
        list->run();
        return 0;
      }
    }
  }
  fprintf(stderr, "unknown scenario \"%s\"\n", wanted);
  return 2;
}
