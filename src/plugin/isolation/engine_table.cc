// Tables of isolated engines. `open` of the interface has no argument that says of which library it
// is: each library has a function of its own, made from a template.
#include <array>
#include <utility>

#include "plugin/isolation/engine_ring.h"
#include "plugin/isolation/isolated_engine.h"
#include "plugin/isolation/isolated_queue.h"
#include "plugin/isolation/isolation.h"
#include "plugin/isolation/library_shelf.h"

namespace cygnet {
namespace isolation {
namespace {

struct Library : ShelvedLibrary {
  cygnet_engine table{};
};

LibraryShelf<Library> libraries;
constexpr std::size_t kMaxLibraries = LibraryShelf<Library>::kPlaces;

template <std::size_t kPlace>
int32_t OpenPlace(const cygnet_host* host, const cygnet_engine_config* config, void** engine,
                  cygnet_refusal* refusal) {
  const Library& library = libraries[kPlace];
  return IsolatedEngine::Open(library.path, library.settings, library.description, host, config,
                              engine, refusal);
}

using OpenFunction = decltype(cygnet_engine::open);
template <std::size_t... kPlaces>
constexpr std::array<OpenFunction, kMaxLibraries> OpenFunctions(std::index_sequence<kPlaces...>) {
  return {OpenPlace<kPlaces>...};
}
constexpr auto kOpenFunctions = OpenFunctions(std::make_index_sequence<kMaxLibraries>());

IsolatedEngine& Engine(void* engine) { return *static_cast<IsolatedEngine*>(engine); }
IsolatedQueue& Queue(void* queue) { return *static_cast<IsolatedQueue*>(queue); }

cygnet_engine AllFunctions() {
  cygnet_engine t{};
  t.size = sizeof(t);
  t.close = [](void* engine) {
    Engine(engine).Close();
    delete &Engine(engine);
  };
  t.identity = [](void* engine, cygnet_identity* identity) {
    return Engine(engine).Identity(identity);
  };
  t.limits = [](void* engine, cygnet_engine_limits* limits) {
    return Engine(engine).Limits(limits);
  };
  t.state = [](void* engine) { return Engine(engine).State(); };
  t.supports = [](void* engine, const cygnet_session_params* params) {
    return Engine(engine).Supports(*params);
  };
  t.session_create = [](void* engine, const cygnet_session_params* params, void** session,
                        cygnet_refusal* refusal) {
    return Engine(engine).CreateSession(*params, session, refusal);
  };
  t.session_destroy = [](void* engine, void* session) {
    Engine(engine).DestroySession(static_cast<IsolatedSession*>(session));
  };
  t.queue_create = [](void* engine, uint32_t number, void** queue) {
    return Engine(engine).CreateQueue(number, queue);
  };
  t.queue_destroy = [](void* engine, void* queue) { Engine(engine).DestroyQueue(&Queue(queue)); };
  t.submit = [](void* queue, cygnet_crypto_job* const* jobs, uint32_t count) {
    return Queue(queue).Submit(jobs, count);
  };
  t.poll = [](void* queue, cygnet_completion* done, uint32_t room) {
    return Queue(queue).Poll(done, room);
  };
  t.wait_fd = [](void* queue) { return Queue(queue).wait_fd(); };
  t.prepare_wait = [](void* queue) { return Queue(queue).PrepareWait(); };
  t.finish_wait = [](void* queue) { Queue(queue).FinishWait(); };
  return t;
}

// Functions that the plug-in lacks and must have are missing here, too: the reader of the table
// names them.
void TakeAway(uint32_t functions, cygnet_engine* t) {
  if ((functions & kHasOpen) == 0) t->open = nullptr;
  if ((functions & kHasClose) == 0) t->close = nullptr;
  if ((functions & kHasIdentity) == 0) t->identity = nullptr;
  if ((functions & kHasSupports) == 0) t->supports = nullptr;
  if ((functions & kHasSessionCreate) == 0) t->session_create = nullptr;
  if ((functions & kHasSessionDestroy) == 0) t->session_destroy = nullptr;
  if ((functions & kHasQueueCreate) == 0) t->queue_create = nullptr;
  if ((functions & kHasQueueDestroy) == 0) t->queue_destroy = nullptr;
  if ((functions & kHasSubmit) == 0) t->submit = nullptr;
  if ((functions & kHasPoll) == 0) t->poll = nullptr;
}

void MakeTable(Library* library, std::size_t place) {
  cygnet_engine& t = library->table;
  t = AllFunctions();
  t.abi = library->description.abi;
  t.open = kOpenFunctions[place];
  t.name = library->texts[0].c_str();
  t.version = library->texts[1].c_str();
  t.vendor = library->texts[2].c_str();
  t.help = library->texts[3].c_str();
  TakeAway(library->description.functions, &t);
}

}  // namespace
}  // namespace isolation

Result<const cygnet_engine*> LoadIsolatedEngine(const std::string& path,
                                                const IsolationSettings& settings) {
  using namespace isolation;
  const auto library = libraries.Load(kEngineKind, path, settings, MakeTable);
  if (!library) return library.error();
  return &(*library)->table;
}

}  // namespace cygnet
