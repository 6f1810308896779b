// LibraryShelf: the isolated plug-ins of one kind that were loaded, each with the table of
// functions that stands for it on the host's side. A place is kept as long as the process, as a
// loaded library is.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "plugin/isolation/child_process.h"
#include "plugin/isolation/isolation.h"

namespace cygnet::isolation {

// What every kind keeps of a library.
struct ShelvedLibrary {
  std::string path;
  IsolationSettings settings;
  Description description;
  std::vector<std::string> texts;
};

// `Library`: a ShelvedLibrary with the tables of its kind.
template <typename Library>
class LibraryShelf {
 public:
  static constexpr std::size_t kPlaces = 64;

  // REQUIRES: Load has filled the place.
  const Library& operator[](std::size_t place) const { return *places_[place]; }

  // Starts a child to learn what the library offers. `make_table(library, place)` fills the tables
  // of a new one; a library that is loaded again, as by a reload of the configuration, has them.
  template <typename MakeTable>
  Result<const Library*> Load(const char* kind, const std::string& path,
                              const IsolationSettings& settings, MakeTable make_table) {
    const std::lock_guard lock(lock_);
    auto child = ChildProcess::Start(kind, path, settings);
    if (!child) return child.error();
    std::size_t place = 0;
    for (; place < kPlaces && places_[place] != nullptr; ++place) {
      if (IsSame(*places_[place], path, settings, **child)) return places_[place];
    }
    if (place == kPlaces) {
      return MakeError(Errc::kNoSpace, path + ": there are " + std::to_string(kPlaces) +
                                           " isolated " + kind + "s already");
    }
    auto library = std::make_unique<Library>();
    library->path = path;
    library->settings = settings;
    library->description = (*child)->description();
    library->texts = (*child)->texts();
    make_table(library.get(), place);
    places_[place] = library.release();
    return places_[place];
  }

 private:
  static bool IsSame(const Library& library, const std::string& path,
                     const IsolationSettings& settings, const ChildProcess& child) {
    return library.path == path && library.settings == settings && library.texts == child.texts() &&
           library.description == child.description();
  }

  std::mutex lock_;
  std::array<Library*, kPlaces> places_{};
};

}  // namespace cygnet::isolation
