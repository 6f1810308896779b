// `cygnet conformance …`: tests a driver or an engine by others. It is a program of its own,
// because this one does not contain the stack.
#pragma once

namespace cygnet {

// argv[0]: "conformance". Returns only if the program does not run: 2, with the cause on stderr.
int RunConformance(char** argv);

}  // namespace cygnet
