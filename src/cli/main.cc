#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "cli/complete.h"
#include "cli/cygnet.h"

namespace {

// Otherwise the next file or socket takes the number of a stream that is closed, and text for the
// stream goes into it. False: nobody can see the output.
bool HoldStandardStreams() {
  if (fcntl(STDIN_FILENO, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != STDIN_FILENO) return false;
  if (fcntl(STDOUT_FILENO, F_GETFD) < 0) {
    std::fputs("cygnet: standard output is closed: use >/dev/null if nobody reads it\n", stderr);
    return false;
  }
  return fcntl(STDERR_FILENO, F_GETFD) >= 0 || open("/dev/null", O_WRONLY) == STDERR_FILENO;
}

}  // namespace

int main(int argc, char** argv) {
  if (!HoldStandardStreams()) return cygnet::kExitFailed;
  if (argc > 1 && std::string_view(argv[1]) == "complete") cygnet::EndSoon();
  return cygnet::RunCygnet(argc, argv, cygnet::OperatorClient::Connect, stdout, stderr);
}
