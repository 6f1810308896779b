// cygnet-plugin-host: the process of an isolated plug-in. cygnetd starts it; see protocol.h for its
// arguments and descriptors. It is linked to libc and libseccomp alone.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/isolation/child/control.h"
#include "plugin/isolation/child/driver.h"
#include "plugin/isolation/child/engine.h"
#include "plugin/isolation/child/sandbox.h"

namespace cygnet::isolation {
namespace {

char failure[512];  // why the plug-in cannot be used; empty: it can
Description description{};
bool is_engine = false;

uint32_t NumberOf(const char* text) { return static_cast<uint32_t>(strtoul(text, nullptr, 10)); }

void SetFailure(const char* text) { snprintf(failure, sizeof(failure), "%s", text); }

void Load(const char* plugin) {
  void* library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return SetFailure(dlerror());
  const char* symbol = is_engine ? CYGNET_ENGINE_ENTRY : "cygnet_driver_entry";
  void* entry = dlsym(library, symbol);
  if (entry == nullptr) {
    snprintf(failure, sizeof(failure), "the library does not export %s", symbol);
    return;
  }
  if (is_engine) {
    const auto engine = reinterpret_cast<const cygnet_engine* (*)(uint32_t)>(entry);
    TakeEngine(engine(CYGNET_ABI), &description);
  } else {
    const auto driver = reinterpret_cast<const cygnet_driver* (*)(uint32_t)>(entry);
    if (const char* problem = TakeDriver(driver(CYGNET_ABI), &description)) SetFailure(problem);
  }
}

int32_t Handle(Request* request, Writer* answer, bool* last) {
  if (request->call == Call::kDescribe) answer->Put(description);
  if (failure[0] == 0) {
    return is_engine ? HandleEngine(request, answer, last) : HandleDriver(request, answer, last);
  }
  answer->Text(failure);
  return kCannotLoad;
}

int Main(char** words) {
  is_engine = strcmp(words[1], kEngineKind) == 0;
  description.protocol = kProtocol;
  if (!StartControl()) return 2;
  const SandboxOrder order{.plugin = words[2],
                           .parent = static_cast<pid_t>(NumberOf(words[3])),
                           .user = NumberOf(words[4]),
                           .group = NumberOf(words[5]),
                           .lock = NumberOf(words[6])};
  if (const char* problem = EnterSandbox(order, &description)) {
    SetFailure(problem);
  } else {
    Load(order.plugin);
  }
  Serve(Handle);
  return 0;
}

}  // namespace
}  // namespace cygnet::isolation

int main(int argc, char** argv) {
  if (argc == 7) return cygnet::isolation::Main(argv);
  fputs("cygnet-plugin-host is started by cygnetd for plug-ins with isolate = true\n", stderr);
  return 2;
}
