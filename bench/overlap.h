// Windows of several threads that run at the same time. Shared cores do not always run all of them,
// so that only windows in which the others ran, too, count.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cygnet::bench {

struct Window {
  uint64_t begin;
  uint64_t end;
};
using Windows = std::vector<Window>;

// True if the other thread ran during at least nine tenths of `window`. Its windows that are longer
// than `longest` do not count, because it was interrupted.
inline bool Overlapped(const Window& window, const Windows& other, uint64_t longest) {
  uint64_t covered = 0;
  for (const Window& o : other) {
    if (o.end - o.begin > longest) continue;
    const uint64_t begin = std::max(window.begin, o.begin);
    const uint64_t end = std::min(window.end, o.end);
    if (end > begin) covered += end - begin;
  }
  return covered * 10 >= (window.end - window.begin) * 9;
}

// REQUIRES: not empty.
inline uint64_t MedianLength(const Windows& windows) {
  std::vector<uint64_t> lengths;
  for (const Window& w : windows) lengths.push_back(w.end - w.begin);
  std::nth_element(lengths.begin(), lengths.begin() + static_cast<long>(lengths.size() / 2),
                   lengths.end());
  return lengths[lengths.size() / 2];
}

}  // namespace cygnet::bench
