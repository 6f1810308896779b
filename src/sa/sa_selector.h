// SaSelector: the selector of an SA. It takes eight bytes if it admits every flow, as those of
// tunnels do.
#pragma once

#include <cstdint>

#include "base/number_or.h"
#include "net/selector.h"

namespace cygnet {

class SaSelector {
 public:
  SaSelector() = default;
  SaSelector(const Selector& selector) {  // NOLINT: as a selector
    const Selector& usual = UsualOf(selector.family);
    if (selector == usual) {
      of_ = Of(static_cast<uint32_t>(usual.family));
    } else {
      of_ = Of(selector);
    }
  }

  const Selector& operator*() const {
    return of_.value() != nullptr ? *of_.value() : UsualOf(static_cast<IpFamily>(of_.number()));
  }
  const Selector* operator->() const { return &**this; }
  operator const Selector&() const { return **this; }  // NOLINT: as a selector
  // For changes of single fields.
  Selector* Change() {
    if (of_.value() == nullptr) of_ = Of(**this);
    return of_.value();
  }
  friend bool operator==(const SaSelector& a, const SaSelector& b) { return *a == *b; }
  friend bool operator==(const SaSelector& a, const Selector& b) { return *a == b; }

 private:
  using Of = NumberOr<Selector>;
  // Those that have nothing but a family.
  static const Selector& UsualOf(IpFamily family) {
    static const Selector none;
    static const Selector v4 = OfFamily(IpFamily::kV4);
    static const Selector v6 = OfFamily(IpFamily::kV6);
    return family == IpFamily::kV4 ? v4 : family == IpFamily::kV6 ? v6 : none;
  }
  static Selector OfFamily(IpFamily family) {
    Selector selector;
    selector.family = family;
    return selector;
  }

  Of of_;  // a number: the family of a selector without anything else
};

}  // namespace cygnet
