// cygnet: the operator's command.
#include "cli/cygnet.h"
#include "netlink/unix_transport.h"

int main(int argc, char** argv) {
  return cygnet::RunCygnet(argc, argv, cygnet::transport::kOperatorSocketName, stdout, stderr);
}
