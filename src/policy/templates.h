// Template: the SA that a protected packet requires. Templates: those of one policy.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/ids.h"
#include "net/address.h"

namespace cygnet {

inline constexpr std::size_t kMaxTemplates = 6;  // XFRM_MAX_DEPTH

// struct xfrm_user_tmpl.
struct Template {
  IpAddress daddr;
  IpAddress saddr;
  Spi spi;  // 0 = any
  IpFamily family = IpFamily::kUnspec;
  uint8_t proto = 0;
  uint8_t mode = 0;  // a value of SaMode
  uint8_t share = 0;
  bool optional = false;  // "level use"
  Reqid reqid;
  uint32_t aalgos = ~uint32_t{0};
  uint32_t ealgos = ~uint32_t{0};
  uint32_t calgos = ~uint32_t{0};
  bool operator==(const Template&) const = default;
};

// A vector with the first template inside: nearly every policy has no other, and a look-up that
// finds the policy has the template, too.
class Templates {
 public:
  using value_type = Template;
  using size_type = std::size_t;
  using iterator = Template*;
  using const_iterator = const Template*;

  Templates() = default;
  Templates(std::initializer_list<Template> all) { Assign(all.begin(), all.size()); }
  Templates(const std::vector<Template>& all) { Assign(all.data(), all.size()); }  // NOLINT
  Templates(const Templates& other) { Assign(other.data(), other.size()); }
  Templates(Templates&& other) noexcept
      : one_(other.one_), more_(std::move(other.more_)), size_(std::exchange(other.size_, 0)) {}
  Templates& operator=(Templates other) noexcept {
    one_ = other.one_;
    more_ = std::move(other.more_);
    size_ = other.size_;
    return *this;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Template* data() { return more_ != nullptr ? more_.get() : &one_; }
  const Template* data() const { return more_ != nullptr ? more_.get() : &one_; }
  iterator begin() { return data(); }
  iterator end() { return data() + size_; }
  const_iterator begin() const { return data(); }
  const_iterator end() const { return data() + size_; }
  Template& operator[](std::size_t i) { return data()[i]; }
  const Template& operator[](std::size_t i) const { return data()[i]; }
  const Template& at(std::size_t i) const {
    CYGNET_CHECK(i < size_);
    return data()[i];
  }
  // REQUIRES: !empty().
  const Template& front() const { return data()[0]; }
  const Template& back() const { return data()[size_ - 1]; }

  void push_back(const Template& added) {
    std::vector<Template> all(begin(), end());
    all.push_back(added);
    Assign(all.data(), all.size());
  }
  void resize(std::size_t n) {
    std::vector<Template> all(begin(), end());
    all.resize(n);
    Assign(all.data(), n);
  }
  void clear() { Assign(nullptr, 0); }

  friend bool operator==(const Templates& a, const Templates& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  // REQUIRES: `from` is not in this object.
  void Assign(const Template* from, std::size_t n) {
    more_ = n > 1 ? std::make_unique<Template[]>(n) : nullptr;
    size_ = static_cast<uint32_t>(n);
    std::copy(from, from + n, data());
  }

  Template one_;
  std::unique_ptr<Template[]> more_;  // all of them, if there are several
  uint32_t size_ = 0;
};

}  // namespace cygnet
