#include <string_view>

#include "cli/complete.h"
#include "cli/cygnet.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "complete") cygnet::EndSoon();
  return cygnet::RunCygnet(argc, argv, cygnet::OperatorClient::Connect, stdout, stderr);
}
