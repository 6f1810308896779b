// cygnet: the operator's command.
#include "cli/cygnet.h"

int main(int argc, char** argv) {
  return cygnet::RunCygnet(argc, argv, cygnet::OperatorClient::Connect, stdout, stderr);
}
